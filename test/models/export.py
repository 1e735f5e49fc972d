#!/usr/bin/env python3
"""Makes the models that the comparisons use, each with a real exporter.

    python test/models/export.py [NAME ...] [--list] [--force]

Each goes to test/models/out/NAME (or $LLMC_MODELS_OUT/NAME) and is made again only when the
scripts here or the pinned packages change. What they make is not committed.
"""

import argparse
import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import warnings

import llmc_models
from llmc_models import HERE, OUT, copy_stories_tokenizer, fresh_folder, stories_hf

EXPORTS = {}
sys.modules.setdefault("export", sys.modules[__name__])  # also when run as a script
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is local
logging.disable(logging.WARNING)  # the exporters' own progress, thousands of lines
warnings.filterwarnings("ignore")


def export(name):
    """Registers a function that fills one folder."""

    def register(function):
        EXPORTS[name] = function
        return function

    return register


# --- torch.onnx (dynamo) -------------------------------------------------------------------------


def stories_dynamo(folder, dtype=None, opset=18, attention="eager"):
    import dynamo

    model = stories_hf()
    model.config._attn_implementation = attention
    if dtype is not None:
        model = model.to(dtype)
    dynamo.export(model, folder / "model.onnx", opset=opset)
    save_configs(model, folder)
    copy_stories_tokenizer(folder)


def save_configs(model, folder):
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)


@export("stories-dynamo")
def _(folder):
    stories_dynamo(folder)


@export("stories-dynamo-sdpa23")
def _(folder):
    """Opset 23, where scaled_dot_product_attention becomes the standard Attention."""
    stories_dynamo(folder, opset=23, attention="sdpa")


@export("stories-dynamo-fp16")
def _(folder):
    import torch

    stories_dynamo(folder, dtype=torch.float16)


@export("stories-dynamo-bf16")
def _(folder):
    import torch

    stories_dynamo(folder, dtype=torch.bfloat16)


@export("stories-dynamo-fp16-upcast")
def _(folder):
    import upcast

    upcast.upcast_export(folder, "stories-dynamo-fp16")


@export("stories-dynamo-bf16-upcast")
def _(folder):
    import upcast

    upcast.upcast_export(folder, "stories-dynamo-bf16")


@export("gpt2-dynamo")
def _(folder):
    """GPT-2 with a tiny random configuration."""
    import dynamo
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(7)
    config = GPT2Config(
        vocab_size=1000,
        n_positions=128,
        n_embd=64,
        n_layer=3,
        n_head=4,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).eval()
    dynamo.export(model, folder / "model.onnx")
    save_configs(model, folder)


# --- optimum (the TorchScript exporter, past_key_values) ------------------------------------------


@export("stories-optimum")
def _(folder):
    from optimum.exporters.onnx import onnx_export_from_model

    onnx_export_from_model(
        stories_hf(), folder, task="text-generation-with-past", opset=18, do_validation=False
    )
    copy_stories_tokenizer(folder)


# --- onnxruntime-genai's model builder -------------------------------------------------------------


def genai_builder(folder, precision, head_size=16, **extra):
    """head_size 16 is the padded model that ONNX Runtime's kernel takes; see pad_heads."""
    with tempfile.TemporaryDirectory() as scratch:
        source = os.path.join(scratch, "hf")
        stories_hf(head_size).save_pretrained(source)
        with open(os.path.join(source, "tokenizer.model"), "wb") as file:
            file.write((llmc_models.STORIES / "tok512.model").read_bytes())
        with open(os.path.join(source, "tokenizer_config.json"), "w", encoding="utf-8") as file:
            file.write(
                '{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true,'
                ' "add_eos_token": false, "bos_token": "<s>", "eos_token": "</s>",'
                ' "unk_token": "<unk>", "legacy": true}'
            )
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", source]
        command += ["-o", str(folder), "-p", precision, "-e", "cpu"]
        command += ["-c", os.path.join(scratch, "cache")]
        if extra:
            command += ["--extra_options"] + [f"{key}={value}" for key, value in extra.items()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])


@export("stories-genai-fp32")
def _(folder):
    genai_builder(folder, "fp32")


@export("stories-genai-fp32-h8")
def _(folder):
    """The model's own heads of 8: ONNX Runtime refuses it, other exports are its reference."""
    genai_builder(folder, "fp32", head_size=8)


# accuracy_level is the least accuracy that a kernel may give its activations: at the builder's
# default, 4, ONNX Runtime rounds them to int8, which moves these logits by 0.4. Level 1 keeps fp32,
# as llmc does, so that both sides compute the same function of the same packed weights.


@export("stories-genai-int4")
def _(folder):
    """MatMulNBits, symmetric, blocks of 32."""
    genai_builder(folder, "int4", int4_accuracy_level=1)


@export("stories-genai-int4-default")
def _(folder):
    """The same weights with the builder's default accuracy level."""
    genai_builder(folder, "int4")


@export("stories-genai-int4-asym")
def _(folder):
    """MatMulNBits with zero points, blocks of 16."""
    extra = {"int4_is_symmetric": "false", "int4_block_size": 16}
    genai_builder(folder, "int4", int4_accuracy_level=1, **extra)


@export("stories-genai-int4-mixed")
def _(folder):
    """4 and 8 bits mixed, with zero points."""
    genai_builder(folder, "int4", int4_accuracy_level=1, int4_algo_config="k_quant_mixed")


@export("stories-genai-int4-shared")
def _(folder):
    """GatherBlockQuantized over the quantized head."""
    extra = {"int4_algo_config": "rtn", "shared_embeddings": "true"}
    genai_builder(folder, "int4", int4_accuracy_level=1, **extra)


@export("stories-genai-int4-qdq")
def _(folder):
    """DequantizeLinear (opset 21, blocked int4) before MatMul."""
    genai_builder(folder, "int4", use_qdq="true")


# --- onnxruntime.quantization over the exports above -----------------------------------------------


def base_model(name):
    import onnx

    ensure(name)
    return onnx.load(OUT / name / "model.onnx")


def save_with_sidecars(model, folder, base):
    import shutil

    import onnx

    for file in (OUT / base).iterdir():
        if file.name.endswith((".json", ".model")):
            shutil.copy(file, folder / file.name)
    onnx.save(model, folder / "model.onnx")


@export("stories-dynamic-int8")
def _(folder):
    """DynamicQuantizeLinear + MatMulInteger, as quantize_dynamic writes it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    base = base_model("stories-optimum")
    save_with_sidecars(base, folder, "stories-optimum")
    quantize_dynamic(
        base, folder / "model.onnx", weight_type=QuantType.QInt8, per_channel=True,
        op_types_to_quantize=["MatMul"],
    )


@export("stories-dynamic-uint8")
def _(folder):
    """The same with uint8 weights per tensor, and quantized embeddings."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    base = base_model("stories-optimum")
    save_with_sidecars(base, folder, "stories-optimum")
    quantize_dynamic(
        base, folder / "model.onnx", weight_type=QuantType.QUInt8,
        op_types_to_quantize=["MatMul", "Gather"],
    )


@export("stories-nbits8")
def _(folder):
    """MatMulNBits with 8 bits and zero points."""
    nbits(folder, bits=8, block_size=32, is_symmetric=False)


@export("stories-nbits-qdq")
def _(folder):
    """Blocked uint4 DequantizeLinear with zero points, from the dynamo export."""
    from onnxruntime.quantization import QuantFormat

    nbits(folder, bits=4, block_size=16, is_symmetric=False, quant_format=QuantFormat.QDQ)


def nbits(folder, bits, block_size, is_symmetric, quant_format=None):
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    base = base_model("stories-genai-fp32")
    for opset in base.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, 21)
    config = DefaultWeightOnlyQuantConfig(
        block_size=block_size,
        is_symmetric=is_symmetric,
        bits=bits,
        accuracy_level=1,
        quant_format=quant_format or QuantFormat.QOperator,
    )
    quantizer = MatMulNBitsQuantizer(base, algo_config=config)
    quantizer.process()
    save_with_sidecars(quantizer.model.model, folder, "stories-genai-fp32")


@export("stories-nbits-gidx")
def _(folder):
    """MatMulNBits with g_idx (rows of blocks permuted) and a bias input."""
    quant_forms().add_group_index(folder)


@export("stories-qdq-axis")
def _(folder):
    """int8 weights with per-axis DequantizeLinear before each MatMul and before the Gather."""
    quant_forms().per_axis(folder)


def quant_forms():
    import quant_forms as module

    return module


# --- running ---------------------------------------------------------------------------------------


def script_hash():
    digest = hashlib.sha256()
    scripts = ("export", "llmc_models", "dynamo", "quant_forms", "upcast")
    for file in [*(HERE / f"{name}.py" for name in scripts), HERE / "requirements.txt"]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def ensure(name, force=False):
    """Makes an export unless it is there and current; returns its folder."""
    folder = OUT / name
    stamp = folder / ".made-by"
    if not force and stamp.is_file() and stamp.read_text() == script_hash():
        return folder
    print(f"exporting {name}", file=sys.stderr, flush=True)
    EXPORTS[name](fresh_folder(name))
    stamp.write_text(script_hash())
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="list the names and stop")
    parser.add_argument("--force", action="store_true", help="make them again")
    options = parser.parse_args()
    if options.list:
        print("\n".join(EXPORTS))
        return 0
    unknown = [name for name in options.names if name not in EXPORTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; --list shows the names")
    failed = []
    for name in options.names or EXPORTS:
        try:
            print(ensure(name, options.force))
        except Exception as error:  # one exporter's failure does not stop the others
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
