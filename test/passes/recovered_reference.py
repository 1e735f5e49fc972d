"""The ops that only the graph pipeline makes, in NumPy.

Adds to test/import/graph_reference.py: linear layers, fused element-wise
trees, states, and what reads them. A cache is the dense tensor of its tokens.
"""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "import"))
from graph_reference import (UNARY, Graph, Ops, Segments, dense,  # noqa: E402
                             np_type, parse_type)


def activate(y, a):
    kind = a.get("activation", "none")
    return y if kind == "none" else UNARY[kind](y)


def product(x, weight, layout):
    w = weight.astype(np.float32)
    return x.astype(np.float32) @ (w if layout == "kn" else w.T)


def linear(g, x, a, types, dims):
    y, w, bias, residual = Segments(x, a, 4).values
    y = product(y, w, a["weight_layout"])
    if bias is not None:
        y = y + bias.astype(np.float32)
    y = activate(y, a)
    if residual is not None:
        y = y + residual.astype(np.float32)
    return y.astype(np_type(types[0][1]))


def gated_linear(g, x, a, types, dims):
    y = activate(product(x[0], x[1], a["gate_layout"]), a)
    return (y * product(x[0], x[2], a["up_layout"])).astype(np_type(types[0][1]))


def split_linear(g, x, a, types, dims):
    parts = len(a["layouts"])
    results = []
    for i, layout in enumerate(a["layouts"]):
        y = product(x[0], x[1 + i], layout)
        if len(x) > 1 + parts:
            y = y + x[1 + parts + i].astype(np.float32)
        results.append(activate(y, a).astype(np_type(types[i][1])))
    return tuple(results)


def int8_table(a, w):
    """[N, K], rounded to 255 steps per output."""
    w = w.astype(np.float32)
    w = w.T if a.get("float_layout", "nk") == "kn" else w
    scale = np.abs(w).max(1, keepdims=True) / 127
    return np.rint(w / np.where(scale == 0, 1, scale)) * scale


plain_quant_linear = Ops.quant_linear
plain_quant_gather = Ops.quant_gather
plain_gather = Ops.gather


def columns_as_rows(a, parts):
    """qdq_kn as qdq_nk: codes [N, K], scales and zero points [N, blocks]."""
    n = a["n"]
    codes, scales, zeros = parts
    blocked = scales.ndim == 2 and scales.shape[1] == n
    turn = lambda p: None if p is None else (p.T if blocked else np.broadcast_to(p.reshape(-1, 1), (n, 1)))
    return codes.T, turn(scales), turn(zeros)


def quant_linear(g, x, a, types, dims):
    y, codes, scales, zeros, g_idx, bias = Segments(x, a).values
    if a["format"] == "int8":
        out = y.astype(np.float32) @ int8_table(a, codes).T
    else:
        form = a["format"]
        if form == "qdq_kn":
            codes, scales, zeros = columns_as_rows(a, (codes, scales, zeros))
            form = "qdq_nk"
        elif form == "qdq_nk" and scales.size == 1:
            codes, scales, zeros = columns_as_rows(a | {"n": codes.shape[0]}, (codes.T, scales, zeros))
        parts = [y, codes, scales, zeros, g_idx]
        present = [p for p in parts if p is not None]
        sizes = [int(p is not None) for p in parts] + [0]
        plain = {k: v for k, v in a.items() if k != "activation"} | {"format": form, "operandSegmentSizes": sizes}
        out = plain_quant_linear(g, present, plain, [(None, "f32")], dims)
    out = out if bias is None else out + bias.astype(np.float32)
    return activate(out, a).astype(np_type(types[0][1]))


def quant_gather(g, x, a, types, dims):
    codes, scales, zeros, indices = Segments(x, a).values
    if a["format"] == "int8":
        return int8_table(a, codes)[indices].astype(np_type(types[0][1]))
    return plain_quant_gather(g, x, a, types, dims)


def gather(g, x, a, types, dims):
    if a.get("weight_layout", "nk") == "kn":
        x = [x[0].T, x[1]]
    return plain_gather(g, x, a, types, dims)


def fused(g, x, a, types, dims):
    values = dict(zip(a["arguments"], x))
    for op in a["body"]:
        operands = [values[i] for i in op["operands"]]
        if op["op"] == "graph.yield":
            return np.broadcast_to(operands[0], dims[0])
        attributes = op["attributes"]
        inner = [parse_type(t) for t in op["types"]]
        if op["op"] == "graph.constant":
            values[op["results"][0]] = dense(attributes["value"], [], inner[0][1])
            continue
        shape = np.broadcast_shapes(*[o.shape for o in operands])
        fn = getattr(Ops, op["op"].split(".")[1])
        values[op["results"][0]] = fn(g, operands, attributes, inner, [list(shape)])
    raise AssertionError("no yield")


def kv_append(g, x, a, types, dims):
    state = g.data["states"][a["state"]]
    axis, position = state["axis"], g.expr(a["position"])
    shape, _ = parse_type(state["type"])
    old = g.state.get(a["state"])
    if old is None:
        empty = list(x[0].shape)
        empty[axis] = 0
        old = np.zeros(empty, x[0].dtype)
    assert old.shape[axis] >= position, (a["state"], old.shape, position)
    new = np.concatenate([np.take(old, range(position), axis), x[0]], axis)
    assert new.shape[axis] <= shape[axis], "more tokens than the capacity"
    g.state[a["state"]] = new
    return new


def kv_read(g, x, a, types, dims):
    return x[0]


for function in (linear, gated_linear, split_linear, quant_linear, quant_gather, gather, fused, kv_append, kv_read):
    setattr(Ops, function.__name__, staticmethod(function))


class RecoveredGraph(Graph):
    """A graph with states; `state` holds their tokens by symbol name."""

    def __init__(self, folder):
        super().__init__(folder)
        self.state = {}

    def state_outputs(self):
        return {info["output_name"]: self.state[name]
                for name, info in self.data["states"].items()}
