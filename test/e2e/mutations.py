#!/usr/bin/env python3
"""The checker against damaged plans: llmc-mutate on plans of the models, and on plans by hand.

    python test/e2e/mutations.py [--bin-dir build/bin] [--each N]

Every plan is damaged N times in each of some 35 ways, written with valid checksums and read back.
An oracle that shares no code with the checker says which of them do harm; the checker must reject
all of those. The table at the end is what test/bench/RESULTS.md shows.
"""

import subprocess
import sys

import suite
from model_list import find
from suite import Failure, Skip

LEAST = 2000
# name, export or "", path, options
PLANS = (
    ("example", "./examples/shakespeare/model.onnx", ()),
    ("example-tight", "./examples/shakespeare/model.onnx", ("--vram", "2500K")),
    ("stories-dynamo", "", ()),
    ("stories-dynamo", "", ("--vram", "1200K")),
    ("stories-dynamo", "", ("--kv-type", "f16")),
    ("stories-dynamo", "", ("--kv-type", "f16", "--vram", "1200K")),
    ("stories-dynamo", "", ("--ctx", "384", "--kv-resident", "64")),
    ("stories-dynamo", "", ("--ctx", "256", "--kv-resident", "64", "--vram", "1100K")),
    ("stories-dynamo", "", ("--ctx", "384", "--prefill-chunk", "16", "--kv-window", "40", "--kv-sink", "3")),
    # Below what all activations together need: they are swapped out and in.
    ("stories-dynamo", "", ("--ctx", "256", "--vram", "500K")),
    ("ort-gpt2-past", "models/ort-gpt2-past/gpt2_past.onnx", ()),
    ("genai-tiny-gpt2", "models/genai-tiny-gpt2/past.onnx", ()),
)


def compile_plans(tool, folder):
    """The paths of the plans, and the names of what is absent."""
    tool.need()
    plans, absent = [], []
    for number, (name, path, options) in enumerate(PLANS):
        try:
            model = find(name, path)
        except Skip as reason:
            absent.append(str(reason))
            continue
        plan = folder / f"{number}-{name}.plan"
        budget = () if "--vram" in options else ("--vram", "unbounded")
        tool.good("compile", model, "-o", plan, "--weights", plan.with_suffix(".weights"), *budget, *options)
        plans.append(plan)
    return plans, absent


def mutate(options, tool, folder):
    program = options.bin_dir / "llmc-mutate"
    if not program.exists():
        raise Failure(f"{program} is not built")
    plans, absent = compile_plans(tool, folder)
    if absent:
        print("\n".join(f"absent: {line}" for line in absent))
    command = [program, "--samples", "--each", str(options.each), "--least", str(LEAST), *plans]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout.replace(f"{folder}/", ""), flush=True)
    if done.returncode != 0:
        raise Failure("\n".join(line for line in done.stdout.splitlines() if line.startswith("FAIL")) or done.stderr)
    if len(absent) == len(PLANS):
        raise Skip("no model is there")
    return done.stdout.splitlines()[-2]


def main():
    parser = suite.parser(__doc__)
    parser.add_argument("--each", type=int, default=12, help="damages of each sort and plan")
    options = parser.parse_args()
    tests = suite.Suite(options)
    with suite.tempfile.TemporaryDirectory() as folder:
        tests.add("mutations", mutate, options, suite.Tool(options), suite.pathlib.Path(folder))
        return tests.run()


if __name__ == "__main__":
    sys.exit(main())
