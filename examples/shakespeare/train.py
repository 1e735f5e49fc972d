#!/usr/bin/env python3
"""Trains the example model on tinyshakespeare and exports it with torch.onnx.

    python examples/shakespeare/train.py TEXT [--steps N] [--out DIR]

The last tenth of the text is held out: neither the tokenizer nor the model sees it in training.
Writes model.onnx, tokenizer.json, config.json, generation_config.json and train.log into --out
(default: beside this script). About 25 minutes on one core.
"""

import argparse
import math
import pathlib
import sys
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "test" / "models"))
import dynamo  # noqa: E402  (the export shared with the test models)

CONTEXT = 256
VOCABULARY = 1024
BOS = "<|endoftext|>"
BOS_ID = 0


def train_tokenizer(text):
    """Byte-level BPE; BOS is put in front of every prompt by the post-processor."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, BOS_ID)]
    )
    return tokenizer


def build_model(dropout):
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=288,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=BOS_ID,
        eos_token_id=BOS_ID,
        attention_dropout=dropout,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config)

    def drop(module, _, output):
        return torch.nn.functional.dropout(output, dropout, module.training)

    hooks = []
    for layer in model.model.layers:
        hooks.append(layer.self_attn.o_proj.register_forward_hook(drop))
        hooks.append(layer.mlp.down_proj.register_forward_hook(drop))
    return model, hooks


class Batches:
    """Random windows; one in four starts at a speech, with BOS before it, as prompts do."""

    def __init__(self, tokenizer, text, batch):
        speeches = [speech + "\n\n" for speech in text.split("\n\n")]
        encoded = tokenizer.encode_batch(speeches, add_special_tokens=False)
        ids, starts = [], []
        for speech in encoded:
            starts.append(len(ids))
            ids.extend(speech.ids)
        self.ids = torch.tensor(ids)
        last = len(ids) - CONTEXT - 2
        self.starts = torch.tensor([start for start in starts if start <= last])
        self.last = last
        self.batch = batch

    def next(self):
        quarter = self.batch // 4
        with_bos = self.starts[torch.randint(len(self.starts), (quarter,))]
        plain = torch.randint(self.last, (self.batch - quarter,))
        rows = []
        for start in with_bos.tolist():
            rows.append(torch.cat([torch.tensor([BOS_ID]), self.ids[start : start + CONTEXT]]))
        for start in plain.tolist():
            rows.append(self.ids[start : start + CONTEXT + 1])
        return torch.stack(rows)


@torch.no_grad()
def bits_per_byte(model, tokenizer, text):
    """Windows of CONTEXT tokens, advanced by half a window; each byte is predicted once."""
    model.eval()
    ids = torch.tensor(tokenizer.encode(text).ids)  # BOS in front: every real token is predicted
    total, done, half = 0.0, 1, CONTEXT // 2
    while done < len(ids):
        end = min(len(ids), done + (half if done > 1 else CONTEXT - 1))
        begin = max(0, end - CONTEXT)
        window = ids[begin:end]
        logits = model(window[:-1].unsqueeze(0)).logits[0].float()
        fresh = end - done
        total += torch.nn.functional.cross_entropy(
            logits[-fresh:], window[-fresh:], reduction="sum"
        ).item()
        done = end
    model.train()
    return total / math.log(2) / len(text.encode())


def optimisers(model, rate):
    """Muon for the matrices inside the layers, AdamW for embedding and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inner = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inner]
    muon = torch.optim.Muon(
        matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    return muon, adam


def train(model, batches, steps, rate, report):
    muon, adam = optimisers(model, rate)
    warmup = max(1, steps // 20)
    started = time.time()
    for step in range(steps):
        if step < warmup:
            factor = (step + 1) / warmup
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        for optimiser in (muon, adam):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
        rows = batches.next()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), rows[:, 1:].flatten()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in (muon, adam):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if step % 100 == 0 or step + 1 == steps:
            report(step, loss.item(), time.time() - started)


def strip_metadata(path):
    """Drops the exporter's stack traces and shapes of inner values: a third of the file here."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.functions[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=HERE)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    options.out.mkdir(parents=True, exist_ok=True)

    data = options.text.read_bytes()
    cut = len(data) * 9 // 10
    text, held_out = data[:cut].decode(), data[cut:].decode()
    tokenizer = train_tokenizer(text)
    tokenizer.save(str(options.out / "tokenizer.json"))
    model, hooks = build_model(options.dropout)
    batches = Batches(tokenizer, text, options.batch)
    count = sum(p.numel() for p in model.parameters())
    log = open(options.out / "train.log", "w", encoding="utf-8")

    def say(line):
        print(line, flush=True)
        print(line, file=log, flush=True)

    say(f"{count} parameters, {len(batches.ids)} training tokens, {len(held_out)} bytes held out")

    def report(step, loss, seconds):
        line = f"step {step} loss {loss:.4f} seconds {seconds:.0f}"
        if step and step % 600 == 0:
            line += f" held-out bits per byte {bits_per_byte(model, tokenizer, held_out[:20000]):.4f}"
        say(line)

    train(model, batches, options.steps, options.rate, report)
    say(f"held-out bits per byte, all of it: {bits_per_byte(model, tokenizer, held_out):.4f}")

    for hook in hooks:
        hook.remove()
    model.eval()
    model.save_pretrained(options.out / "hf")  # kept out of git; for another export
    prompt = torch.tensor([tokenizer.encode("ROMEO:").ids])
    sample = model.generate(prompt, max_new_tokens=200, do_sample=True, top_k=40, temperature=0.8)
    say(tokenizer.decode(sample[0].tolist()))
    export(model, options.out)
    return 0


def export(model, out):
    model.config._attn_implementation = "eager"
    dynamo.export(model, out / "model.onnx")
    strip_metadata(out / "model.onnx")
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(out)
    GenerationConfig(
        bos_token_id=BOS_ID, eos_token_id=BOS_ID, max_length=CONTEXT
    ).save_pretrained(out)


if __name__ == "__main__":
    sys.exit(main())
