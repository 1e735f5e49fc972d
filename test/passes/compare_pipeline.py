#!/usr/bin/env python3
"""Executes models before and after the graph pipeline and compares.

    python test/passes/compare_pipeline.py [--only NAME]... [--bin-dir build/bin]

Both sides run in NumPy: prefill in two pieces, then decode steps, with states
carried along. Compared are the logits of the last position, all other outputs
and the states. Fails as well if the state or the attention of a model with
state was not recovered.
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from model_list import DECODERS, find  # noqa: E402
from recovered_reference import RecoveredGraph, parse_type  # noqa: E402
from suite import Failure, Skip, Suite, parser  # noqa: E402

CLOSE, LOOSE = 1e-4, 5e-1
TOLD = ("linear", "gated_linear", "split_linear", "quant_linear", "rms_norm", "layer_norm", "rope",
        "attention", "kv_append", "kv_read", "matmul", "fused")


def load(tool, model, options):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([tool, model, "--dump", folder, *options], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure(done.stderr.strip() or f"llmc-import exits with {done.returncode}")
        return RecoveredGraph(folder)


def ports_of(entry):
    return [a["attributes"]["graph.port"] | {"type": a["type"]} for a in entry["arguments"]]


def dims_of(port, default):
    return [default if d is None else d for d in parse_type(port["type"])[0]]


def compare(tool, path, passes):
    options = ["--dim", "max_seq_len_in_batch=1..64"] if "bert" in path else []
    before = load(tool, path, options)
    after = load(tool, path, options + ["--passes", passes])
    entries = before.data["entries"]
    ops = collections.Counter(op["op"].split(".")[1]
                              for entry in after.data["entries"].values() for op in entry["ops"])
    rng = np.random.default_rng(0)
    worst = 0.0

    def check(ours, theirs):
        nonlocal worst
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        if ours.shape != theirs.shape:
            theirs = theirs[:, -1:]
        worst = max(worst, np.abs(ours - theirs).max() if np.isfinite(ours).all() else np.inf)

    if "main" in entries:
        inputs = {}
        for port in ports_of(entries["main"]):
            high = 2 if "mask" in port["name"] or "type" in port["name"] else 50
            dtype = np.int32 if parse_type(port["type"])[1] == "i32" else np.int64
            inputs[port["name"]] = rng.integers(0, high, dims_of(port, 7)).astype(dtype)
            if "mask" in port["name"]:
                inputs[port["name"]][:, 0] = 1
        symbols = {s: 7 for s in entries["main"]["attributes"]["graph.symbols"]}
        theirs = before.run("main", inputs, symbols)
        for name, value in after.run("main", inputs, symbols).items():
            check(value, theirs[name])
        return worst, ops
    ports = ports_of(next(iter(entries.values())))
    presents = {r["graph.port"].get("state"): r["graph.port"]["name"]
                for r in next(iter(entries.values()))["results"]}
    tokens = next(p for p in ports if p["role"] == "tokens")
    state = {}
    for port in ports:
        if port["role"] == "past":
            dims = dims_of(port, 0)
            dims[port["axis"]] = 0
            state[port["name"]] = np.zeros(dims, {"f32": "f4", "f16": "f2", "bf16": "f4"}[parse_type(port["type"])[1]])
    dense_state = dict(state)
    plan = [("prefill", 9), ("prefill", 4)] if "prefill" in entries else []
    plan += [("decode", 1)] * (6 if "decode" in entries else 0)
    past = 0
    for entry, count in plan:
        ids = rng.integers(1, 20, (1, count))
        ids = ids.astype(np.int32 if parse_type(tokens["type"])[1] == "i32" else np.int64)
        symbols = {"past": past, "seq": count}
        theirs = before.run(entry, {tokens["name"]: ids, **state}, symbols)
        ours = after.run(entry, {tokens["name"]: ids, **dense_state}, symbols)
        ours |= after.state_outputs()
        assert set(ours) == set(theirs), set(ours) ^ set(theirs)
        for name, value in ours.items():
            check(value, theirs[name])
        for port in ports:
            if port["role"] == "past":
                state[port["name"]] = theirs[presents[port["state"]]]
                dense_state[port["name"]] = ours[presents[port["state"]]]
        past += count
    pairs = sum(p["role"] == "past" for p in ports)
    if len(after.data["states"]) != pairs or ops["attention"] == 0:
        print(f"     not recovered: {len(after.data['states'])} of {pairs} states, "
              f"{ops['attention']} attentions")
        worst = np.inf
    return worst, ops


def test(tool, find, passes, bound):
    if not tool.exists():
        raise Skip(f"{tool} was not built")
    worst, ops = compare(str(tool), str(find()), passes)
    said = ", ".join(f"{n} {k}" for k, n in sorted(ops.items()) if k in TOLD)
    if not worst <= bound:
        raise Failure(f"largest difference {worst:.3g}, allowed {bound:g} ({said})")
    return f"{worst:.2e}, {said}"


def main():
    options = parser(__doc__).parse_args()
    tool = options.bin_dir / "llmc-import"
    tests = Suite(options)
    for model in DECODERS:
        # Rounding may fall the other way: of half floats, of activations in steps.
        loose = "16" in model.name.split("-fp32")[0] or "dynamic" in model.name
        tests.add(model.name, test, tool, model.file, "llmc-graph", LOOSE if loose else CLOSE)
    for name, path in (("ort-gpt2-past", "models/ort-gpt2-past/gpt2_past.onnx"),
                       ("ort-bert-toy", "models/ort-bert-toy/bert_toy_optimized.onnx")):
        tests.add(name, test, tool, lambda n=name, p=path: find(n, p), "llmc-graph", CLOSE)
    stories = lambda: find("stories-dynamo", "")
    tests.add("all-logits", test, tool, stories, "llmc-graph{all-logits=true}", CLOSE)
    tests.add("int8", test, tool, stories, "llmc-graph{quantize=int8}", LOOSE)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
