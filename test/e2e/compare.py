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
from model_list import DECODERS, FP32, find
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
    """Eight single-token steps; last_state of each, and every output of the first by `run`."""
    tool.need()
    file = find("ort-gpt2-past", "models/ort-gpt2-past/gpt2_past.onnx")
    tokens = [1, 4, 0, 7, 2, 6, 3, 5]
    expected = reference.single_steps(file, tokens)
    folder = folder / "ort-gpt2-past"
    plan = compile_plan(tool, file, folder, "--ctx", 8)
    logits = folder / "steps.npy"
    force = ("--force", listed(tokens[1:]), "--logits-out", logits)
    generate(tool, plan, tokens[:1], 7, *force)
    found = np.load(logits).reshape(7, -1)
    rows = np.stack([expected[f"last_state@{i}"].reshape(-1) for i in range(7)])
    worst = check_close(found, rows, FP32, "last_state of steps 0..6")
    # Step 7 fills the last position: the whole prompt is fed, one token at a time.
    generate(tool, plan, tokens, 1, "--logits-out", logits)
    last = np.load(logits).reshape(1, -1)
    worst = max(worst, check_close(last, expected["last_state@7"].reshape(1, -1), FP32, "step 7"))

    worst = max(worst, all_outputs_of_steps(tool, plan, folder, tokens, expected))
    return f"largest difference {worst:.2g} in {len(tokens)} steps"


def all_outputs_of_steps(tool, plan, folder, tokens, expected):
    """Every output of each of the steps: `run` is given the first N tokens from empty state."""
    worst = 0.0
    names = sorted({key.split("@")[0] for key in expected})
    for step in range(len(tokens)):
        np.save(folder / "ids.npy", np.array([tokens[: step + 1]], np.int64))
        out = folder / f"out{step}"
        tool.good("run", plan, "--input", f"input_ids={folder / 'ids.npy'}", "--output-dir", out)
        for name in names:
            found = np.load(out / present_name(name))
            wanted = expected[f"{name}@{step}"]
            if name == "last_state":
                found = found.reshape(wanted.shape) if found.size == wanted.size else found[:, -1:]
            worst = max(worst, check_close(found, wanted, FP32, f"{name} after step {step}"))
    return worst


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
