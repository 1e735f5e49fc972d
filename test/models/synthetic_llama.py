#!/usr/bin/env python3
"""Llama shapes with random weights, for measurements: 1.1 B in fp32, bf16 and fp16, 0.5 B in fp16.

    python test/models/synthetic_llama.py NAME [--context N] [--folder FOLDER] [--list]

    1.1b-fp32   TinyLlama's shape: 22 layers of 2048 (32 heads, 4 of keys and values, of 64), 5632 in
                the MLP, vocabulary 32,000, untied; 4.4 GB
    1.1b-bf16   the same with weights, activations and cache in bf16, 1.1b-fp16 in fp16; 2.2 GB
    0.5b-fp16   28 layers of 1024 (16 heads, 4 of keys and values, of 64), 4096 in the MLP, vocabulary
                32,000, untied; weights, activations and cache in fp16; 1.0 GB

The graph is onnxruntime-genai's (synthetic_1gb.py makes it); the weights are seeded normal numbers of
variance 1 / rows, so that nothing vanishes or explodes. --context sets the length of the rotary
tables, 2,048 if it is not given. Models stay in test/models/out (LLMC_MODELS_OUT).
"""

import argparse
import pathlib
import sys

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

import synthetic_1gb
from llmc_models import OUT

CONTEXT = 2048
SHAPES = {
    "1.1b-fp32": {"layers": 22, "dim": 2048, "hidden": 5632, "dtype": "<f4"},
    "1.1b-bf16": {"layers": 22, "dim": 2048, "hidden": 5632, "dtype": ml_dtypes.bfloat16},
    "1.1b-fp16": {"layers": 22, "dim": 2048, "hidden": 5632, "dtype": "<f2"},
    "0.5b-fp16": {"layers": 28, "dim": 1024, "hidden": 4096, "dtype": "<f2"},
}
VOCABULARY, KV_HEADS, SEED = 32000, 4, 1
EPSILON, THETA = 1e-5, 10000.0  # what synthetic_1gb writes


def build(name, folder, context=CONTEXT):
    """Writes model.onnx and model.onnx.data; returns the bytes of the weights."""
    shape = dict(SHAPES[name])
    dtype = shape.pop("dtype")
    _, size = synthetic_1gb.build(
        folder,
        **shape,
        vocabulary=VOCABULARY,
        kv_heads=KV_HEADS,
        context=context,
        writer=lambda path: synthetic_1gb.Writer(path, SEED, dtype),
    )
    return size


def folder_of(name, context=CONTEXT):
    return OUT / (f"llama-{name}" + (f"-{context}" if context != CONTEXT else ""))


def ensure(name, context=CONTEXT):
    """The path of model.onnx, made now if it is not there."""
    folder = folder_of(name, context)
    stamp = folder / ".made-by"
    wanted = "".join(pathlib.Path(f).read_text() for f in (__file__, synthetic_1gb.__file__))
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"making {folder}", file=sys.stderr, flush=True)
        stamp.unlink(missing_ok=True)
        build(name, folder, context)
        stamp.write_text(wanted)
    return folder / "model.onnx"


def tensors(path):
    """(name, array) of every weight, mapped from the data file; products are [rows in, columns out]."""
    for value in onnx.load(path, load_external_data=False).graph.initializer:
        if value.data_location != onnx.TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in value.external_data}
        yield (
            value.name,
            np.memmap(
                path.parent / where["location"],
                helper.tensor_dtype_to_np_dtype(value.data_type),
                "r",
                int(where["offset"]),
                tuple(value.dims),
            ),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=SHAPES)
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list or not options.name:
        print("\n".join(SHAPES))
        return 0
    if options.folder:
        build(options.name, options.folder, options.context)
        print(options.folder / "model.onnx")
    else:
        print(ensure(options.name, options.context))
    return 0


if __name__ == "__main__":
    sys.exit(main())
