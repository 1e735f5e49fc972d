#!/usr/bin/env python3
"""Budgets from generous to too small: the plan keeps to each, and its numbers never change.

For each model: unbounded gives the bits and the bytes; one page gives exit 3 and a minimum; the
minimum compiles, one page below it does not, and 20 budgets between minimum and generous give
plans that stay inside the budget and write the same logits, bit for bit.
"""

import sys

import numpy as np

import suite
from compare import generate
from model_list import DECODERS
from suite import Failure

PAGE = 4096
BUDGETS = 20
TOKENS = 12
NAMES = ("example", "stories-dynamo", "stories-genai-fp32", "stories-genai-int4", "gpt2-dynamo")


class Sweep:
    def __init__(self, tool, folder, model):
        self.tool, self.model = tool, model
        self.folder = folder / model.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.plan = self.folder / "x.plan"
        self.bits = None
        # Left to itself, a budget also chooses the context: it is kept the same here.
        self.context = []

    def compile(self, budget):
        """(exit status, parsed --json)"""
        options = ["-o", self.plan, "--vram", budget, "--json", *self.context]
        done = self.tool.run("compile", self.model.file(), *options)
        if done.returncode not in (0, 3):
            raise Failure(f"compile --vram {budget}: status {done.returncode}: {done.stderr[-500:]}")
        return done.returncode, suite.parse_json(done.stdout, "compile")

    def check(self, budget):
        """Compiles at a budget that must work, checks its bytes, and compares the logits."""
        status, report = self.compile(budget)
        if status != 0:
            raise Failure(f"--vram {budget} is refused, minimum_bytes {report['minimum_bytes']}")
        if isinstance(budget, int) and report["device_bytes"] > budget:
            raise Failure(f"--vram {budget} gives device_bytes {report['device_bytes']}")
        logits = self.folder / "logits.npy"
        answer = generate(
            self.tool, self.plan, self.model.prompt, TOKENS, "--logits-out", logits
        )
        bits = (answer["tokens"], np.load(logits).tobytes())
        if self.bits is None:
            self.bits = bits
        elif bits != self.bits:
            raise Failure(f"--vram {budget}: other bits than without a bound")
        return report

    def lower_context(self):
        """Without --ctx the context shrinks before a budget is refused, and what is refused
        then names a minimum that works."""
        status, report = self.compile(PAGE)
        if status != 3:
            raise Failure(f"--vram {PAGE} without --ctx ends with {status}, expected 3")
        self.compile_at(report["minimum_bytes"], 0)
        self.compile_at(report["minimum_bytes"] - PAGE, 3)

    def compile_at(self, budget, expected):
        status, _ = self.compile(budget)
        if status != expected:
            raise Failure(f"--vram {budget} ends with {status}, expected {expected}")

    def run(self):
        self.tool.need()
        self.lower_context()
        report = self.check("unbounded")
        self.context = ["--ctx", str(report["context"])]
        generous = report["device_bytes"]
        status, report = self.compile(PAGE)
        if status != 3:
            raise Failure(f"--vram {PAGE} ends with {status}, expected 3")
        for key in ("minimum_bytes", "peak_step", "peak_tensors", "advice"):
            if key not in report:
                raise Failure(f"exit 3 prints no {key}")
        minimum = report["minimum_bytes"]
        if not PAGE < minimum <= generous:
            raise Failure(f"minimum_bytes {minimum}, unbounded takes {generous}")
        status, report = self.compile(minimum - PAGE)
        if status != 3 or report["minimum_bytes"] != minimum:
            raise Failure(
                f"one page below the minimum {minimum}: status {status},"
                f" minimum_bytes {report.get('minimum_bytes')}"
            )
        streamed = 0
        step = max(1, (generous - minimum) // (BUDGETS - 2))
        for budget in [minimum] + [minimum + step * i for i in range(1, BUDGETS)]:
            report = self.check(budget)
            if report.get("minimum_bytes", minimum) != minimum:
                raise Failure(f"--vram {budget} says minimum_bytes {report['minimum_bytes']}")
            streamed += any(entry["streamed_bytes"] > 0 for entry in report["entries"])
        if generous > minimum and not streamed:
            raise Failure("no plan of a smaller budget streams anything")
        return f"{minimum}..{generous} bytes, {streamed} of {BUDGETS} plans stream"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    models = {model.name: model for model in DECODERS}
    for name in NAMES:
        tests.add(name, lambda name=name: Sweep(tool, folder, models[name]).run())
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
