#!/usr/bin/env python3
"""Embedding tables that stay below: rows are read in their place, and no bit changes.

Decoders with tied and separate tables of f32, f16, bf16 and 4 bits, and batches, at the smallest
budget against no bound; and a plain lookup with negative, repeated and wrong indices.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

import suite
from compare import generate
from model_list import DECODERS
from suite import Failure

# Small enough that the prompt has more than one piece, and a piece fewer rows than the table.
SMALL = ("--ctx", 64, "--prefill-chunk", 4)
NAMES = (
    "stories-dynamo",  # tied
    "stories-optimum",  # tied, the table transposed
    "stories-genai-fp32",
    "stories-dynamo-fp16",
    "stories-dynamo-bf16",
    "stories-genai-int4",
    "stories-genai-int4-shared",  # tied, 4 bits
    "stories-nbits8",
    "gpt2-dynamo",  # positions too
)
TOKENS = 6
ROWS, DEPTH, MOST = 5000, 96, 12
SHIFT = 20000


def gathers(report):
    """Whether some step takes rows from below."""
    return any(b["kind"] == "constant" and b["name"] == "rows" for b in report["buffers"])


def smallest(tool, model, plan, *options):
    """Compiles at the minimum; returns the report."""
    done = tool.run("compile", model, "-o", plan, "--vram", 4096, "--json", *options)
    if done.returncode != 3:
        raise Failure(f"--vram 4096 ends with {done.returncode}, expected 3")
    minimum = suite.parse_json(done.stdout, "compile")["minimum_bytes"]
    report = tool.json("compile", model, "-o", plan, "--vram", minimum, *options)
    if not gathers(report):
        raise Failure(f"at the minimum of {minimum} bytes no rows are gathered")
    return report


def decoder(tool, folder, model):
    file, free, tight = model.file(), folder / "free.plan", folder / "tight.plan"
    tool.good("compile", file, "-o", free, "--vram", "unbounded", *SMALL)
    report = smallest(tool, file, tight, *SMALL)
    prompt = (*model.prompt, model.prompt[0], model.prompt[1], model.prompt[1])
    logits = folder / "logits.npy"
    bits = []
    for plan, options in ((free, ()), (tight, ()), (tight, ("--poison",))):
        answer = generate(tool, plan, prompt, TOKENS, "--logits-out", logits, *options)
        bits.append((answer["tokens"], np.load(logits).tobytes()))
    if bits[1] != bits[0] or bits[2] != bits[0]:
        raise Failure("other bits than without a bound")
    return f"{report['minimum_bytes']} bytes"


def batch(tool, folder, model):
    file, free, tight = model.file(), folder / "free.plan", folder / "tight.plan"
    options = (*SMALL, "--batch", 3)
    tool.good("compile", file, "-o", free, "--vram", "unbounded", *options)
    smallest(tool, file, tight, *options)
    ids = np.array([model.prompt[:3], model.prompt[3:6], model.prompt[:3]], np.int64)
    np.save(folder / "ids.npy", ids)
    found = []
    for plan, more in ((free, ()), (tight, ()), (tight, ("--poison",))):
        out = folder / f"out{len(found)}"
        tool.good("run", plan, "--entry", "prefill", "--input", f"input_ids={folder / 'ids.npy'}", "--output-dir", out, *more)
        found.append({file.name: np.load(file).tobytes() for file in sorted(out.glob("*.npy"))})
    if not found[0] or found[1] != found[0] or found[2] != found[0]:
        raise Failure("other bits than without a bound")


def write_lookup(path, table, index_type):
    ids = helper.make_tensor_value_info("ids", index_type, [2, "n"])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [2, "n", DEPTH])
    nodes = [
        # Not tokens, which may not be negative: llmc would refuse them.
        helper.make_node("Sub", ["ids", "shift"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["picked"], name="pick"),
        helper.make_node("Cast", ["picked"], ["rows"], to=TensorProto.FLOAT),
    ]
    shift = np.array(SHIFT, np.int64 if index_type == TensorProto.INT64 else np.int32)
    weights = [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(shift, "shift")]
    graph = helper.make_graph(nodes, "lookup", [ids], [rows], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def lookup(tool, folder, dtype, index):
    table = np.random.default_rng(3).standard_normal((ROWS, DEPTH)).astype(dtype)
    model = folder / "lookup.onnx"
    write_lookup(model, table, TensorProto.INT64 if index is np.int64 else TensorProto.INT32)
    options = ("--dim", f"n=0..{MOST}")
    report = smallest(tool, model, folder / "tight.plan", *options)
    # The table would not fit; two slots of rows, of the stored and of the wider type, do.
    if report["device_bytes"] >= table.nbytes:
        raise Failure(f"takes {report['device_bytes']} bytes, the table has {table.nbytes}")
    tool.good("compile", model, "-o", folder / "free.plan", "--vram", "unbounded", *options)

    def run(plan, values, *more):
        np.save(folder / "ids.npy", np.array(values, index) + index(SHIFT))
        out = folder / "out"
        done = tool.run("run", folder / plan, "--input", f"ids={folder / 'ids.npy'}", "--output-dir", out, *more)
        return done, np.load(out / "rows.npy") if done.returncode == 0 else None

    last = ROWS - 1
    for values in ([[0, 1, 2], [last, 7, 7]], [[-1, -ROWS, 5], [5, 5, 5]], [[9] * MOST, list(range(60, 60 + MOST))]):
        for more in ((), ("--poison",), ("--io", "cached"), ("--io", "buffered")):
            done, rows = run("tight.plan", values, *more)
            if rows is None:
                raise Failure(done.stderr[-400:])
            if rows.tobytes() != table[np.array(values)].astype(np.float32).tobytes():
                raise Failure(f"other rows for {values} {more}")
    for bad in (ROWS, -ROWS - 1, 2**30):
        words = []
        for plan, more in (("free.plan", ()), ("tight.plan", ()), ("tight.plan", ("--poison",))):
            done, rows = run(plan, [[1, 2], [3, bad]], *more)
            if rows is not None or done.returncode != 1:
                raise Failure(f"{plan}: index {bad} ends with {done.returncode}")
            words.append(done.stderr.strip().rsplit("(", 1)[-1])
        if any(word != "gather): index out of range" for word in words):
            raise Failure(f"index {bad}: {words}")


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    models = {model.name: model for model in DECODERS}
    work = suite.work_folder(options)

    def add(name, function, *arguments):
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        tests.add(name, function, tool, folder, *arguments)

    add("lookup-f32", lookup, np.float32, np.int64)
    add("lookup-f16", lookup, np.float16, np.int32)
    for name in NAMES:
        add(name, decoder, models[name])
    for name in ("stories-dynamo", "stories-genai-int4"):
        add(f"{name}-batch", batch, models[name])
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
