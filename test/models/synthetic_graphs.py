#!/usr/bin/env python3
"""Writes graphs for measurements of the memory planner; weights are splats, so files stay small.

    python test/models/synthetic_graphs.py NAME [FOLDER] [--list]

    unet        U-Net: four levels down and up, skip connections joined by Concat, 1x3x256x256
    nas         20 cells of random branches, sums and concatenations (seeded), as in NASNet
    nas-10k     the same with 10,000 nodes (not counting weights, as below)
    decoder-10k a decoder of plain operators (norms, RoPE, attention and cache spelled out)
                with 10,000 nodes
    llama-1b    1.1 B parameters: 22 layers of 2048 (onnxruntime-genai's form, see synthetic_1gb)

They serve tests of memory and time, not of numbers: no exporter made them.
"""

import argparse
import pathlib
import random
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import synthetic_1gb
from llmc_models import OUT

OPSET = 18


class Builder:
    """Nodes and weights; a weight is a ConstantOfShape node, as in ONNX's `light` models."""

    def __init__(self, seed=1):
        self.nodes = []
        self.initializers = []
        self.random = random.Random(seed)
        self.count = 0

    def operations(self):
        """How many nodes there are, weights apart."""
        return sum(node.op_type != "ConstantOfShape" for node in self.nodes)

    def name(self, kind):
        self.count += 1
        return f"{kind.lower()}_{self.count}"

    def node(self, kind, inputs, **attributes):
        out = self.name(kind)
        self.nodes.append(helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    def constant(self, values, dtype=np.int64):
        name = self.name("const")
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def splat(self, shape, value):
        tensor = helper.make_tensor("value", TensorProto.FLOAT, [1], [value])
        return self.node("ConstantOfShape", [self.constant(shape)], value=tensor)

    def weight(self, *shape, scale=1.0):
        """No two layers alike, and values that neither vanish nor explode."""
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]
        return self.splat(shape, self.random.uniform(0.5, 1.5) * scale / fan_in)

    def save(self, path, inputs, outputs, name, opset=OPSET):
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", opset)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
        return self.operations()


def image(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class Images(Builder):
    """Values are (name, channels); sizes follow from strides."""

    def conv(self, x, channels, kernel=3, stride=1, group=1, relu=True, scale=1.0):
        name, have = x
        weight = self.weight(channels, have // group, kernel, kernel, scale=scale)
        pad = kernel // 2
        out = self.node(
            "Conv",
            [name, weight, self.weight(channels)],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            group=group,
        )
        return (self.node("Relu", [out]) if relu else out, channels)

    def pool(self, x, kind="Max", kernel=2, stride=2):
        pad = (kernel - 1) // 2
        out = self.node(
            f"{kind}Pool",
            [x[0]],
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
        )
        return (out, x[1])

    def add(self, a, b):
        return (self.node("Add", [a[0], b[0]]), a[1])

    def concat(self, values):
        out = self.node("Concat", [v[0] for v in values], axis=1)
        return (out, sum(v[1] for v in values))


def unet(path, size=256, width=32, levels=4, up="shuffle"):
    """`up`: "transpose" doubles sizes by ConvTranspose 2x2 of stride 2; "shuffle" spells the same
    product as a 1x1 Conv to four times the channels and a depth-to-space."""
    b = Images()

    def double(x, height):
        channels = x[1] // 2
        if up == "transpose":
            weight = b.weight(x[1], channels, 2, 2)
            out = b.node("ConvTranspose", [x[0], weight], kernel_shape=[2, 2], strides=[2, 2])
            return (out, channels)
        wide = b.conv(x, 4 * channels, kernel=1, relu=False)
        split = b.node("Reshape", [wide[0], b.constant([1, channels, 2, 2, height, height])])
        turned = b.node("Transpose", [split], perm=[0, 1, 4, 2, 5, 3])
        shape = b.constant([1, channels, 2 * height, 2 * height])
        return (b.node("Reshape", [turned, shape]), channels)

    x = ("image", 3)
    skips = []
    for level in range(levels):
        x = b.conv(b.conv(x, width << level), width << level)
        skips.append(x)
        x = b.pool(x)
    x = b.conv(b.conv(x, width << levels), width << levels)
    for level in reversed(range(levels)):
        x = double(x, size >> (level + 1))
        x = b.concat([skips[level], x])
        x = b.conv(b.conv(x, width << level), width << level)
    b.conv(x, 2, kernel=1, relu=False)
    b.nodes[-1].output[0] = "mask"
    return b.save(
        path, [image("image", 1, 3, size, size)], [image("mask", 1, 2, size, size)], "unet"
    )


def nas(path, cells=20, nodes=None, size=128, width=16, blocks=5, seed=7):
    """Each cell: `blocks` sums of two random operations on random earlier values, then a Concat
    of what nothing else uses. With `nodes`, cells are added until there are as many."""
    b = Images(seed)

    def operation(x):
        kind = b.random.choice(("separable", "conv1", "max", "average", "identity", "conv3"))
        if kind == "separable":
            deep = b.conv(x, x[1], kernel=3, group=x[1], relu=False)
            return b.conv(deep, x[1], kernel=1)
        if kind == "conv1":
            return b.conv(x, x[1], kernel=1)
        if kind == "conv3":
            return b.conv(x, x[1])
        if kind in ("max", "average"):
            return b.pool(x, kind.capitalize(), kernel=3, stride=1)
        return x

    x = b.conv(("image", 3), 3 * width, stride=2)
    before = x
    reductions = {cells // 3, 2 * cells // 3}
    cell = 0
    while cell < cells if nodes is None else b.operations() < nodes - 1:
        if cell in reductions:
            width *= 2
            x = b.conv(x, x[1], stride=2)
            before = b.conv(before, before[1], stride=2)
        values = [b.conv(v, width, kernel=1, scale=0.4) for v in (before, x)]
        used = set()
        for _ in range(blocks):
            left, right = (b.random.randrange(len(values)) for _ in range(2))
            used.update((left, right))
            values.append(b.add(operation(values[left]), operation(values[right])))
        loose = [v for i, v in enumerate(values) if i not in used and i >= 2]
        before, x = x, b.concat(loose)
        cell += 1
    out = b.node("GlobalAveragePool", [x[0]])
    return b.save(path, [image("image", 1, 3, size, size)], [image(out, 1, x[1], 1, 1)], "nas")


def decoder(path, nodes=10000, dim=64, heads=4, hidden=128, vocabulary=256, context=128):
    """Everything spelled out as torch's exporter does; grows by layers up to `nodes`."""
    b = Builder()
    head = dim // heads
    state_inputs, state_outputs = [], []

    def norm(x):
        square = b.node("Pow", [x, two])
        mean = b.node("ReduceMean", [square, last_axis], keepdims=1)
        root = b.node("Sqrt", [b.node("Add", [mean, epsilon])])
        scaled = b.node("Mul", [x, b.node("Reciprocal", [root])])
        return b.node("Mul", [scaled, b.weight(dim)])

    def project(x, rows, columns):
        return b.node("MatMul", [x, b.weight(rows, columns)])

    def split_heads(x):
        return b.node("Transpose", [b.node("Reshape", [x, head_shape])], perm=[0, 2, 1, 3])

    def rope(x):
        first = b.node("Slice", [x, at0, at_half, axis3])
        second = b.node("Slice", [x, at_half, at_end, axis3])
        turned = b.node("Concat", [b.node("Neg", [second]), first], axis=-1)
        return b.node("Add", [b.node("Mul", [x, cosine]), b.node("Mul", [turned, sine])])

    def append(x, kind, layer):
        past, present = f"past_key_values.{layer}.{kind}", f"present.{layer}.{kind}"
        for name, length, values in (
            (past, "past_sequence_length", state_inputs),
            (present, "total_sequence_length", state_outputs),
        ):
            shape = ["batch_size", heads, length, head]
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        b.nodes.append(helper.make_node("Concat", [past, x], [present], name=present, axis=-2))
        return present

    two, epsilon = b.constant(2.0, np.float32), b.constant(1e-5, np.float32)
    scale = b.constant(head**-0.5, np.float32)
    last_axis, axis0, axis3 = b.constant([-1]), b.constant([0]), b.constant([3])
    at0, at_half, at_end = b.constant([0]), b.constant([head // 2]), b.constant([head])
    zero, one, lowest = b.constant(0), b.constant(1), b.constant(-3.4e38, np.float32)
    none = b.constant(0.0, np.float32)
    head_shape = b.constant([0, 0, heads, head])
    flat_shape = b.constant([0, 0, dim])

    # Positions from the lengths, cosine and sine of them, and the causal mask.
    x = b.node("Gather", [b.weight(vocabulary, dim), "input_ids"], axis=0)
    ids_shape = b.node("Shape", ["input_ids"])
    past_shape = b.node("Shape", ["past_key_values.0.key"])
    length = b.node("Gather", [ids_shape, one], axis=0)
    past = b.node("Gather", [past_shape, b.constant(2)], axis=0)
    total = b.node("Add", [past, length])
    positions = b.node("Range", [past, total, one])
    frequencies = 10000.0 ** (-np.arange(head // 2) * 2.0 / head)
    angles = b.node(
        "Mul",
        [
            b.node("Unsqueeze", [b.node("Cast", [positions], to=TensorProto.FLOAT), last_axis]),
            b.constant(np.concatenate([frequencies, frequencies])[None], np.float32),
        ],
    )
    cosine, sine = b.node("Cos", [angles]), b.node("Sin", [angles])
    keys = b.node("Unsqueeze", [b.node("Range", [zero, total, one]), axis0])
    queries = b.node("Unsqueeze", [positions, last_axis])
    mask = b.node("Where", [b.node("Greater", [keys, queries]), lowest, none])

    layer = 0
    while b.operations() < nodes - 60:
        normed = norm(x)
        query = rope(split_heads(project(normed, dim, dim)))
        key = append(rope(split_heads(project(normed, dim, dim))), "key", layer)
        value = append(split_heads(project(normed, dim, dim)), "value", layer)
        scores = b.node("MatMul", [query, b.node("Transpose", [key], perm=[0, 1, 3, 2])])
        scores = b.node("Add", [b.node("Mul", [scores, scale]), mask])
        mixed = b.node("MatMul", [b.node("Softmax", [scores], axis=-1), value])
        mixed = b.node("Reshape", [b.node("Transpose", [mixed], perm=[0, 2, 1, 3]), flat_shape])
        x = b.node("Add", [x, project(mixed, dim, dim)])
        normed = norm(x)
        gate = project(normed, dim, hidden)
        silu = b.node("Mul", [gate, b.node("Sigmoid", [gate])])
        x = b.node(
            "Add", [x, project(b.node("Mul", [silu, project(normed, dim, hidden)]), hidden, dim)]
        )
        layer += 1
    x = norm(x)
    while b.operations() < nodes - 1:  # exactly as many as asked for
        x = b.node("Tanh", [x])
    project(x, dim, vocabulary)
    b.nodes[-1].output[0] = "logits"
    ids = helper.make_tensor_value_info(
        "input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]
    )
    logits = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, ["batch_size", "sequence_length", vocabulary]
    )
    return b.save(path, [ids, *state_inputs], [logits, *state_outputs], "decoder")


class SparseWriter(synthetic_1gb.Writer):
    """Weights of one size share one range of a sparse file: zeros after a first element, so that
    they are not taken for splats."""

    def __init__(self, path):
        super().__init__(path, seed=1)
        self.ranges = {}

    def normal(self, name, *shape):
        count = int(np.prod(shape))
        if count not in self.ranges:
            self.file.write(b"\0" * (-self.file.tell() % 4096))
            self.ranges[count] = self.file.tell()
            self.file.write(np.float32(0.5).tobytes())
            self.file.truncate(self.file.tell() + 4 * (count - 1))
            self.file.seek(0, 2)
        value = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        value.data_location = TensorProto.EXTERNAL
        for key, entry in (
            ("location", self.name),
            ("offset", self.ranges[count]),
            ("length", 4 * count),
        ):
            value.external_data.add(key=key, value=str(entry))
        self.tensors.append(value)
        return name


def llama_1b(path, layers=22, context=4096):
    synthetic_1gb.build(
        path.parent,
        layers=layers,
        dim=2048,
        hidden=5632,
        vocabulary=32000,
        kv_heads=4,
        context=context,
        writer=SparseWriter,
    )
    return layers


GRAPHS = {
    "unet": unet,
    "nas": nas,
    "nas-10k": lambda path: nas(path, nodes=10000, size=32, width=8),
    "decoder-10k": decoder,
    "llama-1b": llama_1b,
}


def ensure(name):
    """The path of a graph, made now if it is missing or older than these scripts."""
    path = OUT / f"synthetic-{name}" / "model.onnx"
    newest = max(pathlib.Path(f).stat().st_mtime for f in (__file__, synthetic_1gb.__file__))
    if not path.exists() or path.stat().st_mtime < newest:
        path.parent.mkdir(parents=True, exist_ok=True)
        GRAPHS[name](path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=GRAPHS)
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list or not options.name:
        print("\n".join(GRAPHS))
        return 0
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        path = options.folder / "model.onnx"
        GRAPHS[options.name](path)
    else:
        path = ensure(options.name)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
