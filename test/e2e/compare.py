#!/usr/bin/env python3
"""Compares compiled plans with ONNX Runtime: logits of prefill and decode, and greedy tokens.

    python test/e2e/compare.py [--only NAME]... [--bin-dir build/bin]

Each decoder: ONNX Runtime writes 65 tokens greedily; llmc is fed the same tokens (--force) and its
logits are compared row by row; then llmc chooses by itself, and the tokens must be the same.
"""

import json
import sys

import numpy as np

import reference
import suite
from model_list import DECODERS, FP32, ROUNDED_ACTIVATIONS, find
from suite import Failure


def listed(tokens):
    return ",".join(str(int(token)) for token in tokens)


def check_close(found, expected, tolerance, what):
    """Raises unless both have one shape and differ by at most `tolerance`; returns the maximum."""
    if found.shape != expected.shape:
        raise Failure(f"{what}: shape {found.shape}, expected {expected.shape}")
    if not np.isfinite(found).all():
        raise Failure(f"{what}: not finite")
    if found.size == 0:
        return 0.0
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    if difference.max() > tolerance:
        where = np.unravel_index(difference.argmax(), difference.shape)
        raise Failure(
            f"{what}: largest difference {difference.max():.3g} at {list(map(int, where))}"
            f" (found {found[where]:.6g}, expected {expected[where]:.6g}), allowed {tolerance:g}"
        )
    return float(difference.max())


def compile_plan(tool, model, folder, *options, budget="unbounded"):
    folder.mkdir(parents=True, exist_ok=True)
    plan = folder / "x.plan"
    tool.good("compile", model, "-o", plan, "--vram", budget, *options)
    return plan


def generate(tool, plan, prompt, count, *options):
    return tool.json("generate", plan, "--tokens", listed(prompt), "-n", count, *options)


def decoder(tool, folder, model):
    tool.need()
    expected = reference.greedy(model.reference_file(), model.prompt, model.steps)
    options = ["--ctx", model.context] if model.context else []
    options += ["--kv-type", model.kv_type] if model.kv_type != "auto" else []
    folder = folder / model.name
    plan = compile_plan(tool, model.file(), folder, *options)
    tokens = expected["tokens"]

    logits = folder / "logits.npy"
    force = ("--force", listed(tokens), "--logits-out", logits)
    generate(tool, plan, model.prompt, len(tokens), *force)
    found = np.load(logits)
    found = found.reshape(found.shape[0], -1) if found.ndim > 1 else found
    check_close(found[:1], expected["logits"][:1], model.tolerance, "prefill logits")
    worst = check_close(found, expected["logits"], model.tolerance, "logits")

    if model.tolerance == ROUNDED_ACTIVATIONS:
        agree = (found.argmax(axis=-1) == tokens).mean()
        if agree < 0.9:
            raise Failure(f"only {agree:.0%} of the choices agree")
        return f"largest difference {worst:.2g}, {agree:.0%} of the choices agree"
    answer = generate(tool, plan, model.prompt, len(tokens))
    check_greedy(answer, tokens, end_tokens(model.file().parent))
    return f"largest difference {worst:.2g}, {len(answer['tokens'])} greedy tokens equal"


def end_tokens(folder):
    """The ids that end generation, from the sidecars that llmc reads."""
    ends = set()
    for name in ("generation_config.json", "config.json", "genai_config.json"):
        file = folder / name
        if file.is_file():
            config = json.loads(file.read_text())
            value = config.get("model", config).get("eos_token_id")
            ends.update([value] if isinstance(value, int) else value or [])
    return ends


def check_greedy(answer, expected, ends):
    found = answer["tokens"]
    expected = [int(token) for token in expected]
    for index, token in enumerate(expected):
        if token in ends:  # generation stops there; the end token itself may be shown or not
            expected = expected[: index + 1]
            if found == expected[:-1]:
                return
            break
    if found != expected:
        first = next(
            (i for i, (a, b) in enumerate(zip(found, expected)) if a != b),
            min(len(found), len(expected)),
        )
        raise Failure(
            f"greedy tokens differ from step {first}: found {found[first : first + 5]}"
            f" of {len(found)}, expected {expected[first : first + 5]} of {len(expected)}"
        )


def present_name(name):
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name) + ".npy"


def ort_gpt2_past(tool, folder):
    """Eight single-token steps, all 13 outputs after each."""
    tool.need()
    file = find("ort-gpt2-past", "models/ort-gpt2-past/gpt2_past.onnx")
    tokens = [1, 3, 0, 2, 2, 1, 3, 0]  # below 4, the width of last_state
    expected = reference.single_steps(file, tokens)
    folder = folder / "ort-gpt2-past"
    plan = compile_plan(tool, file, folder, "--ctx", len(tokens))
    names = sorted({key.split("@")[0] for key in expected} - {"last_state"})
    logits = folder / "steps.npy"
    worst = 0.0
    for step in range(len(tokens)):
        # The first token is the prompt, the others are forced; the last one chosen is not fed.
        count = step + 1
        out = folder / f"state{step}"
        options = ["--logits-out", logits, "--state-out", out]
        if step:
            options += ["--force", listed(tokens[1:count])]
        generate(tool, plan, tokens[:1], count, *options)
        rows = np.load(logits).reshape(count, -1)
        wanted = np.stack([expected[f"last_state@{i}"].reshape(-1) for i in range(count)])
        worst = max(worst, check_close(rows, wanted, FP32, f"last_state of {count} steps"))
        for name in names:
            found = np.load(out / present_name(name))
            what = f"{name} after step {step}"
            worst = max(worst, check_close(found, expected[f"{name}@{step}"], FP32, what))
    # The same through a prompt of eight: tokens of a prompt are fed one at a time here.
    generate(tool, plan, tokens, 1, "--logits-out", logits)
    last = expected["last_state@7"].reshape(1, -1)
    worst = max(worst, check_close(np.load(logits).reshape(1, -1), last, FP32, "prompt of 8"))
    return f"largest difference {worst:.2g}, {len(names) + 1} outputs, {len(tokens)} steps"


def ort_bert_toy(tool, folder):
    tool.need()
    file = find("ort-bert-toy", "models/ort-bert-toy/bert_toy_optimized.onnx")
    random = np.random.default_rng(3)
    length = 23
    feed = {
        "input_ids": random.integers(0, 99, (1, length)),
        "token_type_ids": random.integers(0, 2, (1, length)),
        "input_mask": np.array([[1] * 19 + [0] * 4]),
    }
    feed = {name: value.astype(np.int64) for name, value in feed.items()}
    expected = reference.once(file, feed)
    folder = folder / "ort-bert-toy"
    bounds = ("--dim", "max_seq_len_in_batch=1..64", "--dim", "batch=1")
    plan = compile_plan(tool, file, folder, *bounds)
    arguments = []
    for name, value in feed.items():
        np.save(folder / f"{name}.npy", value)
        arguments += ["--input", f"{name}={folder / name}.npy"]
    tool.good("run", plan, *arguments, "--output-dir", folder / "out")
    worst = 0.0
    for name, wanted in expected.items():
        found = np.load(folder / "out" / present_name(name))
        worst = max(worst, check_close(found, wanted, FP32, name))
    return f"largest difference {worst:.2g} in {len(expected)} outputs"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    for model in DECODERS:
        tests.add(model.name, decoder, tool, folder, model)
    tests.add("ort-gpt2-past", ort_gpt2_past, tool, folder)
    tests.add("ort-bert-toy", ort_bert_toy, tool, folder)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
