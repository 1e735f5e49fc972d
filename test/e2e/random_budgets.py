#!/usr/bin/env python3
"""Random combinations of model, budget, context, batch, policy and more: never a wrong bit.

    python test/e2e/random_budgets.py [--count 200] [--seed S] [--bin-dir build/bin]

Each combination is compiled without a bound and with a random budget from the minimum up (the minimum
itself now and then). The second plan must stay inside its budget, pass `llmc verify`, and run in
poison mode with peak RSS of at most budget + 64 MiB; tokens and logits, or all outputs and the final
state, are those of the first plan, bit for bit. `--seed S --count 1` repeats the combination that
failed with seed S.
"""

import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tarfile

import suite
from light import ARCHIVE
from limits import ABOVE_BUDGET, measured
from model_list import DECODERS
from suite import Failure

COUNT, SEED = 25, 20261120
TOKENS = 6
NETWORKS = ("squeezenet", "shufflenet", "inception_v1", "resnet50", "bvlc_alexnet")
FEEDS = """
import sys, onnx, numpy, light
for value in (g := onnx.load(sys.argv[1]).graph).input:
    if value.name not in {i.name for i in g.initializer}:
        file = f"{sys.argv[2]}/{light.file_name(value.name)}"
        numpy.save(file, light.dummy_input(value))
        print(f"{value.name}={file}")
"""
SYNTHETIC = """
import sys, pathlib, synthetic_1gb
synthetic_1gb.build(pathlib.Path(sys.argv[1]), layers=4, dim=512, hidden=1536, vocabulary=4000,
                    kv_heads=2, context=512)
"""


def python(code, *arguments):
    """Runs code that needs big packages in a process of its own; its output's lines."""
    paths = [str(suite.HERE), str(suite.REPO / "test" / "models")]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}", *arguments]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(done.stderr[-500:])
    return done.stdout.splitlines()


class Models:
    """What is there to choose from."""

    def __init__(self, folder):
        self.folder = folder
        self.decoders = {model.name: (model.file, model) for model in DECODERS}
        self.decoders["synthetic"] = (self.synthetic, None)
        self.networks = NETWORKS if ARCHIVE.exists() else ()
        self.feeds = {}

    def synthetic(self):
        folder = self.folder / "synthetic"
        if not (folder / "model.onnx").exists():
            python(SYNTHETIC, folder)
        return folder / "model.onnx"

    def network(self, name):
        file = self.folder / "light" / f"light_{name}.onnx"
        if not file.exists():
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(self.folder, filter="data")
        if name not in self.feeds:
            folder = self.folder / "feeds" / name
            folder.mkdir(parents=True)
            self.feeds[name] = python(FEEDS, file, folder)
        return file, self.feeds[name]


def save_integers(path, rows):
    """An .npy of int64 [rows, columns]."""
    shape = f"({len(rows)}, {len(rows[0])})"
    header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    flat = [token for row in rows for token in row]
    path.write_bytes(
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header))
        + header.encode()
        + struct.pack(f"<{len(flat)}q", *flat)
    )


class Combination:
    def __init__(self, tool, folder, models, seed):
        self.tool, self.models, self.seed = tool, models, seed
        self.random = random.Random(seed)
        self.folder = folder / f"seed-{seed}"
        self.folder.mkdir(parents=True)

    def compile(self, name, *arguments):
        """(exit status, report)"""
        # One folder each: the two plans share nothing, not even the weights file.
        plan = self.folder / name / "x.plan"
        plan.parent.mkdir(exist_ok=True)
        done = self.tool.run("compile", self.model, "-o", plan, *map(str, arguments), "--json")
        if done.returncode not in (0, 3):
            raise Failure(f"compile {arguments}: {done.returncode}: {done.stderr[-300:]}")
        return done.returncode, suite.parse_json(done.stdout, "compile")

    def choose(self):
        """The model, its options for compiling, and how it runs."""
        r = self.random
        if self.models.networks and r.random() < 0.15:
            self.name = r.choice(self.models.networks)
            self.model, feeds = self.models.network(self.name)
            self.options, self.how = [], ("run", *(x for feed in feeds for x in ("--input", feed)))
            return
        self.name = r.choice(sorted(self.models.decoders))
        file, known = self.models.decoders[self.name]
        self.model = file()
        context = r.randint(24, 128 if known and "gpt2" in self.name else 400)
        chunk = r.choice((1, 7, 16, 24, 64, 128))
        batch = r.choice((1, 1, 1, 2, 3, 4))
        self.options = ["--ctx", context, "--prefill-chunk", chunk]
        if known and known.kv_type != "auto":
            self.options += ["--kv-type", known.kv_type]
        elif r.random() < 0.2:
            self.options += ["--kv-type", r.choice(("f16", "bf16"))]
        if r.random() < 0.15 and self.name in ("example", "stories-dynamo", "synthetic"):
            self.options += ["--quantize", "int8"]
        if batch == 1:
            prompt = [r.randrange(400) for _ in range(r.randint(1, context - TOKENS))]
            listed = ",".join(map(str, prompt))
            self.how = ("generate", "--tokens", listed, "-n", str(TOKENS))
            return
        self.options += ["--batch", batch]
        # Pieces of a prompt are at most half of the context.
        length = r.randint(1, max(1, min(chunk, context // 2)))
        rows = [[r.randrange(400) for _ in range(length)] for _ in range(batch)]
        save_integers(self.folder / "ids.npy", rows)
        entry = ("--entry", "prefill") if length > 1 or chunk > 1 else ()
        self.how = ("run", *entry, "--input", f"input_ids={self.folder / 'ids.npy'}")

    def run(self, name, *more):
        """What the plan gives: bytes by name; and its process."""
        folder = self.folder / name
        plan, out = folder / "x.plan", folder / "out"
        out.mkdir()
        command, *arguments = self.how
        if command == "generate":
            arguments += ["--logits-out", out / "logits.npy", "--state-out", out / "state"]
        else:
            arguments += ["--output-dir", out]
        runner = self.tool.path.with_name("llmc-run")
        done = measured([runner, command, plan, *arguments, *more, "--json"], timeout=900)
        if done.status != 0:
            raise Failure(f"{name}: {command} ended with {done.status}: {done.err[-300:]}")
        files = {str(f.relative_to(out)): f.read_bytes() for f in out.rglob("*.npy")}
        if command == "generate":
            files["tokens"] = json.dumps(done.json()["tokens"])
        if not files:
            raise Failure(f"{name}: {command} wrote nothing")
        return files, done

    def test(self):
        r = self.random
        self.choose()
        policy = r.choice(("planned", "planned", "planned", "naive"))
        status, free = self.compile("free", "--vram", "unbounded", *self.options)
        if status != 0:
            raise Failure("--vram unbounded is refused")
        low, high = free["minimum_bytes"], free["device_bytes"]
        budget = low if r.random() < 0.15 else r.randint(low, high)
        more = ("--policy", policy, *self.options)
        status, report = self.compile("bounded", "--vram", budget, *more)
        if status == 3 and policy == "naive" and report["minimum_bytes"] > budget:
            # What comes and goes by layers may need more than the smallest layout.
            budget = r.randint(report["minimum_bytes"], max(high, report["minimum_bytes"]))
            status, report = self.compile("bounded", "--vram", budget, *more)
        settings = f"{self.name} {' '.join(map(str, more))} --vram {budget} of {low}..{high}"
        if status != 0:
            raise Failure(f"{settings}: refused, minimum {report['minimum_bytes']}")
        if report["device_bytes"] > budget:
            raise Failure(f"{settings}: device_bytes {report['device_bytes']}")
        self.tool.good("verify", self.folder / "bounded" / "x.plan")
        io = r.choice(("auto", "uring", "direct", "buffered", "cached"))
        threads = r.choice((1, 2, 3))
        expected, _ = self.run("free")
        found, done = self.run("bounded", "--poison", "--io", io, "--threads", str(threads))
        if done.peak_rss > budget + ABOVE_BUDGET:
            raise Failure(f"{settings}: peak RSS {done.peak_rss} is over by more than 64 MiB")
        if found.keys() != expected.keys():
            raise Failure(f"{settings}: writes {sorted(found)}, expected {sorted(expected)}")
        for name, value in expected.items():
            if found[name] != value:
                raise Failure(f"{settings}, --io {io}, {threads} threads: {name} has other bits")
        streamed = sum(entry["streamed_bytes"] for entry in report["entries"])
        shutil.rmtree(self.folder)
        return f"{settings}, {streamed} streamed, {io}"


def combination(tool, folder, models, seed):
    tool.need()
    return Combination(tool, folder, models, seed).test()


def main():
    parser = suite.parser(__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first; then S + 1, ...")
    options = parser.parse_args()
    tool = suite.Tool(options)
    tests = suite.Suite(options)
    folder = pathlib.Path(suite.work_folder(options))
    models = Models(folder)
    for i in range(options.count):
        seed = options.seed + i
        tests.add(f"seed {seed}", combination, tool, folder, models, seed)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
