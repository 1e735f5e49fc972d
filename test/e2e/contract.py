#!/usr/bin/env python3
"""The command line keeps its contract: keys of --json, stops, seeds, threads, exe, quantization.

Works on the example model, which is in the repository, so nothing of it is skipped.
"""

import re
import shutil
import subprocess
import sys

import numpy as np

import suite
from compare import compile_plan, generate, listed
from model_list import DECODERS
from suite import Failure

COMPILE_KEYS = (
    "format_version target budget_bytes device_bytes arena_bytes resident_weight_bytes state_bytes"
    " staging_bytes workspace_bytes activation_peak_bytes reserve_bytes lower_bound_bytes"
    " minimum_bytes host_bytes disk_bytes weights_bytes entries buffers"
).split()
ENTRY_KEYS = "name steps kernels peak_live_bytes streamed_bytes predicted_seconds bound_by".split()
BUFFER_KEYS = "name entry kind tier offset size start end".split()
PARTS = (
    "resident_weight_bytes state_bytes staging_bytes workspace_bytes activation_peak_bytes"
    " constant_bytes reserve_bytes"
).split()
PROMPT = "ROMEO:"


def model():
    return next(m for m in DECODERS if m.name == "example").file()


def need_keys(report, keys, what):
    missing = [key for key in keys if key not in report]
    if missing:
        raise Failure(f"{what} lacks {missing}")


class Contract:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder / "contract"
        self.made = None

    def plan(self):
        if self.made is None:
            self.made = compile_plan(self.tool, model(), self.folder / "plain")
        return self.made

    def compile_json(self):
        out = self.folder / "json"
        out.mkdir(parents=True, exist_ok=True)
        arguments = ("compile", model(), "-o", out / "x.plan", "--vram", "4M")
        report = self.tool.json(*arguments)
        need_keys(report, COMPILE_KEYS, "compile --json")
        for entry in report["entries"]:
            need_keys(entry, ENTRY_KEYS, "an entry")
        for buffer in report["buffers"]:
            need_keys(buffer, BUFFER_KEYS, "a buffer")
        again = self.tool.json("inspect", out / "x.plan")
        different = [key for key in COMPILE_KEYS if report[key] != again.get(key)]
        if different:
            raise Failure(f"inspect --json differs in {different}")
        if report["budget_bytes"] != 4 << 20:
            raise Failure(f"budget_bytes {report['budget_bytes']}")
        total = sum(report[key] for key in PARTS)
        if report["device_bytes"] != total or report["device_bytes"] < report["lower_bound_bytes"]:
            raise Failure(f"device_bytes {report['device_bytes']}, its parts {total}")
        names = {entry["name"] for entry in report["entries"]}
        if not {"decode"} <= {name.split("_")[0].split(".")[0] for name in names}:
            raise Failure(f"entries are {sorted(names)}")
        for buffer in report["buffers"]:
            if buffer["tier"] == "device":
                end = buffer["offset"] + buffer["size"]
                if end > report["arena_bytes"]:
                    raise Failure(f"{buffer['name']} ends at {end} of {report['arena_bytes']}")
        return f"{len(report['buffers'])} buffers, {len(report['entries'])} entries"

    def explains(self):
        """What stays, streams, bounds and would be gained: text, --json and inspect agree, and the
        gain is what a compile with that much more predicts."""
        out = self.folder / "explains"
        out.mkdir(parents=True, exist_ok=True)
        arguments = ("compile", model(), "--ctx", 256, "-o", out / "x.plan", "--vram")
        text = self.tool.good(*arguments, "3M").stdout
        report = self.tool.json(*arguments, "3M")
        stays, parts = report["stays"], {p["entry"]: p for p in report["predictions"]}
        if stays != self.tool.json("inspect", out / "x.plan")["stays"]:
            raise Failure("inspect --json says that other weights stay")
        words = (
            f"{stays['matrices']} of {stays['matrices_total']} matrices,"
            f" all {stays['vectors']} norms, biases and vectors"
        )
        lines = text.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("  stays"))
        if words not in lines[first]:
            raise Failure(f"{lines[first]!r} lacks {words!r}")
        kept = [b for b in report["buffers"] if b["kind"] == "weight"]
        if stays["bytes"] != sum(b["size"] for b in kept):
            raise Failure(f"stays {stays['bytes']}, the weights {sum(b['size'] for b in kept)}")
        if stays["matrices"] + stays["vectors"] != len(kept):
            raise Failure(f"{stays} counts other weights than the {len(kept)} resident ones")
        explained = lines[first : next(i for i, l in enumerate(lines) if l.startswith("  weights"))]
        if not 3 <= len(explained) <= 6:
            raise Failure(f"{len(explained)} lines of explanation")
        shown = self.tool.good("inspect", out / "x.plan").stdout
        if "\n".join(explained[:2]) not in shown or "bound by link" not in shown:
            raise Failure("inspect explains otherwise")
        for entry in report["entries"]:
            part = parts[entry["name"]]
            slots = [
                b["size"]
                for b in report["buffers"]
                if b["kind"] == "staging" and b["entry"] == entry["name"]
            ]
            if entry["largest_slot_bytes"] != max(slots) or part["link_seconds"] <= 0:
                raise Failure(f"{entry['name']}: {entry['largest_slot_bytes']}, slots {slots}")
            busy = sum(part[f"{k}_seconds"] for k in ("compute", "memory", "overhead"))
            least = max(busy, part["link_seconds"])
            if entry["predicted_seconds"] < least * (1 - 1e-9):
                raise Failure(f"{entry['name']} takes less than its parts: {entry}")
        more = report["budget_bytes"] + parts["decode"]["more_budget_bytes"]
        larger = self.tool.json(*arguments, more)
        for entry in larger["entries"]:
            promised = parts[entry["name"]]["more_budget_seconds"]
            if entry["predicted_seconds"] != promised:
                raise Failure(f"{entry['name']}: {entry['predicted_seconds']}, not {promised}")
        whole = self.tool.json(*arguments, "unbounded")
        if whole["stays"]["matrices"] != whole["stays"]["matrices_total"]:
            raise Failure(f"unbounded, and yet {whole['stays']}")
        if any(part["more_budget_bytes"] for part in whole["predictions"]):
            raise Failure("more than everything cannot stay")
        return f"{words}; {parts['decode']['more_budget_bytes']} bytes more"

    def no_overlap(self):
        """From --json alone: no two device buffers that are live together overlap."""
        report = self.tool.json("inspect", self.plan())
        buffers = [b for b in report["buffers"] if b["tier"] == "device" and b["size"]]
        pairs = 0
        for index, one in enumerate(buffers):
            for other in buffers[:index]:
                apart = one["entry"] and other["entry"] and one["entry"] != other["entry"]
                if apart or not (
                    one["offset"] < other["offset"] + other["size"]
                    and other["offset"] < one["offset"] + one["size"]
                ):
                    continue
                if not one["entry"] or not other["entry"] or (
                    one["start"] < other["end"] and other["start"] < one["end"]
                ):
                    raise Failure(f"{one['name']} and {other['name']} overlap")
                pairs += 1
        return f"{len(buffers)} buffers, {pairs} pairs share memory at different times"

    def check_command(self):
        out = self.tool.good("check", model()).stdout
        if not re.search(r"\d", out):
            raise Failure(f"check says {out[:200]!r}")
        report = self.tool.json("check", model())
        if not report:
            raise Failure("check --json is empty")

    def verify_command(self):
        self.tool.good("verify", self.plan())

    def stops(self):
        free = self.tool.json("generate", self.plan(), "--prompt", PROMPT, "-n", 40)
        if len(free["tokens"]) != 40 or free["stop_reason"] != "length":
            raise Failure(f"{len(free['tokens'])} tokens, stopped by {free['stop_reason']}")
        word = next(w for w in free["text"].split() if free["text"].find(w) > 8)
        stopped = self.tool.json(
            "generate", self.plan(), "--prompt", PROMPT, "-n", 40, "--stop", word
        )
        if stopped["stop_reason"] != "stop" or word in stopped["text"]:
            raise Failure(f"--stop {word!r}: {stopped['stop_reason']}, {stopped['text']!r}")
        if not free["text"].startswith(stopped["text"]):
            raise Failure(f"the text changed: {stopped['text']!r}")
        return f"at {word!r}"

    def streamed(self):
        """The plain output is the text of --json."""
        arguments = ("generate", self.plan(), "--prompt", PROMPT, "-n", 40)
        plain = self.tool.good(*arguments).stdout
        text = self.tool.json(*arguments)["text"]
        if plain.rstrip("\n") != text.rstrip("\n"):
            raise Failure(f"stdout {plain!r}, text {text!r}")

    def seeds(self):
        sampling = ("--temperature", 0.9, "--top-k", 50, "--top-p", 0.95)

        def tokens(seed):
            arguments = ("--prompt", PROMPT, "-n", 30, *sampling, "--seed", seed)
            return tuple(self.tool.json("generate", self.plan(), *arguments)["tokens"])

        first = [tokens(seed) for seed in range(4)]
        if first != [tokens(seed) for seed in range(4)]:
            raise Failure("the same seed gives other tokens")
        if len(set(first)) < 3:
            raise Failure(f"four seeds give {len(set(first))} texts")

    def threads(self):
        """Any number of threads gives the same bits, and so does poisoned memory."""
        results = set()
        for options in (("--threads", 1), ("--threads", 2), ("--threads", 3), ("--poison",)):
            rows = self.folder / "rows.npy"
            answer = generate(
                self.tool, self.plan(), range(1, 30), 10, "--logits-out", rows, *options
            )
            results.add((tuple(answer["tokens"]), np.load(rows).tobytes()))
        if len(results) != 1:
            raise Failure(f"{len(results)} different results")

    def executable(self):
        folder = self.folder / "exe"
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "shakespeare"
        self.tool.good("compile", model(), "-o", program, "--vram", "4M", "--emit", "exe")
        alone = self.folder / "alone"
        alone.mkdir(exist_ok=True)
        moved = shutil.copy(program, alone / "it")
        done = subprocess.run(
            [moved, "--prompt", PROMPT, "-n", "20", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(f"status {done.returncode}: {done.stderr[-300:]}")
        expected = self.tool.json("generate", self.plan(), "--prompt", PROMPT, "-n", 20)
        if suite.parse_json(done.stdout, "exe")["tokens"] != expected["tokens"]:
            raise Failure("other tokens than the plan's")
        return f"{program.stat().st_size} bytes"

    def int8(self):
        """--quantize int8: a quarter of the bytes, and nearly the same predictions."""
        folder = self.folder / "int8"
        plan = compile_plan(self.tool, model(), folder, "--quantize", "int8")
        small = self.tool.json("inspect", plan)["weights_bytes"]
        large = self.tool.json("inspect", self.plan())["weights_bytes"]
        if small > 0.4 * large:
            raise Failure(f"weights of {small} bytes, {large} without")
        free = generate(self.tool, self.plan(), range(1, 30), 40)["tokens"]
        rows = []
        for name in (self.plan(), plan):
            file = self.folder / "rows.npy"
            force = ("--force", listed(free), "--logits-out", file)
            generate(self.tool, name, range(1, 30), 40, *force)
            rows.append(np.load(file))
        difference = float(np.abs(rows[0] - rows[1]).max())
        agree = float((rows[0].argmax(axis=1) == rows[1].argmax(axis=1)).mean())
        if not 0 < difference < 1.5 or agree < 0.8:
            raise Failure(f"logits differ by {difference:.3g}, {agree:.0%} of the choices agree")
        return f"{small} of {large} bytes, logits within {difference:.2g}, {agree:.0%} agree"

    def all_logits(self):
        """--logits all and one run of the prompt: the rows that generate gives one by one."""
        tokens = list(range(40, 61))
        folder = self.folder / "all"
        plan = compile_plan(self.tool, model(), folder, "--logits", "all")
        np.save(folder / "ids.npy", np.array([tokens], np.int64))
        inputs = ("--input", f"input_ids={folder}/ids.npy", "--output-dir", folder / "out")
        self.tool.good("run", plan, *inputs)
        shapes = {f: np.load(f) for f in sorted((folder / "out").glob("*.npy"))}
        found = next(a for a in shapes.values() if a.ndim == 3 and a.shape[-1] == 1024)
        rows = folder / "rows.npy"
        force = ("--force", listed(tokens[1:]), "--logits-out", rows)
        generate(self.tool, self.plan(), tokens[:1], len(tokens), *force)
        difference = float(np.abs(found[0] - np.load(rows)).max())
        if found.shape[1] != len(tokens) or difference > 1e-4:
            raise Failure(f"shape {found.shape}, largest difference {difference:.3g}")
        return f"largest difference {difference:.2g}"

    def stages(self):
        folder = self.folder / "stages"
        arguments = ("compile", model(), "-o", self.folder / "s.plan", "--vram", "4M")
        self.tool.good(*arguments, "--dump-stages", folder)
        files = sorted(folder.iterdir())
        if len(files) < 10 or any(file.stat().st_size == 0 for file in files):
            raise Failure(f"{len(files)} stages, or empty ones")
        for emit, word in (("graph", "graph."), ("plan-ir", "plan.")):
            shown = self.tool.good(*arguments, "--emit", emit)
            target = self.folder / "s.plan"
            text = shown.stdout + (target.read_bytes().decode("utf-8", "replace"))
            if word not in text:
                raise Failure(f"--emit {emit} shows no {word}")
        return f"{len(files)} stages"

    def help_everywhere(self):
        self.tool.good("--help")
        commands = "check compile run generate inspect verify".split()
        for command in commands:
            text = self.tool.good(command, "--help").stdout
            if len(text.splitlines()) < 4:
                raise Failure(f"{command} --help says {text!r}")


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    contract = Contract(tool, suite.work_folder(options))
    names = (
        "compile_json explains no_overlap check_command verify_command stops streamed seeds threads"
        " executable int8 all_logits stages help_everywhere"
    )

    def run(name):
        tool.need()
        return getattr(contract, name)()

    for name in names.split():
        tests.add(name.replace("_", "-"), run, name)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
