#!/usr/bin/env python3
"""The same input gives the same plan bytes and the same packed weights: twice, in two directories.

The second compile works on a copy of the model elsewhere, from another working directory, and
with another environment.
"""

import shutil
import struct
import sys

import suite
from model_list import DECODERS
from suite import Failure

NAMES = ("example", "stories-dynamo", "stories-optimum", "stories-genai-int4", "genai-tiny-gpt2")


def same_bytes(tool, folder, model, budget):
    tool.need()
    source = model.file().parent
    plans, weights = [], []
    for index, place in enumerate(("first", "second/deeper")):
        place = folder / f"{model.name}-{budget}" / place
        shutil.copytree(source, place / "model", ignore=shutil.ignore_patterns("*.plan", "hf"))
        out = place / "out"
        out.mkdir()
        tool.good(
            "compile",
            place / "model" / model.file().name,
            "-o",
            out / "x.plan",
            "--vram",
            budget,
            cwd=place,
            env={"LLMC_E2E_NOISE": "x" * index * 100, "TZ": "UTC" if index else "Asia/Tokyo"},
        )
        plans.append((out / "x.plan").read_bytes())
        files = sorted(out.glob("*.weights"))
        if len(files) != 1:
            raise Failure(f"weights files beside the plan: {[file.name for file in files]}")
        weights.append((files[0].name, without_sources(files[0].read_bytes())))
    if plans[0] != plans[1]:
        raise Failure(f"plans differ {first_difference(*plans)}")
    if weights[0][0] != weights[1][0]:
        raise Failure(f"weights files are called {weights[0][0]} and {weights[1][0]}")
    if weights[0][1] != weights[1][1]:
        raise Failure(f"weights differ {first_difference(weights[0][1], weights[1][1])}")
    return f"{len(plans[0])} + {len(weights[0][1])} bytes"


def without_sources(weights):
    """The file without what names where its segments were packed from (FORMAT.md): the time of
    change of external data is no property of the model."""
    data = bytearray(weights)
    table, _, count = struct.unpack_from("<QQQ", data, 24)
    data[48:64] = data[4080:4096] = bytes(16)
    for index in range(count):
        source = table + 56 * index + 16
        data[source : source + 16] = bytes(16)
    return bytes(data)


def first_difference(one, two):
    if len(one) != len(two):
        return f"in length: {len(one)} and {len(two)} bytes"
    offset = next(i for i, (a, b) in enumerate(zip(one, two)) if a != b)
    return f"from byte {offset} of {len(one)}"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    for model in DECODERS:
        if model.name in NAMES:
            tests.add(model.name, same_bytes, tool, folder, model, "unbounded")
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
