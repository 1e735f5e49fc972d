#!/usr/bin/env python3
"""stories260K through the compiled plan: mean loss on sample stories, and its greedy text."""

import math
import sys

import numpy as np

import suite
from compare import compile_plan, generate, listed
from model_list import DECODERS
from suite import SHARED, Failure, Skip

LOSS, WITHIN, PREDICTED = 1.266, 0.005, 1804
CONTEXT = 512
TEXT = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    " One day, she saw a big, red ball."
)
NAMES = ("stories-dynamo", "stories-optimum", "stories-genai-fp32")


def sentencepiece_model():
    import sentencepiece

    file = SHARED / "models" / "stories260K" / "tok512.model"
    if not file.is_file():
        raise Skip(f"{file} is absent")
    return sentencepiece.SentencePieceProcessor(model_file=str(file))


def sample_stories():
    """Token lists, BOS first, of at most CONTEXT tokens."""
    file = SHARED / "data" / "text" / "tinystories_sample.txt"
    if not file.is_file():
        raise Skip(f"{file} is absent")
    pieces = sentencepiece_model()
    stories = [part.strip() for part in file.read_text().split("<|endoftext|>")]
    return [([1] + pieces.encode(story))[:CONTEXT] for story in stories if story]


def negative_log_likelihood(logits, targets):
    """Sum over rows of -log softmax at the target, in float64."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits).sum(axis=-1))
    return float((log_sum - logits[np.arange(len(targets)), targets]).sum())


def loss(tool, folder, model):
    """Every story's tokens are forced; row i of the logits predicts token i + 1."""
    tool.need()
    plan = compile_plan(tool, model.file(), folder / model.name)
    total, count = 0.0, 0
    rows = folder / model.name / "rows.npy"
    for story in sample_stories():
        targets = story[1:]
        force = ("--force", listed(targets), "--logits-out", rows)
        generate(tool, plan, story[:1], len(targets), *force)
        logits = np.load(rows)
        if len(logits) != len(targets):
            raise Failure(f"{len(logits)} rows of logits for {len(targets)} forced tokens")
        total += negative_log_likelihood(logits, targets)
        count += len(targets)
    mean = total / count
    if count != PREDICTED or not abs(mean - LOSS) <= WITHIN:
        raise Failure(f"mean loss {mean:.5f} over {count} tokens, expected {LOSS} over {PREDICTED}")
    return f"mean loss {mean:.5f} over {count} tokens"


def greedy_text(tool, folder, model):
    tool.need()
    plan = compile_plan(tool, model.file(), folder / f"{model.name}-text")
    text = generate(tool, plan, [1], 60)["text"]
    if not text.strip().startswith(TEXT):
        raise Failure(f"the text begins {text[: len(TEXT)]!r}")
    streamed = tool.good("generate", plan, "--tokens", "1", "-n", 60).stdout
    if not streamed.strip().startswith(TEXT):
        raise Failure(f"the streamed text begins {streamed[: len(TEXT)]!r}")
    return ""


def prompt_tokens(tool, folder, model):
    """--prompt is encoded as sentencepiece does, BOS in front, and continues as from tokens."""
    tool.need()
    plan = compile_plan(tool, model.file(), folder / f"{model.name}-prompt")
    prompt = "Once upon a time, there was a tiny dragon"
    expected = [1] + sentencepiece_model().encode(prompt)
    by_text = tool.json("generate", plan, "--prompt", prompt, "-n", 12)
    by_tokens = generate(tool, plan, expected, 12)
    found = by_text["prompt_tokens"]
    if found not in (expected, len(expected)):
        raise Failure(f"prompt_tokens {found}, sentencepiece gives {expected}")
    if by_text["tokens"] != by_tokens["tokens"]:
        raise Failure(f"{by_text['tokens']} after the text, {by_tokens['tokens']} after its tokens")
    return f"{len(expected)} tokens"


def example_text(tool, folder, model):
    """The committed example: its tokenizer.json, and its loss on forced held-out text."""
    from tokenizers import Tokenizer

    tool.need()
    where = model.file().parent
    tokenizer = Tokenizer.from_file(str(where / "tokenizer.json"))
    plan = compile_plan(tool, model.file(), folder / "example-text")
    prompt = "ROMEO:\nWhat light"
    expected = tokenizer.encode(prompt).ids
    by_text = tool.json("generate", plan, "--prompt", prompt, "-n", 40)
    if by_text["prompt_tokens"] not in (expected, len(expected)):
        raise Failure(f"prompt_tokens {by_text['prompt_tokens']}, tokenizers gives {expected}")
    if by_text["text"] != tokenizer.decode(by_text["tokens"]):
        raise Failure(f"text {by_text['text']!r} is not the decoded tokens")

    shakespeare = SHARED / "data" / "text" / "tinyshakespeare.txt"
    if not shakespeare.is_file():
        return "held-out text absent, loss not checked"
    data = shakespeare.read_bytes()
    held_out = data[len(data) * 9 // 10 :][:2000].decode()
    ids = tokenizer.encode(held_out).ids[:256]
    rows = folder / "example-text" / "rows.npy"
    generate(
        tool, plan, ids[:1], len(ids) - 1, "--force", listed(ids[1:]), "--logits-out", rows
    )
    nats = negative_log_likelihood(np.load(rows), ids[1:])
    bits = nats / math.log(2) / len(tokenizer.decode(ids).encode())
    if not 1.0 < bits < 2.6:
        raise Failure(f"{bits:.3f} bits per byte on {len(ids)} held-out tokens")
    return f"{bits:.3f} bits per byte on the first {len(ids)} held-out tokens"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)
    models = {model.name: model for model in DECODERS}
    for name in NAMES:
        tests.add(f"loss-{name}", loss, tool, folder, models[name])
    tests.add("text", greedy_text, tool, folder, models["stories-dynamo"])
    tests.add("prompt-sentencepiece", prompt_tokens, tool, folder, models["stories-dynamo"])
    tests.add("prompt-tokenizer-json", prompt_tokens, tool, folder, models["stories-genai-fp32"])
    tests.add("example-text", example_text, tool, folder, models["example"])
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
