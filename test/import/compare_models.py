"""Imports models, executes the graph in NumPy and compares with ONNX Runtime.

usage: compare_models.py LLMC_IMPORT MODEL...

A model with state: prefill of a few tokens, then decode steps, all outputs. A
model without: one run. Exits 1 if a difference is above the bound.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

from graph_reference import Graph


def run_import(tool, model, *options):
    folder = tempfile.mkdtemp()
    subprocess.run([tool, model, "--dump", folder, *options], check=True)
    return Graph(folder)


def model_file(path):
    if os.path.isfile(path):
        return path
    return os.path.join(path, [f for f in sorted(os.listdir(path)) if f.endswith(".onnx")][0])


NP = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
      "tensor(float16)": np.float16, "tensor(bool)": np.bool_}


def compare(tool, path, options, bound):
    graph = run_import(tool, path, *options)
    file = model_file(path)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    if "qdq" in path:
        # Else it rounds activations to int8 inside of fused products.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    kinds = {i.name: NP[i.type] for i in session.get_inputs()}
    rng = np.random.default_rng(0)
    worst = 0.0
    entries = graph.data["entries"]
    if "main" in entries:
        inputs = {}
        for argument in entries["main"]["arguments"]:
            name = argument["attributes"]["graph.port"]["name"]
            dims = [d or 7 for d in _static(argument["type"])]
            high = 2 if "mask" in name or "type" in name else 50
            inputs[name] = rng.integers(0, high, dims).astype(kinds[name])
            if "mask" in name:
                inputs[name][:, 0] = 1
        symbols = {s: 7 for s in entries["main"]["attributes"]["graph.symbols"]}
        ours = graph.run("main", inputs, symbols)
        theirs = dict(zip(names, session.run(names, inputs)))
        return max(np.abs(ours[n] - theirs[n]).max() for n in names)
    first = entries.get("prefill", entries.get("decode"))
    ports = [a["attributes"]["graph.port"] | {"type": a["type"]} for a in first["arguments"]]
    results = [r["graph.port"] for r in first["results"]]
    tokens = next(p["name"] for p in ports if p["role"] == "tokens")
    vocabulary = 300 if "stories" in path else 20
    state = {}
    for port in ports:
        if port["role"] == "past":
            dims = [d or 0 for d in _static(port["type"])]
            dims[port["axis"]] = 0
            state[port["name"]] = np.zeros(dims, kinds[port["name"]])
    theirs_state = dict(state)
    past = 0
    plan = [("prefill", 9), ("prefill", 4)] if "prefill" in entries else []
    plan += [("decode", 1)] * (6 if "decode" in entries else 0)
    for entry, count in plan:
        ids = rng.integers(1, vocabulary, (1, count)).astype(kinds[tokens])
        symbols = {"past": past, "seq": count}
        ours = graph.run(entry, {tokens: ids, **state}, symbols)
        feed = {tokens: ids, **theirs_state}
        for name in kinds:
            if name not in feed:
                feed[name] = (np.arange(past, past + count)[None] if "position" in name
                              else np.ones((1, past + count))).astype(kinds[name])
        theirs = dict(zip(names, session.run(names, feed)))
        past += count
        for name in names:
            worst = max(worst, float(np.abs(ours[name].astype(np.float32) - theirs[name].astype(np.float32)).max()))
        for port in ports:
            if port["role"] == "past":
                out = next(r["name"] for r in results if r.get("state") == port["state"])
                state[port["name"]] = ours[out]
                theirs_state[port["name"]] = theirs[out]
    return worst


def _static(text):
    from graph_reference import parse_type
    return parse_type(text)[0]


def main():
    tool, failed = sys.argv[1], 0
    for path in sys.argv[2:]:
        options = ["--dim", "max_seq_len_in_batch=1..64"] if "bert" in path else []
        loose = "int4" in path or "dynamic" in path or "16" in path or "nbits" in path
        bound = 2e-2 if loose else 1e-4
        worst = compare(tool, path, options, bound)
        failed += worst > bound or np.isnan(worst)
        print(f"{'ok  ' if worst <= bound else 'FAIL'} {worst:.2e} {path}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
