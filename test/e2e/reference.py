"""Runs a language model in ONNX Runtime, step by step, knowing its inputs by their names.

Results are kept in .cache/ beside this file, keyed by model bytes and this script, so that a
second run of the comparisons need not load ONNX Runtime at all.
"""

import hashlib
import pathlib
import re

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE / ".cache"

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def is_state(name):
    return bool(re.match(r"(past|key_cache|value_cache|cache)", name))


def is_present(name):
    return bool(re.match(r"present", name))


def open_session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    # DequantizeLinear + MatMul is fused there, and would round activations to int8 by default.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Decoder:
    """An ONNX decoder with its KV state held here.

    State inputs are those whose names begin with `past`; their outputs are the `present` ones
    of the same kind and number, or (torch's dynamo exporter names outputs freely) those after the
    first, in the order of the inputs.
    """

    def __init__(self, path):
        self.session = open_session(path)
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.state_inputs = [name for name in self.inputs if is_state(name)]
        self.state_outputs = [name for name in self.outputs if is_present(name)]
        if self.state_outputs:
            self.state_inputs = sorted_states(self.state_inputs)
            self.state_outputs = sorted_states(self.state_outputs)
        else:
            self.state_outputs = self.outputs[1:]
        if len(self.state_inputs) != len(self.state_outputs):
            raise ValueError(f"{len(self.state_inputs)} states in, {len(self.state_outputs)} out")
        self.first = next(name for name in self.outputs if name not in self.state_outputs)
        self.reset()

    def reset(self):
        self.past = 0
        self.state = {}
        for name in self.state_inputs:
            value = self.inputs[name]
            shape = [
                d if isinstance(d, int) else (1 if "batch" in str(d) else 0) for d in value.shape
            ]
            self.state[name] = np.zeros(shape, DTYPES[value.type])

    def step(self, tokens):
        """Feeds `tokens` after what was fed before; returns every output by name."""
        count = len(tokens)
        feed = dict(self.state)
        for name, value in self.inputs.items():
            if name in feed:
                continue
            dtype = DTYPES[value.type]
            if "mask" in name:
                feed[name] = np.ones((1, self.past + count), dtype)
            elif "position" in name:
                feed[name] = np.arange(self.past, self.past + count, dtype=dtype)[None]
            elif "ids" in name and "type" not in name:
                feed[name] = np.array([tokens], dtype)
            elif "ids" in name:
                feed[name] = np.zeros((1, count), dtype)
            else:
                raise ValueError(f"input {name} is not known to this driver")
        results = dict(zip(self.outputs, self.session.run(self.outputs, feed)))
        for source, target in zip(self.state_outputs, self.state_inputs):
            self.state[target] = results[source]
        self.past += count
        return results


def sorted_states(names):
    """Keys before values, each by number: 10 comes after 9, and outputs meet inputs in order."""

    def key(name):
        rest = name.replace("past_key_values", "")
        return ("value" in rest, int(re.search(r"\d+", rest).group()), rest)

    return sorted(names, key=key)


def digest(path):
    """Hash of a model file, its external data and this script."""
    result = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    folder = path.parent
    for file in sorted([path, *folder.glob("*.data"), *folder.glob("*.bin")]):
        result.update(file.read_bytes())
    return result.hexdigest()[:24]


def cached(path, key, compute):
    """compute() gives a dictionary of arrays; it runs once per model bytes and key."""
    where = CACHE / f"{path.parent.name}-{key}-{digest(path)}.npz"
    if where.is_file():
        with np.load(where) as stored:
            return dict(stored)
    arrays = compute()
    CACHE.mkdir(exist_ok=True)
    np.savez(where, **arrays)
    return arrays


def greedy(path, prompt, steps):
    """Prefill of `prompt`, then `steps` greedy decode steps.

    Returns tokens [steps + 1] and logits [steps + 1, vocabulary], row 0 from the prefill.
    """

    def compute():
        decoder = Decoder(path)
        rows, tokens, feed = [], [], list(prompt)
        for _ in range(steps + 1):
            row = decoder.step(feed)[decoder.first][0, -1].astype(np.float32)
            rows.append(row)
            tokens.append(int(row.argmax()))
            feed = [tokens[-1]]
        return {"tokens": np.array(tokens), "logits": np.stack(rows)}

    key = hashlib.sha256(repr((list(prompt), steps)).encode()).hexdigest()[:8]
    return cached(path, f"greedy-{key}", compute)


def single_steps(path, tokens):
    """One step per token, all outputs; names become NAME@STEP."""

    def compute():
        decoder = Decoder(path)
        arrays = {}
        for index, token in enumerate(tokens):
            for name, value in decoder.step([token]).items():
                arrays[f"{name}@{index}"] = value
        return arrays

    key = hashlib.sha256(repr(list(tokens)).encode()).hexdigest()[:8]
    return cached(path, f"steps-{key}", compute)


def once(path, feed):
    """One run of a model without state; every output by name."""

    def compute():
        session = open_session(path)
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, feed)))

    text = repr([(name, value.tolist()) for name, value in sorted(feed.items())])
    return cached(path, f"once-{hashlib.sha256(text.encode()).hexdigest()[:8]}", compute)
