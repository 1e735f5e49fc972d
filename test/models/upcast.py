"""Turns a 16-bit float model into fp32, weights keeping the values that 16 bits gave them.

The reference for half-precision exports: llmc computes them in fp32, ONNX Runtime has no CPU
kernels for bf16 and rounds every result for fp16.
"""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

import export

HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def upcast_export(folder, base):
    model = export.base_model(base)
    graph = model.graph
    for tensor in graph.initializer:
        upcast_tensor(tensor)
    for value in [*graph.input, *graph.output]:
        if value.type.tensor_type.elem_type in HALF:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del graph.value_info[:]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "stash_type") and attribute.i in HALF:
                attribute.i = TensorProto.FLOAT
            if attribute.type == onnx.AttributeProto.TENSOR:
                upcast_tensor(attribute.t)
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise NotImplementedError(f"{node.name}: graphs inside nodes")
    export.save_with_sidecars(model, folder, base)


def upcast_tensor(tensor):
    if tensor.data_type in HALF:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
