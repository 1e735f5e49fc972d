"""Quantized forms that people download and no exporter here writes by itself."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

import export


def per_axis(folder):
    """Each MatMul weight and the embedding become int8 with one fp32 scale per output channel."""
    model = export.base_model("stories-dynamo")
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    quantized = {}

    def dequantized(name, axis):
        if (name, axis) in quantized:
            return quantized[name, axis]
        values = numpy_helper.to_array(weights[name]).astype(np.float32)
        others = tuple(d for d in range(values.ndim) if d != axis)
        scale = np.maximum(np.abs(values).max(axis=others), 1e-8).astype(np.float32) / 127
        shape = [1] * values.ndim
        shape[axis] = -1
        codes = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(codes, f"{name}_q{axis}"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale{axis}"))
        zero = numpy_helper.from_array(np.zeros(scale.shape, np.int8), f"{name}_zero{axis}")
        graph.initializer.append(zero)
        output = f"{name}_dq{axis}"
        node = helper.make_node(
            "DequantizeLinear",
            [f"{name}_q{axis}", f"{name}_scale{axis}", f"{name}_zero{axis}"],
            [output],
            name=f"dq_{len(quantized)}",
            axis=axis,
        )
        quantized[name, axis] = output
        made.append(node)
        return output

    made = []
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            node.input[1] = dequantized(node.input[1], 1)
        elif node.op_type == "Gather" and node.input[0] in weights:
            if len(weights[node.input[0]].dims) == 2:
                node.input[0] = dequantized(node.input[0], 0)
        elif node.op_type == "Transpose" and node.input[0] in weights:
            node.input[0] = dequantized(node.input[0], 0)
    if not made:
        raise RuntimeError("no weight of a MatMul found in stories-dynamo")
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(made + rest)
    drop_unused(graph)
    export.save_with_sidecars(model, folder, "stories-dynamo")


def drop_unused(graph):
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def add_group_index(folder):
    """Gives every MatMulNBits a g_idx that permutes groups among K, and a bias."""
    model = export.base_model("stories-genai-int4")
    graph = model.graph
    random = np.random.default_rng(5)
    for count, node in enumerate(n for n in graph.node if n.op_type == "MatMulNBits"):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        k, n, block = attributes["K"], attributes["N"], attributes["block_size"]
        # A permutation inside the row: each column keeps its code and takes another's group.
        groups = random.permutation(np.arange(k) // block).astype(np.int32)
        bias = (random.standard_normal(n) * 0.01).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(groups, f"g_idx_{count}"))
        graph.initializer.append(numpy_helper.from_array(bias, f"bias_{count}"))
        while len(node.input) < 4:
            node.input.append("")
        del node.input[4:]
        node.input.extend([f"g_idx_{count}", f"bias_{count}"])
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 1
    export.save_with_sidecars(model, folder, "stories-genai-int4")
