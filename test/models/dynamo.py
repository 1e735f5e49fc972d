"""Export of a decoder with PyTorch's own (dynamo) exporter, KV cache in and out.

The graph gets the names that torch gives a transformers DynamicCache: inputs
past_key_values_key_cache_N and past_key_values_value_cache_N, outputs by position.
"""

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class WithCache(torch.nn.Module):
    """forward(input_ids, attention_mask, position_ids, past) -> logits, present.

    `past` is the dictionary of lists that transformers registers for a DynamicCache
    ({"key_cache": [...], "value_cache": [...]}). The cache object is rebuilt here and not by that
    registration: the latter starts from empty tensors, whose constants torch 2.13 loses.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids, past_key_values):
        cache = DynamicCache()
        for keys, values in zip(past_key_values["key_cache"], past_key_values["value_cache"]):
            layer = DynamicLayer()
            layer.keys, layer.values = keys, values
            layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
            cache.layers.append(layer)
        out = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        present = out.past_key_values.layers
        return out.logits, [layer.keys for layer in present], [layer.values for layer in present]


def cache_layers(config):
    """(layers, KV heads, head size) of a transformers config."""
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return config.num_hidden_layers, kv_heads, head_size


def example_inputs(config, dtype, batch=2, sequence=3, past=5):
    layers, kv_heads, head_size = cache_layers(config)

    def random_cache():
        return [torch.randn(batch, kv_heads, past, head_size, dtype=dtype) for _ in range(layers)]

    positions = torch.arange(past, past + sequence)
    return {
        "input_ids": torch.randint(0, config.vocab_size, (batch, sequence)),
        "attention_mask": torch.ones(batch, past + sequence, dtype=torch.int64),
        "position_ids": positions.unsqueeze(0).expand(batch, sequence).contiguous(),
        "past_key_values": {"key_cache": random_cache(), "value_cache": random_cache()},
    }


def export(model, path, opset=18, external_data=False):
    """Writes `path` from a transformers decoder; batch, sequence and past lengths are dynamic."""
    from torch.export import Dim

    dtype = next(model.parameters()).dtype
    inputs = example_inputs(model.config, dtype)
    layers = cache_layers(model.config)[0]
    # GPT-2 slices its causal mask out of a table, so the exporter wants to know the bound.
    past = Dim("past", max=model.config.max_position_embeddings)
    kv_shapes = [{0: Dim("batch"), 2: past}] * layers
    shapes = {
        "input_ids": {0: Dim("batch"), 1: Dim("seq")},
        "attention_mask": {0: Dim("batch"), 1: Dim.DYNAMIC},
        "position_ids": {0: Dim("batch"), 1: Dim("seq")},
        "past_key_values": {"key_cache": kv_shapes, "value_cache": kv_shapes},
    }
    program = torch.onnx.export(
        WithCache(model).eval(),
        kwargs=inputs,
        dynamic_shapes=shapes,
        dynamo=True,
        opset_version=opset,
        verbose=False,
    )
    program.save(str(path), external_data=external_data)
