"""The models of the comparisons: where each comes from, what it is compared with, how closely."""

import dataclasses

from suite import OUT, REPO, SHARED, Skip

FP32 = 1e-4
QUANTIZED = 2e-2  # weights of 4 and 8 bits
# Keys and values each rounded to 11 bits, or to 8, beside logits of up to 22: 2 * 22 / 2^11 and
# 2 * 22 / 2^8. (The greedy tokens must be equal all the same.)
FP16_CACHE = 2.2e-2
BF16_CACHE = 1.7e-1
# Activations rounded to int8 at run time: where a value lies between two codes, the last bit of a
# sum decides, and the KV cache keeps it. ONNX Runtime differs from itself by 0.26 (with its graph
# optimizations and without), so rows may differ this much and most choices must agree; the
# arithmetic of such products is held to the bit in quantized.py.
ROUNDED_ACTIVATIONS = 1.0

ONCE_UPON = (1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338)


@dataclasses.dataclass(frozen=True)
class Model:
    """One decoder. `reference` names the export that ONNX Runtime runs (default: the same)."""

    name: str
    path: str = ""  # below SHARED, or below REPO with a leading ./; "" means an export of that name
    reference: str = ""
    tolerance: float = FP32
    prompt: tuple = ONCE_UPON
    context: int = 0  # 0: the model's own
    steps: int = 64
    export: str = ""  # the export's name, if not that of the comparison
    kv_type: str = "auto"

    def file(self):
        return find(self.export or self.name, self.path)

    def reference_file(self):
        return find(self.reference, "") if self.reference else self.file()


def find(name, path):
    if not path:
        import export

        # Exports of ours are made on demand: that takes the pinned packages, and stories260K.
        if not (SHARED / "models" / "stories260K").is_dir() and name != "gpt2-dynamo":
            raise Skip(f"{SHARED}/models/stories260K is absent")
        export.ensure(name)
        return OUT / name / "model.onnx"
    file = REPO / path[2:] if path.startswith("./") else SHARED / path
    if not file.exists():
        raise Skip(f"{file} is absent")
    return file


DECODERS = [
    Model("example", "./examples/shakespeare/model.onnx", prompt=(0, 50, 51, 300, 27, 200, 1, 2)),
    Model("stories-dynamo"),
    Model("stories-optimum"),
    Model("stories-genai-fp32"),
    Model("stories-genai-int4", tolerance=QUANTIZED),
    Model("gpt2-dynamo", prompt=(0, 17, 4, 999, 250, 33, 640)),
    Model("genai-tiny-gpt2", "models/genai-tiny-gpt2/past.onnx", prompt=(5, 17, 4, 999, 250)),
    # Beyond the list of the issue: other spellings of the same, and the packed forms.
    Model("stories-dynamo-sdpa23"),
    Model("stories-genai-fp32-h8", reference="stories-dynamo"),
    # 16-bit weights with exact arithmetic around them, and with the cache in 16 bits as well.
    Model("stories-dynamo-fp16", reference="stories-dynamo-fp16-upcast", kv_type="f32"),
    Model("stories-dynamo-bf16", reference="stories-dynamo-bf16-upcast", kv_type="f32"),
    Model(
        "stories-fp16-cache",
        export="stories-dynamo-fp16",
        reference="stories-dynamo-fp16-upcast",
        tolerance=FP16_CACHE,
    ),
    Model(
        "stories-bf16-cache",
        export="stories-dynamo-bf16",
        reference="stories-dynamo-bf16-upcast",
        tolerance=BF16_CACHE,
    ),
    Model("stories-genai-int4-default", reference="stories-genai-int4", tolerance=QUANTIZED),
    Model("stories-genai-int4-asym", tolerance=QUANTIZED),
    Model("stories-genai-int4-mixed", tolerance=QUANTIZED),
    Model("stories-genai-int4-shared", tolerance=QUANTIZED),
    Model("stories-genai-int4-qdq", tolerance=QUANTIZED),
    Model("stories-nbits8", tolerance=QUANTIZED),
    Model("stories-nbits-qdq", tolerance=QUANTIZED),
    Model("stories-nbits-gidx", tolerance=QUANTIZED),
    Model("stories-qdq-axis", tolerance=QUANTIZED),
    Model("stories-dynamic-int8", tolerance=ROUNDED_ACTIVATIONS),
    Model("stories-dynamic-uint8", tolerance=ROUNDED_ACTIVATIONS),
]
