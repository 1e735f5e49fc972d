#!/usr/bin/env python3
"""Generated kernels against the interpreter: the same model compiled with --codegen on and off.

Logits of 32 forced tokens after a prompt agree closely (only the polynomials of exp and its like
differ), on one thread and on two bit for bit, for each --arch that this machine runs; equal input
gives equal plan bytes; a plan that carries code for several processors runs on each.
"""

import sys

import numpy as np

import suite
from compare import check_close, compile_plan, generate, listed
from model_list import DECODERS
from suite import Failure

CLOSE = 2e-5
STEPS = 32
MODELS = (
    "example",
    "stories-dynamo",
    "stories-optimum",
    "gpt2-dynamo",
    "genai-tiny-gpt2",
    "stories-dynamo-fp16",
    "stories-dynamo-bf16",
)


def logits(tool, plan, model, tokens, folder, threads, **keywords):
    out = folder / f"logits{threads}.npy"
    options = ("--force", listed(tokens), "--logits-out", out, "--threads", threads)
    prompt = listed(model.prompt)
    tool.json("generate", plan, "--tokens", prompt, "-n", len(tokens), *options, **keywords)
    found = np.load(out)
    return found.reshape(found.shape[0], -1)


def model_test(tool, folder, model):
    tool.need()
    folder = folder / model.name
    options = ["--ctx", model.context] if model.context else []
    options += ["--kv-type", model.kv_type] if model.kv_type != "auto" else []
    plain = compile_plan(tool, model.file(), folder / "off", *options, "--codegen", "off")
    tokens = generate(tool, plain, model.prompt, STEPS)["tokens"]
    expected = logits(tool, plain, model, tokens, folder, 1)
    archs = levels(tool)
    if not archs:
        raise suite.Skip("this machine runs no generated code")
    worst = 0.0
    for names in [[name] for name in archs] + [archs]:
        chosen = [part for name in names for part in ("--arch", name)]
        plan = compile_plan(tool, model.file(), folder / "-".join(names), *options, *chosen)
        if plan.stat().st_size <= plain.stat().st_size:
            raise Failure(f"{names}: the plan carries no code")
        one = logits(tool, plan, model, tokens, folder, 1)
        worst = max(worst, check_close(one, expected, CLOSE, f"logits of {names}"))
        two = logits(tool, plan, model, tokens, folder, 2)
        if not np.array_equal(one, two):
            raise Failure(f"{names}: two threads give other bits than one")
        place = folder / ("again-" + "-".join(names))
        again = compile_plan(tool, model.file(), place, *options, *chosen)
        if again.read_bytes() != plan.read_bytes():
            raise Failure(f"{names}: a second compilation gave other bytes")
        if len(names) > 1:
            for isa in ("v3", "v4"):
                again = logits(tool, plan, model, tokens, folder, 1, env={"LLMC_ISA": isa})
                check_close(again, expected, CLOSE, f"logits with LLMC_ISA={isa}")
    return f"{len(archs)} processors, largest difference {worst:.2g}"


def levels(tool):
    """Of x86-64-v3 and v4 those that this machine runs."""
    flags = next(
        (line for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("flags")), ""
    ).split()
    found = []
    if {"avx2", "fma", "bmi1", "bmi2", "f16c"} <= set(flags):
        found.append("x86-64-v3")
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= set(flags):
        found.append("x86-64-v4")
    return found


def stages(tool, folder):
    """The stages show the functions; --codegen explain says what is not generated."""
    tool.need()
    model = DECODERS[0]
    where = folder / "dump"
    plan = folder / "dump.plan"
    arguments = ("compile", model.file(), "--vram", "unbounded", "-o", plan)
    done = tool.good(*arguments, "--arch", "x86-64-v3", "--arch", "znver4", "--dump-stages", where)
    names = sorted(file.name.split("-", 1)[1] for file in where.iterdir() if "generate" in file.name)
    expected = ["generate-kernels-llvm.ll", "generate-kernels-llvm.ll", "generate-kernels.mlir"]
    if names != expected:
        raise Failure(f"stages {names}, expected {expected}")
    done = tool.good(*arguments, "--arch", "x86-64-v2", "--codegen", "explain")
    if "nothing is generated for x86-64-v2" not in done.stderr:
        raise Failure(f"no reason in: {done.stderr!r}")
    bad = tool.run(*arguments, "--arch", "x86-64-v4", "--arch", "znver4")
    if bad.returncode == 0 or "for each level once" not in bad.stderr:
        raise Failure(f"two processors of one level: {bad.returncode}, {bad.stderr!r}")
    return "3 stages, 1 reason"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    tests.add("stages", stages, tool, folder)
    for model in DECODERS:
        if model.name in MODELS:
            tests.add(model.name, model_test, tool, folder, model)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
