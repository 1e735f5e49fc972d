"""What the export scripts share: where things are, and stories260K as a Hugging Face model.

LLMC_SHARED names the folder of shared material (default: ../shared beside the repository);
LLMC_MODELS_OUT names where exports go (default: test/models/out).
"""

import os
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
SHARED = pathlib.Path(os.environ.get("LLMC_SHARED", REPO.parent / "shared")).resolve()
OUT = pathlib.Path(os.environ.get("LLMC_MODELS_OUT", HERE / "out")).resolve()

STORIES = SHARED / "models" / "stories260K"


def stories_arrays():
    """Reads stories260K.bin; returns (header dict, arrays by Hugging Face parameter name)."""
    raw = (STORIES / "stories260K.bin").read_bytes()
    names = ("dim", "hidden", "layers", "heads", "kv_heads", "vocab", "context")
    header = dict(zip(names, struct.unpack_from("<7i", raw)))
    flat = np.frombuffer(raw, dtype="<f4", offset=28)
    at = 0

    def take(*shape):
        nonlocal at
        count = int(np.prod(shape))
        piece = flat[at : at + count].reshape(shape)
        at += count
        return piece

    dim, hidden, layers = header["dim"], header["hidden"], header["layers"]
    head_size = dim // header["heads"]
    kv_dim = head_size * header["kv_heads"]
    arrays = {"model.embed_tokens.weight": take(header["vocab"], dim)}
    per_layer = [
        ("input_layernorm", (dim,)),
        ("self_attn.q_proj", (dim, dim)),
        ("self_attn.k_proj", (kv_dim, dim)),
        ("self_attn.v_proj", (kv_dim, dim)),
        ("self_attn.o_proj", (dim, dim)),
        ("post_attention_layernorm", (dim,)),
        ("mlp.gate_proj", (hidden, dim)),
        ("mlp.down_proj", (dim, hidden)),
        ("mlp.up_proj", (hidden, dim)),
    ]
    for name, shape in per_layer:
        stacked = take(layers, *shape)
        for layer in range(layers):
            piece = stacked[layer]
            if name in ("self_attn.q_proj", "self_attn.k_proj"):
                piece = interleaved_to_halves(piece, head_size)
            arrays[f"model.layers.{layer}.{name}.weight"] = piece
    arrays["model.norm.weight"] = take(dim)
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    return header, arrays


def interleaved_to_halves(weight, head_size):
    """Reorders output rows so that rotating halves equals rotating pairs (2i, 2i+1)."""
    rows, columns = weight.shape
    pairs = weight.reshape(rows // head_size, head_size // 2, 2, columns)
    return np.ascontiguousarray(pairs.transpose(0, 2, 1, 3)).reshape(rows, columns)


def pad_heads(arrays, old, new):
    """The same model with heads of `new` dimensions instead of `old` (new = old * 2**n).

    ONNX Runtime's GroupQueryAttention rotates only heads of a multiple of 16 dimensions, and
    stories260K has 8. Pair j of the old head rotates by base**(-2j/old), which is pair j*new/old
    of the new one; it goes there, all other rows are zero. Attention divides by sqrt(new) where
    it divided by sqrt(old), so queries are scaled up; the functions are equal.
    """
    factor, half = new // old, old // 2
    rotary = np.array([(i % half) * factor + (i // half) * (new // 2) for i in range(old)])
    plain = np.arange(old)
    padded = {}
    for name, value in arrays.items():
        kind = name.split(".")[-2]
        if kind in ("q_proj", "k_proj", "v_proj"):
            heads = value.shape[0] // old
            wide = np.zeros((heads, new, value.shape[1]), np.float32)
            rows = plain if kind == "v_proj" else rotary
            wide[:, rows] = value.reshape(heads, old, -1)
            if kind == "q_proj":
                wide *= np.float32(np.sqrt(new / old))
            value = wide.reshape(heads * new, -1)
        elif kind == "o_proj":
            heads = value.shape[1] // old
            wide = np.zeros((value.shape[0], heads, new), np.float32)
            wide[:, :, plain] = value.reshape(-1, heads, old)
            value = wide.reshape(-1, heads * new)
        padded[name] = value
    return padded


def stories_hf(head_size=8):
    """stories260K as a transformers LlamaForCausalLM in fp32, eager attention."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    header, arrays = stories_arrays()
    if head_size != header["dim"] // header["heads"]:
        arrays = pad_heads(arrays, header["dim"] // header["heads"], head_size)
    config = LlamaConfig(
        vocab_size=header["vocab"],
        hidden_size=header["dim"],
        intermediate_size=header["hidden"],
        num_hidden_layers=header["layers"],
        num_attention_heads=header["heads"],
        num_key_value_heads=header["kv_heads"],
        head_dim=head_size,
        max_position_embeddings=header["context"],
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    model.load_state_dict(state, strict=True)
    return model


def copy_stories_tokenizer(folder):
    """Puts the sentencepiece model beside an export, under the name that is looked for."""
    (folder / "tokenizer.model").write_bytes((STORIES / "tok512.model").read_bytes())


def fresh_folder(name):
    """An empty folder for one export."""
    import shutil

    folder = OUT / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
