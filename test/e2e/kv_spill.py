#!/usr/bin/env python3
"""KV caches whose blocks lie below: the same bits, and clear errors.

A small Llama shape with a context of 1,024 tokens is compiled with all of the cache on the device
and with parts of it in the spill file. Tokens and logits of a prompt and what follows are the
same, bit for bit, with less memory; in poison mode too, and beside streamed weights. A folder that
is not there and a disk that is too small are reported at load.
"""

import pathlib
import subprocess
import sys

import numpy as np

import suite
from compare import generate
from suite import Failure

CONTEXT = 1024
PROMPT, TOKENS = 300, 500
SHAPE = """
import sys, pathlib, synthetic_1gb
synthetic_1gb.build(pathlib.Path(sys.argv[1]), layers=3, dim=256, hidden=512, vocabulary=2000,
                    kv_heads=2, context=1024)
"""
# Tokens that stay, and further options of compile and generate.
CASES = {
    "one block": (1, (), ()),
    "a quarter": (256, (), ()),
    "all but two blocks": (CONTEXT - 128, (), ()),
    "poisoned": (256, (), ("--poison",)),
    "direct reads": (256, (), ("--io", "direct")),
    "buffered reads": (128, (), ("--io", "buffered")),
    "model's order": (128, ("--order", "model"), ()),
    "small chunks": (200, ("--prefill-chunk", "40"), ()),
}


class Spilled:
    def __init__(self, tool, folder):
        self.tool, self.folder, self.want = tool, folder, {}
        self.prompt = [3 + (7 * i * i + i) % 1990 for i in range(PROMPT)]

    def model(self):
        self.tool.need()
        file = self.folder / "model" / "model.onnx"
        if not file.exists():
            code = f"import sys; sys.path[:0] = [{str(suite.REPO / 'test' / 'models')!r}]\n{SHAPE}"
            subprocess.run([sys.executable, "-c", code, str(file.parent)], check=True)
        return file

    def compile(self, name, *options):
        plan = self.folder / f"{name.replace(' ', '-')}.plan"
        common = ["--ctx", CONTEXT, "--weights", self.folder / "w.weights"]
        return plan, self.tool.json("compile", self.model(), "-o", plan, *common, *options)

    def run(self, plan, *options):
        logits = self.folder / "logits.npy"
        answer = generate(
            self.tool, plan, self.prompt, TOKENS, "--logits-out", logits, *options
        )
        return answer["tokens"], np.load(logits).tobytes()

    def resident(self, options=()):
        key = tuple(options)
        if key not in self.want:
            plan, report = self.compile("resident", "--vram", "unbounded", *options)
            self.want[key] = (self.run(plan), report)
        return self.want[key]

    def case(self, name):
        keep, options, how = CASES[name]
        want, whole = self.resident(options)
        plan, report = self.compile(name, "--vram", "unbounded", "--kv-resident", keep, *options)
        if not report["state_bytes"] < whole["state_bytes"]:
            raise Failure(f"state_bytes {report['state_bytes']} of {whole['state_bytes']}")
        blocks, stay = CONTEXT // 64, -(-keep // 64)
        below = whole["state_bytes"] // blocks * (blocks - stay)
        spilled = [entry["spilled_bytes"] for entry in report["entries"]]
        if set(spilled) != {below} or any(e["spilled_bytes"] for e in whole["entries"]):
            raise Failure(f"spilled_bytes {spilled}, expected {below}")
        self.tool.good("verify", plan)
        if self.run(plan, *how) != want:
            raise Failure("other bits than with all of the cache on the device")
        return f"{report['state_bytes']} of {whole['state_bytes']} bytes of state stay"

    def streamed(self):
        """Weights and cache at once, at the smallest budget that holds a quarter of the cache."""
        want, _ = self.resident()
        options = ["--kv-resident", CONTEXT // 4]
        _, report = self.compile("streamed", "--vram", "unbounded", *options)
        budget = report["minimum_bytes"]
        plan, report = self.compile("streamed", "--vram", budget, *options)
        if report["device_bytes"] > budget:
            raise Failure(f"device_bytes {report['device_bytes']} of a budget of {budget}")
        if self.run(plan) != want:
            raise Failure("other bits than with all of it on the device")
        return f"{budget} bytes"

    def chosen(self):
        """Below what the whole cache needs, --kv-resident auto finds what fits."""
        want, whole = self.resident()
        budget = whole["minimum_bytes"] - (whole["state_bytes"] // 3) // 4096 * 4096
        options = ["--vram", budget]
        plan = self.folder / "auto.plan"
        refused = self.tool.run(
            "compile", self.model(), "-o", plan, "--ctx", CONTEXT, *options, "--json"
        )
        if refused.returncode != 3:
            raise Failure(f"without it, the budget gives status {refused.returncode}, expected 3")
        advice = suite.parse_json(refused.stdout, "compile")["advice"]
        if not advice or "--kv-resident auto would do with" not in advice[0]:
            raise Failure(f"the advice is {advice}")
        plan, report = self.compile("auto", *options, "--kv-resident", "auto")
        if report["device_bytes"] > budget:
            raise Failure(f"device_bytes {report['device_bytes']} of a budget of {budget}")
        if self.run(plan) != want:
            raise Failure("other bits than with all of the cache on the device")
        return f"{report['state_bytes']} of {whole['state_bytes']} bytes of state stay"

    def errors(self):
        plan, _ = self.compile("errors", "--vram", "unbounded", "--kv-resident", 64)
        arguments = ["generate", plan, "--tokens", "1,2,3", "-n", 2]
        done = self.tool.run(*arguments, "--spill-dir", self.folder / "none")
        if done.returncode != 1 or "cannot make a spill file" not in done.stderr:
            raise Failure(f"no such folder: {done.returncode} {done.stderr[-300:]}")
        small = self.folder / "small"
        small.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            raise suite.Skip("no tmpfs can be mounted here")
        try:
            done = self.tool.run(*arguments, "--spill-dir", small)
        finally:
            subprocess.run(["umount", str(small)], check=False)
        words = ("cannot reserve the spill file", "needed", "available 64.0 KiB")
        if done.returncode != 1 or any(word not in done.stderr for word in words):
            raise Failure(f"full disk: {done.returncode} {done.stderr[-300:]}")
        return done.stderr.strip()[-200:]


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    spilled = Spilled(suite.Tool(options), pathlib.Path(suite.work_folder(options)))
    for name in CASES:
        tests.add(name, spilled.case, name)
    tests.add("with streamed weights", spilled.streamed)
    tests.add("auto", spilled.chosen)
    tests.add("errors", spilled.errors)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
