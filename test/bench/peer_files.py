#!/usr/bin/env python3
"""The synthetic Llamas in the peers' formats, from the same numbers.

    python test/bench/peer_files.py MODEL.onnx FOLDER gguf|safetensors

GGUF keeps the weights' own type (norms in fp32, as llama.cpp's converter has them) and has a made-up
vocabulary; safetensors come in shards with config.json, as transformers reads them. A tensor is
written at a time.
"""

import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models"))

import synthetic_llama  # noqa: E402  (needs the path above)
from synthetic_llama import EPSILON, KV_HEADS, THETA, VOCABULARY  # noqa: E402

HEAD = 64
SHARD = 1 << 30
# Ours: theirs in GGUF, in Hugging Face; products are transposed.
LAYER = {
    "input_norm": ("attn_norm", "input_layernorm"),
    "q": ("attn_q", "self_attn.q_proj"),
    "k": ("attn_k", "self_attn.k_proj"),
    "v": ("attn_v", "self_attn.v_proj"),
    "o": ("attn_output", "self_attn.o_proj"),
    "mlp_norm": ("ffn_norm", "post_attention_layernorm"),
    "gate": ("ffn_gate", "mlp.gate_proj"),
    "up": ("ffn_up", "mlp.up_proj"),
    "down": ("ffn_down", "mlp.down_proj"),
}
ENDS = {
    "embed": ("token_embd", "model.embed_tokens"),
    "final_norm": ("output_norm", "model.norm"),
    "lm_head": ("output", "lm_head"),
}


def names(ours):
    """(GGUF's, Hugging Face's, the last part of ours) of a weight, or None for tables."""
    parts = ours.removesuffix(".weight").split(".")
    if parts[0] == "layers":
        gguf, face = LAYER[parts[2]]
        prefixes = (f"blk.{parts[1]}.", f"model.layers.{parts[1]}.")
        return f"{prefixes[0]}{gguf}.weight", f"{prefixes[1]}{face}.weight", parts[2]
    if parts[0] not in ENDS:
        return None
    gguf, face = ENDS[parts[0]]
    return f"{gguf}.weight", f"{face}.weight", parts[0]


def oriented(kind, value):
    """[out, in], where ours is [in, out]."""
    return np.ascontiguousarray(value.T) if value.ndim == 2 and kind != "embed" else value


def paired(value, heads):
    """Rows of halves, as ours rotate, in the order of pairs, as llama.cpp rotates."""
    halves = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(value.shape)


def shape_of(path):
    sizes = {name: value.shape for name, value in synthetic_llama.tensors(path)}
    layers = 1 + max(int(n.split(".")[1]) for n in sizes if n.startswith("layers."))
    dim, hidden = sizes["layers.0.gate.weight"]
    return layers, dim, hidden, sizes["cos_cache"][0]


def write_gguf(path, folder):
    import gguf

    layers, dim, hidden, context = shape_of(path)
    file = folder / "model.gguf"
    weights = [(names(n), v) for n, v in synthetic_llama.tensors(path) if names(n)]
    kind_of = {"float32": "ALL_F32", "float16": "MOSTLY_F16", "bfloat16": "MOSTLY_BF16"}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(dim // HEAD)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType[kind_of[weights[0][1].dtype.name]])
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"<{i}>".encode() for i in range(VOCABULARY)])
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types([gguf.TokenType.NORMAL] * VOCABULARY)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def converted(kind, value):
        value = oriented(kind, value)
        if kind in ("q", "k"):
            value = paired(value, dim // HEAD if kind == "q" else KV_HEADS)
        if value.ndim == 1:
            return value.astype(np.float32)
        # numpy has no bf16 of its own: its words go as they are.
        return value.view(np.uint16) if value.dtype.name == "bfloat16" else value

    for (name, _, kind), value in weights:
        shape = value.shape if value.ndim == 1 or kind == "embed" else value.shape[::-1]
        dtype = np.dtype(np.float32) if value.ndim == 1 else value.dtype
        raw = gguf.GGMLQuantizationType.BF16 if dtype.name == "bfloat16" else None
        writer.add_tensor_info(name, shape, dtype, value.size * dtype.itemsize, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for (_, _, kind), value in weights:
        writer.write_tensor_data(converted(kind, value))
    writer.close()
    return file


def write_safetensors(path, folder):
    from safetensors.numpy import save_file

    layers, dim, hidden, context = shape_of(path)
    shard, held, number, where = {}, 0, 0, {}
    dtype = None

    def flush():
        nonlocal shard, held, number
        name = f"model-{number:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(shard, name))
        shard, held, number = {}, 0, number + 1

    for ours, value in synthetic_llama.tensors(path):
        if not names(ours):
            continue
        _, name, kind = names(ours)
        shard[name] = np.ascontiguousarray(oriented(kind, value))
        held += value.nbytes
        dtype = value.dtype
        if held >= SHARD:
            flush()
    if shard:
        flush()
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": dim,
        "intermediate_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": dim // HEAD,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": context,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float16" if dtype == np.float16 else "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def main():
    path, folder = map(pathlib.Path, sys.argv[1:3])
    folder.mkdir(parents=True, exist_ok=True)
    print({"gguf": write_gguf, "safetensors": write_safetensors}[sys.argv[3]](path, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
