#!/usr/bin/env python3
"""One model in the layouts that people have on disk: each gives the same bits.

One file; external data; several data files with unaligned offsets; ranges inside a .safetensors
file; the symbolic links of a Hugging Face cache; a folder named instead of a file.
"""

import json
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto

import suite
from compare import compile_plan, generate
from model_list import DECODERS
from suite import Failure

BASE = "stories-genai-fp32"
TOKENS = 8


def move_out(model, folder, place):
    """Moves every initializer out of the model; place(index, bytes) gives (file, offset)."""
    for index, tensor in enumerate(model.graph.initializer):
        data = onnx.numpy_helper.to_array(tensor).tobytes()
        name, offset = place(index, data)
        with open(folder / name, "r+b") as file:
            file.seek(offset)
            file.write(data)
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", offset), ("length", len(data))):
            tensor.external_data.add(key=key, value=str(value))
    onnx.save(model, folder / "model.onnx")


def one_file(source, folder):
    onnx.save(onnx.load(source), folder / "model.onnx")
    return folder / "model.onnx"


def several_files(source, folder):
    ends = [1, 3, 5]
    for index in range(3):
        (folder / f"part{index}.bin").touch()

    def place(index, data):
        offset = ends[index % 3]
        ends[index % 3] += len(data) + 7
        return f"part{index % 3}.bin", offset

    move_out(onnx.load(source), folder, place)
    return folder / "model.onnx"


def safetensors_range(source, folder):
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    end = [8 + len(header)]
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)

    def place(_, data):
        end[0] += len(data)
        return "model.safetensors", end[0] - len(data)

    move_out(onnx.load(source), folder, place)
    return folder / "model.onnx"


def hugging_face_cache(source, folder):
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "0123abcd" / "onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for index, file in enumerate(sorted(source.parent.iterdir())):
        if file.name.startswith("."):
            continue
        blob = blobs / f"{index:040x}"
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(f"../../../blobs/{blob.name}")
    return snapshot / "model.onnx"


def folder_named(source, folder):
    shutil.copytree(source.parent, folder / "model")
    return folder / "model"


LAYOUTS = [one_file, several_files, safetensors_range, hugging_face_cache, folder_named]


def bits(tool, model, prompt, folder):
    plan = compile_plan(tool, model, folder)
    logits = folder / "logits.npy"
    answer = generate(tool, plan, prompt, TOKENS, "--logits-out", logits)
    return answer["tokens"], np.load(logits).tobytes()


def same_bits(tool, folder, model, layout):
    tool.need()
    source = model.file()
    place = folder / layout.__name__
    place.mkdir(parents=True)
    expected = bits(tool, source, model.prompt, place / "plain")
    (place / "model").mkdir()
    found = bits(tool, layout(source, place / "model"), model.prompt, place / "plan")
    if found != expected:
        raise Failure(f"tokens {found[0]}, as exported {expected[0]}, or other logits")


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    model = next(model for model in DECODERS if model.name == BASE)
    for layout in LAYOUTS:
        tests.add(layout.__name__.replace("_", "-"), same_bits, tool, folder, model, layout)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
