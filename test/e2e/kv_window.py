#!/usr/bin/env python3
"""--kv-window and --kv-sink: bounded states, the logits of a restricted mask, any length of text.

ONNX Runtime runs small models from real exporters one token at a time, its attention mask zero for
every key that has left the window and is no sink, so that keys keep the positions and the contents
that they had. llmc is fed the same tokens, with a prompt in chunks, many times around the ring.
A window as long as the context changes no bit; a model's own window stays.
"""

import pathlib
import sys

import numpy as np

import reference
import suite
from compare import check_close, generate, listed
from model_list import DECODERS, FP32
from suite import Failure

CONTEXT, CHUNK = 512, 16
PROMPT, TOKENS = 50, 460
BLOCK = 64
# Window and sinks: sinks in a block of their own, several blocks of them, none; windows of less than
# a block, of one, of several.
LIMITS = [(20, 4), (64, 0), (100, 70), (130, 1), (7, 0)]
MODELS = ["stories-dynamo", "stories-optimum"]  # their mask is an input


def model_of(name):
    return next(model for model in DECODERS if model.name == name)


def restricted(path, tokens, window, sinks):
    """Logits of every token but the last, each fed alone."""

    def compute():
        decoder = reference.Decoder(path)
        rows = []
        for position, token in enumerate(tokens):
            mask = np.ones((1, position + 1))
            mask[0, sinks : max(sinks, position + 1 - window)] = 0
            rows.append(one(decoder, token, mask))
        return {"logits": np.stack(rows)}

    key = f"window-{window}-{sinks}-{len(tokens)}"
    return reference.cached(path, key, compute)["logits"]


def one(decoder, token, mask):
    feed = dict(decoder.state)
    for name, value in decoder.inputs.items():
        if name in feed:
            continue
        dtype = reference.DTYPES[value.type]
        if "mask" in name:
            feed[name] = mask.astype(dtype)
        elif "position" in name:
            feed[name] = np.array([[decoder.past]], dtype)
        else:
            feed[name] = np.array([[token]], dtype)
    if not any("position" in name for name in decoder.inputs):
        raise Failure("without position ids a mask with holes moves the positions")
    results = dict(zip(decoder.outputs, decoder.session.run(decoder.outputs, feed)))
    for source, target in zip(decoder.state_outputs, decoder.state_inputs):
        decoder.state[target] = results[source]
    decoder.past += 1
    return results[decoder.first].reshape(-1)


class Windows:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder
        self.tokens = [1] + [3 + (7 * i * i + 5 * i) % 400 for i in range(PROMPT + TOKENS - 1)]

    def compile(self, model, name, *options):
        self.tool.need()
        folder = self.folder / model.name
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / f"{name}.plan"
        common = ["--ctx", CONTEXT, "--prefill-chunk", CHUNK, "--vram", "unbounded"]
        report = self.tool.json("compile", model.file(), "-o", plan, *common, *options)
        self.tool.good("verify", plan)
        return plan, report

    def run(self, plan, prompt, *options):
        """Logits after the prompt and after every further token."""
        logits = plan.with_suffix(".npy")
        rest = self.tokens[prompt:]
        force = ("--force", listed(rest), "--logits-out", logits)
        generate(self.tool, plan, self.tokens[:prompt], len(rest), *force, *options)
        found = np.load(logits)
        return found.reshape(found.shape[0], -1)

    def case(self, name, window, sinks):
        model = model_of(name)
        flags = ["--kv-window", window] + (["--kv-sink", sinks] if sinks else [])
        plan, report = self.compile(model, f"w{window}-{sinks}", *flags)
        _, whole = self.compile(model, "whole")
        blocks = -(-sinks // BLOCK) + -(-(window + CHUNK - 1) // BLOCK)
        promised = whole["state_bytes"] // (CONTEXT // BLOCK) * blocks
        if report["state_bytes"] != promised:
            raise Failure(f"state_bytes {report['state_bytes']}, promised {promised}")
        expected = restricted(model.reference_file(), self.tokens[:-1], window, sinks)
        found = self.run(plan, PROMPT)
        worst = check_close(found, expected[PROMPT - 1 :], FP32, "logits")
        # The same bits one token at a time, and with what is dead poisoned.
        if self.run(plan, 1)[PROMPT - 1 :].tobytes() != found.tobytes():
            raise Failure("a prompt in one token gives other bits")
        if self.run(plan, PROMPT, "--poison").tobytes() != found.tobytes():
            raise Failure("poison mode gives other bits")
        return f"largest difference {worst:.2g}, {blocks} of {CONTEXT // BLOCK} blocks"

    def as_long_as_the_context(self):
        model = model_of(MODELS[0])
        plan, whole = self.compile(model, "whole")
        want = self.run(plan, PROMPT).tobytes()
        for flags in ((CONTEXT,), (10 * CONTEXT, 4), (CONTEXT - 100, CONTEXT)):
            options = [x for pair in zip(("--kv-window", "--kv-sink"), flags) for x in pair]
            plan, report = self.compile(model, "long", *options)
            if report["state_bytes"] != whole["state_bytes"]:
                raise Failure(f"{flags}: state_bytes {report['state_bytes']}")
            if self.run(plan, PROMPT).tobytes() != want:
                raise Failure(f"{flags}: other bits")
        # A window that is not reached, with sinks beside it and without a ring.
        plan, _ = self.compile(model, "late", "--kv-window", CONTEXT - 30, "--kv-sink", 2)
        found = self.run(plan, PROMPT)
        if found[: CONTEXT - 30 - PROMPT].tobytes() != want[: found[: CONTEXT - 30 - PROMPT].nbytes]:
            raise Failure("other bits before the window is full")
        return "same bits"

    def own_window(self):
        """GroupQueryAttention with a window: it stays below a larger --kv-window, sinks or not."""
        import onnx

        model = model_of("stories-genai-fp32")
        folder = self.folder / "own"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "model.onnx"
        proto, changed = onnx.load(model.file()), False
        for node in proto.graph.node:
            for attribute in node.attribute:
                if attribute.name == "local_window_size":
                    attribute.i, changed = 40, True
        if not changed:
            raise Failure("no node has a window")
        onnx.save(proto, file)

        def run(name, *options):
            plan = folder / f"{name}.plan"
            common = ["--ctx", CONTEXT, "--prefill-chunk", CHUNK, "--vram", "unbounded"]
            report = self.tool.json("compile", file, "-o", plan, *common, *options)
            self.tool.good("verify", plan)
            return self.run(plan, PROMPT), report["state_bytes"]

        want, whole = run("whole")
        for options in (("--kv-window", 40), ("--kv-window", 200, "--kv-sink", 4)):
            found, state = run("own", *options)
            if found.tobytes() != want.tobytes():
                raise Failure(f"{options}: other bits than the model's own window")
            if not state < whole:
                raise Failure(f"{options}: {state} of {whole} bytes of state")
        narrow, _ = run("narrow", "--kv-window", 10, "--kv-sink", 1)
        if np.array_equal(narrow[-1], want[-1]):
            raise Failure("a smaller window changes nothing")
        return f"{state} of {whole} bytes of state"

    def errors(self):
        model = model_of(MODELS[0])
        done = self.tool.run("compile", model.file(), "--vram", "unbounded", "--kv-sink", 4)
        if done.returncode != 2 or "--kv-window" not in done.stderr:
            raise Failure(f"sinks alone: {done.returncode} {done.stderr[-300:]}")
        both = ("--kv-window", 20, "--kv-resident", 64)
        done = self.tool.run("compile", model.file(), "--vram", "unbounded", *both)
        if done.returncode != 2 or "--kv-window is no longer" not in done.stderr:
            raise Failure(f"a window that spills: {done.returncode} {done.stderr[-300:]}")
        plan, _ = self.compile(model, "states", "--kv-window", 20)
        prompt = listed(self.tokens[:200])
        out = self.folder / "states"
        done = self.tool.run("generate", plan, "--tokens", prompt, "-n", 1, "--state-out", out)
        if done.returncode != 1 or "keeps a window only" not in done.stderr:
            raise Failure(f"all of the state: {done.returncode} {done.stderr[-300:]}")
        return done.stderr.strip()[-200:]


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    windows = Windows(suite.Tool(options), pathlib.Path(suite.work_folder(options)))
    for name in MODELS:
        for window, sinks in LIMITS:
            tests.add(f"{name}, {window} tokens and {sinks}", windows.case, name, window, sinks)
    tests.add("as long as the context", windows.as_long_as_the_context)
    tests.add("a window of the model's own", windows.own_window)
    tests.add("errors", windows.errors)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
