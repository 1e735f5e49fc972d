#!/usr/bin/env python3
"""Activation memory against ONNX Runtime on the same models and inputs.

    python test/bench/ort_memory.py [--only NAME] [--group GROUP] [--out FILE.json]

ONNX Runtime: CPU, all graph optimizations, memory patterns on, an arena of its own with
kSameAsRequested, one thread (more would need more), its own statistics (AllocatorGetStats):
what the second run, which uses the pattern, takes at most beyond what the arena held before
(weights, whether packed or not, are in "before"). Each line has sessions of its own: patterns are
found by a key of the input shapes that takes a decode step for the prefill before it, and then
needs as much.

llmc: what the same entry takes of the arena, kernel scratch included, from a plan whose bounds are
exactly the dimensions that ran.

Neither counts the inputs, nor keys and values: ONNX Runtime's past and present are given to it as
the caller's memory, llmc's are state. Outputs are counted: for ONNX Runtime the smaller of two
ways, from its arena, or as the caller's memory beside it (its patterns reserve room for an output
that then lies elsewhere). "No outputs" leaves them out of both; "with inputs" adds inputs to both.
ONNX Runtime computes logits of every position, so llmc is compared with --logits all; "last" is
its default, the last position only. Target: at most half on the transformers, never more on any.

Not counted on either side: what threads own apart from the arena (MLAS's buffers; llmc's 256 KiB
per thread).
"""

import re
import sys

import numpy as np

import memory_models as common
import ort_api
from memory_models import Failure, Skip, kib, peak_of

PREFILL = 128
# Beyond the model's tables; (tokens of the prefill, at most).
LIMITS = {"ort-gpt2-past": 8, "llama-1b": 2048, "ort-bert-toy": 64}


def is_state(name):
    return bool(re.match(r"(past|key_cache|value_cache|cache)", name))


def feeds_of(session, kind, tokens, past):
    """Inputs of `tokens` tokens after `past`, and where the present state goes."""
    random = np.random.default_rng(1)
    feeds, kept = {}, {}
    states = [name for name in session.inputs if is_state(name)]
    for name, (dtype, shape, element) in session.inputs.items():
        if kind == "cnn":
            feeds[name] = random.random(shape, dtype=np.float32).astype(dtype)
        elif name in states:
            free = [d for d in range(len(shape)) if shape[d] < 0]
            # The last free dimension is the length, others are the batch.
            known = [past if d == free[-1] else 1 if d in free else n for d, n in enumerate(shape)]
            feeds[name] = np.zeros(known, dtype)
            present = [past + tokens if d == free[-1] else n for d, n in enumerate(known)]
            kept[name] = (np.zeros(present, dtype), element)
        elif "mask" in name:
            feeds[name] = np.ones((1, past + tokens), dtype)
        elif "position" in name:
            feeds[name] = np.arange(past, past + tokens)[None].astype(dtype)
        else:  # ids
            feeds[name] = np.zeros((1, tokens), dtype)
    if kind == "cnn":
        return feeds, {}
    # Outputs of state follow the first output, in the order of the inputs, or have numbers.
    outputs = [name for name in session.outputs if name.startswith("present")]
    if outputs:
        states, outputs = sorted(states, key=numbers), sorted(outputs, key=numbers)
    else:
        outputs = session.outputs[1:] if states else []
    if len(outputs) != len(states):
        raise Failure(f"{len(states)} states in, {len(outputs)} out")
    return feeds, {out: kept[name] for out, name in zip(outputs, states)}


def numbers(name):
    return [int(n) for n in re.findall(r"\d+", name)], name.replace("present", "").replace("past", "")


def runs_of(case):
    """[(what, entry of the plan, tokens, past)]"""
    if case.kind == "cnn":
        return [("", "main", 0, 0)]
    length = LIMITS.get(case.name, PREFILL)
    if case.kind == "encoder":
        return [(f"{length} tokens", "main", length, 0)]
    decode = (f"decode at {length - 1}", "decode", 1, length - 1)
    if case.name == "ort-gpt2-past":  # takes one token at a time
        return [decode]
    return [(f"prefill of {length}", "prefill", length, 0), decode]


def bounds_of(case):
    length = LIMITS.get(case.name, PREFILL)
    if case.kind == "cnn":
        return ()
    if case.kind == "encoder":
        return ("--dim", f"max_seq_len_in_batch={length}", "--dim", "batch=1")
    return ("--prefill-chunk", length, "--ctx", length)


def llmc_bytes(compiler, case, *arguments):
    """{entry: (without inputs, with inputs)}"""
    plain = common.Case(case.name, case.kind, case.group, case.source)
    report = compiler.report(plain, *bounds_of(case), *arguments)
    found = {}
    for entry in report["entries"]:
        own, base = common.region_of(report, entry["name"])
        extent = max((b["offset"] + b["size"] for b in own), default=base) - base
        waste = extent - peak_of(own, lambda b: b["size"])  # of the layout: counted in all

        def without(*kinds, own=own, waste=waste):
            return peak_of([b for b in own if b["kind"] not in kinds], lambda b: b["size"]) + waste

        found[entry["name"]] = {
            "llmc": without("input"),
            "llmc_with_inputs": extent,
            "llmc_no_outputs": without("input", "output"),
        }
    return found


def ort_bytes(case, tokens, past):
    """ONNX Runtime's figures, outputs in the arena and outputs of the caller."""

    def steady(kept):
        session = ort_api.Session(case.file())
        peaks = []
        for _ in range(3):
            peak, shapes = session.peak_of_run(feeds, kept)
            peaks.append(peak)
        session.close()
        if peaks[1] != peaks[2]:
            raise Failure(f"ONNX Runtime's second and third run differ: {peaks}")
        return peaks, shapes

    probe = ort_api.Session(case.file())
    feeds, states = feeds_of(probe, case.kind, tokens, past)
    version = probe.version
    probe.close()
    inside, shapes = steady(states)
    caller = {
        name: states.get(name) or (np.zeros(shape, dtype), kind)
        for name, (dtype, shape, kind) in shapes.items()
    }
    outside, _ = steady(caller)
    outputs = sum(a.nbytes for name, (a, _) in caller.items() if name not in states)
    return {
        "onnxruntime": version,
        "ort_first_run": inside[0],
        "ort_outputs_in_arena": inside[1],
        "ort_no_outputs": outside[1],
        "ort": min(inside[1], outside[1] + outputs),
        "inputs": sum(a.nbytes for name, a in feeds.items() if not is_state(name)),
        "outputs": outputs,
    }


def measure(compiler, case):
    every = llmc_bytes(compiler, case, *(("--logits", "all") if case.kind == "decoder" else ()))
    last = llmc_bytes(compiler, case)
    rows = []
    for what, entry, tokens, past in runs_of(case):
        if entry not in every:
            raise Failure(f"the plan has no entry {entry}, but {', '.join(every)}")
        try:
            row = {"name": case.name, "kind": case.kind, "run": what}
            row.update(ort_bytes(case, tokens, past))
        except ort_api.OrtError as error:
            raise Skip(f"ONNX Runtime cannot run it: {str(error)[:160]}") from error
        row.update(every[entry])
        row["llmc_last_logits"] = last[entry]["llmc"]
        row["ratio"] = row["llmc"] / row["ort"]
        row["ratio_with_inputs"] = row["llmc_with_inputs"] / (row["ort"] + row["inputs"])
        row["ratio_no_outputs"] = row["llmc_no_outputs"] / max(row["ort_no_outputs"], 1)
        row["ratio_last_logits"] = row["llmc_last_logits"] / row["ort"]
        rows.append(row)
    return rows


def target_of(row):
    return 1.0 if row["kind"] == "cnn" else 0.5


def show(rows):
    print("| model | run | ORT, KiB | llmc, KiB | ratio | target | no outputs | with inputs | last |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        met = "" if r["ratio"] <= target_of(r) else " **missed**"
        print(
            f"| {r['name']} | {r['run']} | {kib(r['ort'])} | {kib(r['llmc'])} "
            f"| {r['ratio']:.2f}{met} | {target_of(r)} | {r['ratio_no_outputs']:.2f} "
            f"| {r['ratio_with_inputs']:.2f} | {r['ratio_last_logits']:.2f} |"
        )
    for kind, words in ((("cnn",), "CNNs"), (("decoder", "encoder"), "transformers")):
        ratios = [r["ratio"] for r in rows if r["kind"] in kind]
        if ratios:
            met = sum(r["ratio"] <= target_of(r) for r in rows if r["kind"] in kind)
            print(f"{words}: {met} of {len(ratios)} within the target, largest {max(ratios):.2f}")


def main():
    options = common.parser(__doc__).parse_args()
    compiler = common.Compiler(options)
    rows, failed = [], []
    for case in common.chosen(options):
        try:
            rows += measure(compiler, case)
        except Skip as reason:
            print(f"SKIP {case.name}: {reason}", flush=True)
        except Failure as reason:
            failed.append(case.name)
            print(f"FAIL {case.name}: {reason}", flush=True)
    if rows:
        show(rows)
        common.write_json(options, "ort_memory", {"runs": rows, "failed": failed})
    return 0 if rows and not failed and all(r["ratio"] <= target_of(r) for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
