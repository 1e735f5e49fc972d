#!/usr/bin/env python3
"""Writes a Llama-shaped ONNX model of at least a given size: random weights, external data, streamed.

    python test/models/synthetic_1gb.py FOLDER [--bytes 1000000000]

The graph is the one that onnxruntime-genai's builder makes (GroupQueryAttention with a KV cache),
so ONNX Runtime can run it. It serves tests of memory and size, not of numbers: no exporter made
it. Weights are written a piece at a time; the script needs about 100 MB.
"""

import argparse
import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

HEAD = 64
CONTEXT = 2048
PIECE = 1 << 20  # elements generated and written at a time


class Writer:
    """Initializers whose bytes go straight to the data file, 4 KiB-aligned."""

    def __init__(self, path, seed, dtype="<f4"):
        self.dtype = np.dtype(dtype)
        self.data_type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.file = open(path, "wb")
        self.name = path.name
        self.random = np.random.default_rng(seed)
        self.tensors = []

    def tensor(self, name, shape, pieces):
        self.file.write(b"\0" * (-self.file.tell() % 4096))
        offset = self.file.tell()
        for piece in pieces:
            self.file.write(np.ascontiguousarray(piece, self.dtype).tobytes())
        value = TensorProto(name=name, data_type=self.data_type, dims=shape)
        value.data_location = TensorProto.EXTERNAL
        for key, entry in (
            ("location", self.name),
            ("offset", offset),
            ("length", self.file.tell() - offset),
        ):
            value.external_data.add(key=key, value=str(entry))
        self.tensors.append(value)
        return name

    def normal(self, name, *shape):
        scale = np.float32(shape[0] ** -0.5)
        count = int(np.prod(shape))

        def pieces():
            for start in range(0, count, PIECE):
                size = min(PIECE, count - start)
                yield self.random.standard_normal(size, dtype=np.float32) * scale

        return self.tensor(name, shape, pieces())


def rope_tables(context):
    frequencies = 10000.0 ** (-np.arange(HEAD // 2) * 2.0 / HEAD)
    angles = np.arange(context)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


def build(
    folder,
    size=0,
    layers=0,
    dim=1024,
    hidden=4096,
    vocabulary=16000,
    kv_heads=4,
    context=CONTEXT,
    seed=1,
    writer=None,
):
    """At least `size` bytes of weights, or `layers` layers."""
    heads = dim // HEAD
    kv = kv_heads * HEAD
    ends = 2 * vocabulary * dim * 4
    per_layer = 4 * (2 * dim * dim + 2 * dim * kv + 3 * dim * hidden)
    layers = layers or max(1, math.ceil((size - ends) / per_layer))
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "model.onnx.data"
    weights = writer(data) if writer else Writer(data, seed)
    nodes = []

    def node(kind, inputs, outputs, name, domain="", **attributes):
        made = helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes)
        nodes.append(made)
        return outputs[0]

    def project(value, name, rows, columns):
        weight = weights.normal(f"{name}.weight", rows, columns)
        return node("MatMul", [value, weight], [f"{name}.out"], name)

    def norm_weight(name):
        return weights.tensor(f"{name}.weight", (dim,), [np.ones(dim)])

    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    index = helper.make_tensor("index_1", TensorProto.INT64, [], [1])
    node("ReduceSum", ["attention_mask", "one"], ["mask_sum"], "mask_sum", keepdims=0)
    node("Sub", ["mask_sum", "one"], ["seqlens_64"], "seqlens_64")
    node("Cast", ["seqlens_64"], ["seqlens_k"], "seqlens_k", to=TensorProto.INT32)
    node("Shape", ["attention_mask"], ["mask_shape"], "mask_shape")
    node("Gather", ["mask_shape", "index_1"], ["total_64"], "total_64", axis=0)
    node("Cast", ["total_64"], ["total"], "total", to=TensorProto.INT32)
    cosine, sine = rope_tables(context)
    weights.tensor("cos_cache", cosine.shape, [cosine])
    weights.tensor("sin_cache", sine.shape, [sine])

    embedding = weights.normal("embed.weight", vocabulary, dim)
    residual = node("Gather", [embedding, "input_ids"], ["embedded"], "embed")
    state_inputs, state_outputs = [], []
    update = None
    for layer in range(layers):
        prefix = f"layers.{layer}"
        name = f"{prefix}.input_norm"
        if update is None:
            gain = norm_weight(name)
            normed = node(
                "SimplifiedLayerNormalization",
                [residual, gain],
                [f"{name}.out"],
                name,
                epsilon=1e-5,
                axis=-1,
                stash_type=1,
            )
        else:
            normed, residual = skip_norm(node, norm_weight, residual, update, name)
        query = project(normed, f"{prefix}.q", dim, dim)
        key = project(normed, f"{prefix}.k", dim, kv)
        value = project(normed, f"{prefix}.v", dim, kv)
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        present = [f"present.{layer}.key", f"present.{layer}.value"]
        for names, length, values in (
            (past, "past_sequence_length", state_inputs),
            (present, "total_sequence_length", state_outputs),
        ):
            shape = ["batch_size", kv_heads, length, HEAD]
            for each in names:
                values.append(helper.make_tensor_value_info(each, weights.data_type, shape))
        attended = node(
            "GroupQueryAttention",
            [query, key, value, *past, "seqlens_k", "total", "cos_cache", "sin_cache"],
            [f"{prefix}.attention.out", *present],
            f"{prefix}.attention",
            domain="com.microsoft",
            num_heads=heads,
            kv_num_heads=kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
        )
        update = project(attended, f"{prefix}.o", dim, dim)
        name = f"{prefix}.mlp_norm"
        normed, residual = skip_norm(node, norm_weight, residual, update, name)
        gate = project(normed, f"{prefix}.gate", dim, hidden)
        up = project(normed, f"{prefix}.up", dim, hidden)
        node("Sigmoid", [gate], [f"{prefix}.sigmoid"], f"{prefix}.sigmoid")
        node("Mul", [gate, f"{prefix}.sigmoid"], [f"{prefix}.silu"], f"{prefix}.silu")
        node("Mul", [f"{prefix}.silu", up], [f"{prefix}.mixed"], f"{prefix}.mixed")
        update = project(f"{prefix}.mixed", f"{prefix}.down", hidden, dim)
    normed, _ = skip_norm(node, norm_weight, residual, update, "final_norm", last=True)
    head = weights.normal("lm_head.weight", dim, vocabulary)
    node("MatMul", [normed, head], ["logits"], "lm_head")
    weights.file.close()

    def integers(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.INT64, shape)

    graph = helper.make_graph(
        nodes,
        "synthetic",
        [
            integers("input_ids", "batch_size", "sequence_length"),
            integers("attention_mask", "batch_size", "total_sequence_length"),
            *state_inputs,
        ],
        [
            helper.make_tensor_value_info(
                "logits", weights.data_type, ["batch_size", "sequence_length", vocabulary]
            ),
            *state_outputs,
        ],
        [one, index, *weights.tensors],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return layers, (folder / "model.onnx.data").stat().st_size


def skip_norm(node, norm_weight, residual, update, name, last=False):
    """residual + update, and its norm; the sum is the fourth output."""
    outputs = [f"{name}.out"] if last else [f"{name}.out", "", "", f"{name}.sum"]
    normed = node(
        "SkipSimplifiedLayerNormalization",
        [residual, update, norm_weight(name)],
        outputs,
        name,
        domain="com.microsoft",
        epsilon=1e-5,
    )
    return normed, f"{name}.sum"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--bytes", type=float, default=1e9)
    options = parser.parse_args()
    layers, size = build(options.folder, int(options.bytes))
    print(f"{options.folder}: {layers} layers, {size} bytes of weights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
