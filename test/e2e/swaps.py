#!/usr/bin/env python3
"""Activations that leave for a while: budgets that nothing else can meet, and the same bits.

Each model is compiled without a bound, and at budgets from its minimum up to what it needs with all
activations staying (`--swap off`), where it is refused without them leaving. Every such plan
passes `llmc verify`, stays inside its budget with peak RSS of at most budget + 64 MiB, and gives all
outputs (or tokens, logits and state) of the first, bit for bit: in poison mode, with every way of
reading, and as it runs.
"""

import json
import pathlib
import sys
import tarfile

import suite
from light import ARCHIVE
from limits import ABOVE_BUDGET, measured
from model_list import DECODERS
from random_budgets import FEEDS, python
from suite import Failure, Skip

UNET = """
import sys, synthetic_graphs
synthetic_graphs.unet(sys.argv[1], size=96, width=16, levels=3)
"""
NAS = """
import sys, synthetic_graphs
synthetic_graphs.nas(sys.argv[1], cells=6, size=96)
"""
RANDOM = """
import sys, onnx, numpy, light
for value in onnx.load(sys.argv[1]).graph.input:
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    file = f"{sys.argv[2]}/{light.file_name(value.name)}"
    numpy.save(file, numpy.random.default_rng(3).standard_normal(shape, numpy.float32))
    print(f"{value.name}={file}")
"""
WAYS = ("auto", "cached", "buffered", "direct", "uring")
LIGHT = ("densenet121", "resnet50")


class Model:
    def __init__(self, tool, folder, name):
        self.tool, self.name = tool, name
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.options = ["--weights", str(self.folder / "w.weights")]

    def images(self):
        made = {"unet": UNET, "nas": NAS}.get(self.name)
        if made:
            self.model = self.folder / "model.onnx"
            python(made, self.model)
            feeds = python(RANDOM, self.model, self.folder)
        else:
            if not ARCHIVE.exists():
                raise Skip(f"{ARCHIVE} is missing")
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(self.folder, filter="data")
            self.model = self.folder / "light" / f"light_{self.name}.onnx"
            feeds = python(FEEDS, self.model, self.folder)
        self.how = ["run", *(x for feed in feeds for x in ("--input", feed))]

    def text(self):
        known = next(m for m in DECODERS if m.name == self.name)
        self.model = known.file()
        context = 128 if "gpt2" in self.name else 400
        self.options += ["--ctx", str(context), "--prefill-chunk", "256"]
        if known.kv_type != "auto":
            self.options += ["--kv-type", known.kv_type]
        tokens = ",".join(str(3 + (7 * i * i + i) % 250) for i in range(context * 3 // 4))
        self.how = ["generate", "--tokens", tokens, "-n", "8"]

    def compile(self, name, budget, *more):
        plan = self.folder / f"{name}.plan"
        done = self.tool.run(
            "compile", self.model, "-o", plan, "--vram", budget, *self.options, *more, "--json"
        )
        if done.returncode not in (0, 3):
            raise Failure(f"compile --vram {budget}: {done.returncode}: {done.stderr[-300:]}")
        return plan, done.returncode, suite.parse_json(done.stdout, "compile")

    def run(self, plan, *more):
        out = self.folder / "out"
        out.mkdir(exist_ok=True)
        for file in out.rglob("*.npy"):
            file.unlink()
        command, *arguments = self.how
        if command == "generate":
            arguments += ["--logits-out", out / "logits.npy", "--state-out", out / "state"]
        else:
            arguments += ["--output-dir", out]
        runner = self.tool.path.with_name("llmc-run")
        done = measured([runner, command, plan, *arguments, *more, "--json"], timeout=900)
        if done.status != 0:
            raise Failure(f"{command} {more} ended with {done.status}: {done.err[-300:]}")
        files = {str(f.relative_to(out)): f.read_bytes() for f in out.rglob("*.npy")}
        if command == "generate":
            files["tokens"] = json.dumps(done.json()["tokens"])
        if not files:
            raise Failure(f"{command} wrote nothing")
        return files, done.peak_rss

    def test(self):
        self.tool.need()
        self.text() if self.name in {m.name for m in DECODERS} else self.images()
        free, status, report = self.compile("free", "unbounded")
        _, _, staying = self.compile("staying", "unbounded", "--swap", "off")
        low, high = report["minimum_bytes"], staying["minimum_bytes"]
        if status != 0 or not low < high:
            raise Failure(f"minimum {low} with activations leaving, {high} without")
        want, _ = self.run(free)
        budgets = [low, low + (high - low) // 3, low + (high - low) * 3 // 4, high - 4096]
        for i, budget in enumerate(budgets):
            refused = self.compile("refused", budget, "--swap", "off")[1]
            plan, status, report = self.compile("bounded", budget)
            if refused != 3 or status != 0:
                raise Failure(f"--vram {budget} gives status {status}, without leaving {refused}")
            if report["device_bytes"] > budget or report["minimum_bytes"] != low:
                raise Failure(f"--vram {budget}: device_bytes {report['device_bytes']}, "
                              f"minimum_bytes {report['minimum_bytes']}, expected {low}")
            self.tool.good("verify", plan)
            for more in (["--io", WAYS[i]], ["--poison", "--io", WAYS[i + 1]], ["--threads", "1"]):
                found, rss = self.run(plan, *more)
                if found != want:
                    wrong = [name for name in want if found.get(name) != want[name]]
                    raise Failure(f"--vram {budget} {more}: other bits of {wrong}")
                if rss > budget + ABOVE_BUDGET:
                    raise Failure(f"--vram {budget} {more}: peak RSS {rss}")
        if self.compile("below", low - 4096)[1] != 3:
            raise Failure(f"--vram {low - 4096} is met, {low} is said to be the minimum")
        return f"minimum {high} -> {low}"


def chunks(tool, folder):
    """The largest prefill chunk of a budget: named where it is refused, taken with auto."""
    tool.need()
    model = Model(tool, folder, "chunks")
    model.name = "stories-optimum"
    model.text()
    ask = model.options.index("--prefill-chunk") + 1

    def compile(chunk, budget):
        model.options[ask] = str(chunk)
        return model.compile(f"chunk-{chunk}", budget)

    low, high = (compile(chunk, "unbounded")[2]["minimum_bytes"] for chunk in (1, 192))
    budget = (low + high) // 2
    _, status, report = compile(192, budget)
    words = [line.split()[1] for line in report["advice"] if "is the largest that fits" in line]
    if status != 3 or len(words) != 1:
        raise Failure(f"--vram {budget}: status {status}, advice {report['advice']}")
    largest = int(words[0])
    if compile(largest + 16, budget)[1] != 3:
        raise Failure(f"{largest} is said to be the largest chunk, {largest + 16} fits")
    auto, status, report = compile("auto", budget)
    plan, other, same = compile(largest, budget)
    if (status, other) != (0, 0) or report["device_bytes"] > budget:
        raise Failure(f"status {status} with auto, {other} with {largest}")
    if report["entries"] != same["entries"]:
        raise Failure(f"auto does not take {largest}")
    free, _, _ = compile(largest, "unbounded")
    want = model.run(free)[0]
    for bounded in (auto, plan):
        tool.good("verify", bounded)
        if model.run(bounded, "--poison")[0] != want:
            raise Failure("other bits than unbounded")
    return f"{largest} of 192 tokens in {budget} bytes"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    folder = pathlib.Path(suite.work_folder(options))
    tool = suite.Tool(options)
    for name in ("unet", "nas", *LIGHT, "stories-optimum", "gpt2-dynamo", "stories-dynamo-fp16"):
        tests.add(name, lambda name=name: Model(tool, folder, name).test())
    tests.add("prefill chunk", chunks, tool, folder)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
