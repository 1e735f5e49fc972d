#!/usr/bin/env python3
"""Nothing is allocated after load: malloc, new, mmap and brk in all threads over 64 decode steps.

Each model runs from a plan without a bound and from one at its smallest budget, which streams.
"""

import json
import subprocess
import sys

import suite
from model_list import DECODERS
from suite import Failure, Skip

STEPS = 64
NAMES = ("example", "stories-genai-fp32", "stories-genai-int4", "genai-tiny-gpt2")


def minimum(tool, model, folder):
    """The smallest budget, as the refusal of one page names it."""
    out = folder / "refused.plan"
    done = tool.run("compile", model.file(), "-o", out, "--vram", 4096, "--json")
    if done.returncode != 3:
        raise Failure(f"--vram 4096 ends with {done.returncode}, expected 3")
    return suite.parse_json(done.stdout, "compile")["minimum_bytes"]


def decodes_without_allocating(tool, counter, folder, model):
    tool.need()
    if not counter.exists():
        raise Skip(f"{counter} is not built")
    folder = folder / model.name
    folder.mkdir(parents=True)
    notes = []
    for name, budget in (("unbounded", "unbounded"), ("smallest", minimum(tool, model, folder))):
        plan = folder / f"{name}.plan"
        tool.good("compile", model.file(), "-o", plan, "--vram", budget)
        done = subprocess.run(
            [str(counter), str(plan), str(STEPS)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if not done.stdout:
            raise Failure(f"{name}: status {done.returncode}: {done.stderr.strip()[-500:]}")
        found = json.loads(done.stdout)
        if done.returncode != 0 or found["steps"] != STEPS or found["allocations"] != 0:
            raise Failure(f"{name}: status {done.returncode}, {done.stdout.strip()}")
        notes.append(f"{name}: 0 in {found['steps']} steps ({found['counted_at_load']} at load)")
    return "; ".join(notes)


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    counter = options.bin_dir / "llmc-count-allocations"
    folder = suite.work_folder(options)
    for model in DECODERS:
        if model.name in NAMES:
            tests.add(model.name, decodes_without_allocating, tool, counter, folder, model)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
