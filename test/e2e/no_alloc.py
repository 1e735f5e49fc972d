#!/usr/bin/env python3
"""Steady state: neither allocations nor page faults in any thread over 64 decode steps.

malloc, new, mmap and brk are counted from the load on, ru_minflt and ru_majflt after 8 steps to
warm up. The arena is in memory when the load ends. Each model runs from a plan without a bound and
from one at its smallest budget, which streams.
"""

import json
import subprocess
import sys

import suite
from model_list import DECODERS
from suite import Failure, Skip

STEPS = 64
THREADS = (1, 3, 8)
NAMES = ("example", "stories-genai-fp32", "stories-genai-int4", "genai-tiny-gpt2")


def minimum(tool, model, folder):
    """The smallest budget, as the refusal of one page names it."""
    out = folder / "refused.plan"
    done = tool.run("compile", model.file(), "-o", out, "--vram", 4096, "--json")
    if done.returncode != 3:
        raise Failure(f"--vram 4096 ends with {done.returncode}, expected 3")
    return suite.parse_json(done.stdout, "compile")["minimum_bytes"]


def count(counter, plan, threads):
    done = subprocess.run(
        [str(counter), str(plan), str(STEPS), str(threads)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if not done.stdout:
        raise Failure(f"{plan.stem}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    found = json.loads(done.stdout)
    none = all(found[key] == 0 for key in ("allocations", "minor_faults", "major_faults"))
    if done.returncode != 0 or found["steps"] != STEPS or not none:
        raise Failure(f"{plan.stem}, {threads} threads: {done.stdout.strip()}")
    return found


def decodes_without_allocating(tool, counter, folder, model):
    tool.need()
    if not counter.exists():
        raise Skip(f"{counter} is not built")
    folder = folder / model.name
    folder.mkdir(parents=True)
    notes = []
    for name, budget in (("unbounded", "unbounded"), ("smallest", minimum(tool, model, folder))):
        plan = folder / f"{name}.plan"
        compiled = tool.json("compile", model.file(), "-o", plan, "--vram", budget)
        for threads in THREADS:
            found = count(counter, plan, threads)
            if found["load_resident_bytes"] < compiled["device_bytes"]:
                raise Failure(f"{name}: {found} of {compiled['device_bytes']} bytes at load")
        notes.append(f"{name}: 0 and 0 in {STEPS} steps ({found['counted_at_load']} calls at load)")
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
