#!/usr/bin/env python3
"""The packed forms that people download, one small graph each, against ONNX Runtime.

MatMulNBits, blocked and per-axis DequantizeLinear before MatMul, Gemm and Gather, MatMulInteger
with DynamicQuantizeLinear, GatherBlockQuantized: odd sizes, partial blocks, every optional input.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import reference
import suite
from compare import check_close, compile_plan, present_name

TOLERANCE = 1e-5  # of the largest output, or of 1
ROWS = 5
MS = "com.microsoft"


class Graph:
    """One graph under construction; `x` is its input."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.tensors = [], []

    def constant(self, name, values, kind=None):
        if kind in (TensorProto.INT4, TensorProto.UINT4):
            flat = values.astype(np.int64).reshape(-1) & 15
            flat = np.append(flat, np.zeros(len(flat) % 2, np.int64))
            packed = (flat[0::2] | (flat[1::2] << 4)).astype(np.uint8)
            tensor = TensorProto(name=name, data_type=kind, dims=values.shape)
            tensor.raw_data = packed.tobytes()
        else:
            tensor = numpy_helper.from_array(values, name)
        self.tensors.append(tensor)
        return name

    def node(self, kind, inputs, output="y", domain="", **attributes):
        name = f"node_{len(self.nodes)}"
        made = helper.make_node(kind, inputs, [output], name=name, domain=domain, **attributes)
        self.nodes.append(made)
        return output

    def codes(self, bits, signed, *shape):
        low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if signed else (0, 1 << bits)
        dtype = np.int8 if signed else np.uint8
        return self.random.integers(low, high, shape).astype(dtype)

    def scales(self, *shape):
        return self.random.uniform(0.01, 0.05, shape).astype(np.float32)

    def model(self, columns, opset=21, ids=False):
        kind = TensorProto.INT64 if ids else TensorProto.FLOAT
        shape = ["rows"] if ids else ["rows", columns]
        graph = helper.make_graph(
            self.nodes,
            "form",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self.tensors,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def pack_bits(codes, bits):
    """Little end first along the last axis, padded to whole bytes."""
    per = 8 // bits
    pad = -codes.shape[-1] % per
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, pad)])
    parts = codes.reshape(*codes.shape[:-1], -1, per).astype(np.uint16)
    shifts = np.arange(per, dtype=np.uint16) * bits
    return (parts << shifts).sum(axis=-1).astype(np.uint8)


def matmul_nbits(bits, k, n, block, zero_points=None, group_index=False, bias=False, flat=False):
    graph = Graph(bits * k + n)
    blocks = -(-k // block)
    codes = graph.codes(bits, False, n, blocks, block)
    scales = graph.scales(n, blocks)
    inputs = ["x", graph.constant("w", pack_bits(codes, bits))]
    inputs.append(graph.constant("scales", scales.reshape(-1) if flat else scales))
    points = graph.codes(bits, False, n, blocks)
    if zero_points == "packed":
        packed = pack_bits(points, bits)
        inputs.append(graph.constant("points", packed.reshape(-1) if flat else packed))
    elif zero_points == "float":
        inputs.append(graph.constant("points", points.astype(np.float32)))
    if group_index:
        inputs += [""] * (4 - len(inputs))
        order = graph.random.permutation(np.arange(k) // block).astype(np.int32)
        inputs.append(graph.constant("groups", order))
    if bias:
        inputs += [""] * (5 - len(inputs))
        inputs.append(graph.constant("bias", graph.random.standard_normal(n).astype(np.float32)))
    graph.node(
        "MatMulNBits", inputs, domain=MS, K=k, N=n, bits=bits, block_size=block, accuracy_level=1
    )
    return graph.model(k)


def dequantized(graph, kind, bits, shape, axis, block, points):
    """A DequantizeLinear of constant codes; block 0 means one scale per index of axis."""
    signed = kind in (TensorProto.INT4, TensorProto.INT8)
    codes = graph.codes(bits, signed, *shape)
    if block:
        scale_shape = list(shape)
        scale_shape[axis] = -(-shape[axis] // block)
    else:
        scale_shape = [shape[axis]]
    inputs = [graph.constant("w", codes, kind)]
    inputs.append(graph.constant("scales", graph.scales(*scale_shape)))
    if points:
        inputs.append(graph.constant("points", graph.codes(bits, signed, *scale_shape), kind))
    attributes = {"axis": axis}
    if block:
        attributes["block_size"] = block
    return graph.node("DequantizeLinear", inputs, "dense", **attributes)


def qdq_matmul(kind, bits, k, n, axis, block, points, transposed=False, gemm=False):
    graph = Graph(k + n + axis)
    shape = (n, k) if transposed or gemm else (k, n)
    weight = dequantized(graph, kind, bits, shape, axis, block, points)
    if gemm:
        bias = graph.constant("bias", graph.random.standard_normal(n).astype(np.float32))
        graph.node("Gemm", ["x", weight, bias], transB=1)
    else:
        if transposed:
            weight = graph.node("Transpose", [weight], "turned", perm=[1, 0])
        graph.node("MatMul", ["x", weight])
    return graph.model(k)


def qdq_gather(kind, bits, rows, columns, axis, block, points):
    graph = Graph(rows + columns)
    weight = dequantized(graph, kind, bits, (rows, columns), axis, block, points)
    graph.node("Gather", [weight, "x"], axis=0)
    return graph.model(rows, ids=True)


def gather_block_quantized(bits, rows, columns, block, points):
    graph = Graph(rows + columns + bits)
    blocks = -(-columns // block)
    codes = graph.codes(bits, False, rows, columns)
    inputs = [graph.constant("w", pack_bits(codes, bits)), "x"]
    inputs.append(graph.constant("scales", graph.scales(rows, blocks)))
    if points:
        packed = pack_bits(graph.codes(bits, False, rows, blocks), bits)
        inputs.append(graph.constant("points", packed))
    graph.node(
        "GatherBlockQuantized",
        inputs,
        domain=MS,
        gather_axis=0,
        quantize_axis=1,
        block_size=block,
        bits=bits,
    )
    return graph.model(rows, ids=True)


def matmul_integer(k, n, signed, per_column, points):
    graph = Graph(k * n)
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="quantize")
    graph.nodes.append(node)
    inputs = ["q", graph.constant("w", graph.codes(8, signed, k, n)), "z"]
    if points:
        inputs.append(graph.constant("points", graph.codes(8, signed, *([n] if per_column else []))))
    graph.node("MatMulInteger", inputs, "sum")
    graph.node("Cast", ["sum"], "float", to=TensorProto.FLOAT)
    scale = graph.constant("scales", graph.scales(*([n] if per_column else [])))
    graph.node("Mul", ["s", scale], "both")
    graph.node("Mul", ["float", "both"])
    return graph.model(k)


INT4, UINT4, INT8, UINT8 = (
    TensorProto.INT4,
    TensorProto.UINT4,
    TensorProto.INT8,
    TensorProto.UINT8,
)

FORMS = {
    "nbits4": lambda: matmul_nbits(4, 64, 48, 32),
    "nbits4-partial-block": lambda: matmul_nbits(4, 172, 19, 32),
    "nbits4-points": lambda: matmul_nbits(4, 80, 33, 16, "packed"),
    "nbits4-odd-points": lambda: matmul_nbits(4, 48, 7, 16, "packed"),
    "nbits4-flat": lambda: matmul_nbits(4, 96, 65, 32, "packed", flat=True),
    "nbits4-float-points": lambda: matmul_nbits(4, 64, 9, 16, "float"),
    "nbits4-bias": lambda: matmul_nbits(4, 64, 33, 32, bias=True),
    "nbits4-points-bias": lambda: matmul_nbits(4, 64, 33, 32, "packed", bias=True),
    "nbits4-group-index": lambda: matmul_nbits(4, 64, 21, 16, group_index=True),
    # No zero points with g_idx: ONNX Runtime 1.31 ignores them there.
    "nbits4-block128": lambda: matmul_nbits(4, 256, 70, 128),
    "nbits8": lambda: matmul_nbits(8, 64, 48, 32),
    "nbits8-points": lambda: matmul_nbits(8, 172, 19, 16, "packed"),
    "qdq-int4-k": lambda: qdq_matmul(INT4, 4, 64, 33, 0, 16, False),
    "qdq-uint4-k-points": lambda: qdq_matmul(UINT4, 4, 64, 33, 0, 16, True),
    "qdq-int4-k-points-odd": lambda: qdq_matmul(INT4, 4, 48, 7, 0, 16, True),
    "qdq-int4-transposed": lambda: qdq_matmul(INT4, 4, 64, 33, 1, 32, False, transposed=True),
    "qdq-uint4-transposed": lambda: qdq_matmul(UINT4, 4, 64, 20, 1, 32, True, transposed=True),
    "qdq-int8-blocked": lambda: qdq_matmul(INT8, 8, 64, 33, 0, 16, True),
    "qdq-uint8-blocked": lambda: qdq_matmul(UINT8, 8, 64, 33, 0, 16, True),
    "qdq-int8-columns": lambda: qdq_matmul(INT8, 8, 64, 33, 1, 0, False),
    "qdq-int8-columns-points": lambda: qdq_matmul(INT8, 8, 64, 33, 1, 0, True),
    "qdq-int8-rows": lambda: qdq_matmul(INT8, 8, 64, 33, 0, 0, True),
    "qdq-uint8-transposed": lambda: qdq_matmul(UINT8, 8, 64, 33, 0, 0, True, transposed=True),
    "qdq-int8-gemm": lambda: qdq_matmul(INT8, 8, 64, 33, 0, 0, True, gemm=True),
    "qdq-int8-gather": lambda: qdq_gather(INT8, 8, 50, 24, 0, 0, False),
    "qdq-uint8-gather-points": lambda: qdq_gather(UINT8, 8, 50, 24, 0, 0, True),
    "qdq-uint4-gather-blocked": lambda: qdq_gather(UINT4, 4, 50, 32, 1, 16, True),
    "gather-blocks": lambda: gather_block_quantized(4, 50, 64, 32, False),
    "gather-blocks-points": lambda: gather_block_quantized(4, 50, 64, 16, True),
    "gather-blocks8": lambda: gather_block_quantized(8, 50, 64, 16, True),
    "integer-int8": lambda: matmul_integer(64, 33, True, False, False),
    "integer-int8-columns": lambda: matmul_integer(64, 33, True, True, True),
    "integer-uint8": lambda: matmul_integer(172, 20, False, False, True),
}


def form(tool, folder, name):
    tool.need()
    model = FORMS[name]()
    folder = folder / name
    folder.mkdir(parents=True)
    file = folder / "model.onnx"
    onnx.save(model, file)
    value = model.graph.input[0]
    random = np.random.default_rng(2)
    if value.type.tensor_type.elem_type == TensorProto.INT64:
        x = np.array([0, 49, 7, 7, 31])
    else:
        columns = value.type.tensor_type.shape.dim[1].dim_value
        x = random.standard_normal((ROWS, columns)).astype(np.float32)
    expected = reference.once(file, {"x": x})["y"]
    plan = compile_plan(tool, file, folder, "--dim", f"rows=1..{ROWS}")
    worst = 0.0
    for rows in (ROWS, 1):
        np.save(folder / "x.npy", x[:rows])
        out = folder / f"out{rows}"
        tool.good("run", plan, "--input", f"x={folder}/x.npy", "--output-dir", out)
        wanted = expected
        if rows == 1:  # DynamicQuantizeLinear looks at all rows, so it is asked again
            wanted = reference.once(file, {"x": x[:1]})["y"]
        found = np.load(out / present_name("y"))
        scale = max(1.0, float(np.abs(wanted).max()))
        worst = max(worst, check_close(found / scale, wanted / scale, TOLERANCE, f"{rows} rows"))
    return f"largest difference {worst:.2g}"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    for name in FORMS:
        tests.add(name, form, tool, folder, name)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
