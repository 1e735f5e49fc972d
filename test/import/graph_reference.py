"""Executes what `llmc-import --dump` writes, op by op, in NumPy.

Written from dialects/graph/GraphOps.td alone: it shares no code with the
compiler, so that an importer's mistake shows as a number.
"""
import json
import math
import os
import re

import numpy as np

BFLOAT = "bfloat16"


def floordiv(a, b):
    return a // b


def ceildiv(a, b):
    return -(-a // b)


def mod(a, b):
    return a % b


class Graph:
    def __init__(self, folder):
        with open(os.path.join(folder, "graph.json")) as file:
            self.data = json.load(file)
        self.bytes = np.fromfile(os.path.join(folder, "weights.bin"), np.uint8)
        self.weights = {}

    def entry(self, name):
        return self.data["entries"][name]

    def weight(self, name):
        if name not in self.weights:
            info = self.data["weights"][name]
            raw = self.bytes[info["offset"]: info["offset"] + info["size"]]
            self.weights[name] = decode(raw, *parse_type(info["type"]))
        return self.weights[name]

    def run(self, name, inputs, symbols):
        """inputs by port name -> outputs by port name."""
        entry = self.entry(name)
        self.symbols = {**symbols, "floordiv": floordiv, "ceildiv": ceildiv,
                        "mod": mod, "min": min, "max": max}
        values = {}
        for argument in entry["arguments"]:
            port = argument["attributes"]["graph.port"]["name"]
            values[argument["id"]] = inputs[port]
        for op in entry["ops"]:
            operands = [values[i] for i in op["operands"]]
            if op["op"] == "func.return":
                names = [r["graph.port"]["name"] for r in entry["results"]]
                return dict(zip(names, operands))
            attributes = op["attributes"]
            types = [([], "cache") if t == "!graph.cache" else parse_type(t)
                     for t in op["types"]]
            dims = [[self.expr(d) for d in l]
                    for l in attributes.get("dims", [t[0] for t in types])]
            fn = getattr(Ops, op["op"].split(".")[1])
            results = fn(self, operands, attributes, types, dims)
            if not isinstance(results, tuple):
                results = (results,)
            for i, result in enumerate(results):
                values[op["results"][i]] = result
                if types[i][1] == "cache":
                    continue
                where = f"{op['op']} of {attributes.get('graph.name')}"
                assert list(result.shape) == dims[i], (where, result.shape, dims[i])
                if types[i][1] != BFLOAT and not types[i][1].endswith("i4"):
                    assert result.dtype == np_type(types[i][1]), (where, result.dtype)

    def expr(self, text):
        if isinstance(text, int):
            return text
        return int(eval(text, {"__builtins__": {}}, self.symbols))


def parse_type(text):
    inner = re.fullmatch(r"tensor<(.*)>", text).group(1).split("x")
    return [int(d) if d != "?" else None for d in inner[:-1]], inner[-1]


def np_type(name):
    return np.dtype({"f32": "f4", "f64": "f8", "f16": "f2", "bf16": "f4",
                     "i1": "?", "i8": "i1", "ui8": "u1", "i16": "i2",
                     "ui16": "u2", "i32": "i4", "ui32": "u4", "i64": "i8",
                     "ui64": "u8", "i4": "i1", "ui4": "u1"}[name])


def decode(raw, dims, name):
    if name in ("i4", "ui4"):
        low, high = raw & 15, raw >> 4
        codes = np.stack([low, high], -1).reshape(-1)[: math.prod(dims)]
        if name == "i4":
            codes = ((codes.astype(np.int8) + 8) % 16 - 8).astype(np.int8)
        return codes.reshape(dims)
    if name == "bf16":
        wide = raw.view(np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32).reshape(dims)
    return raw.view(np_type(name)).reshape(dims)


def dense(attribute, dims, name):
    values = [float(v) for v in attribute["values"]] if name[0] in "fb" else attribute["values"]
    array = np.array(values).astype(np_type(name))
    return np.broadcast_to(array.reshape(()), dims).copy() if attribute["splat"] else array.reshape(dims)


ERF = np.vectorize(math.erf)


def sigmoid(x):
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(x.dtype)


UNARY = {
    "neg": np.negative, "abs": np.abs, "exp": np.exp, "log": np.log,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "tanh": np.tanh, "erf": lambda x: ERF(x), "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0), "silu": lambda x: x * sigmoid(x),
    "gelu_erf": lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "floor": np.floor, "ceil": np.ceil, "round": np.rint, "not": np.logical_not,
    "is_nan": np.isnan, "is_inf": np.isinf, "sign": np.sign,
    "softplus": lambda x: np.log1p(np.exp(x)), "square": np.square,
}


def int_div(a, b):
    if a.dtype.kind in "iu":
        return np.trunc(a / b).astype(a.dtype)
    return a / b


BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": int_div,
    "pow": np.power, "min": np.minimum, "max": np.maximum, "mod": np.mod,
    "fmod": np.fmod, "eq": np.equal, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "ne": np.not_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}


def softmax(x, axis):
    x = x - np.max(x, axis=axis, keepdims=True)
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def dequantize_blocks(codes, scales, zeros, axis, block):
    def spread(a):
        a = np.repeat(a, block, axis)
        return np.take(a, range(codes.shape[axis]), axis)
    x = codes.astype(np.float32)
    if zeros is not None:
        x = x - spread(zeros).astype(np.float32)
    return (x * spread(scales)).astype(np.float32)


def nbits_table(g, a, codes, scales, zeros):
    """[N, K] floats of the `nbits` and `qdq_nk` formats."""
    n, k, bits, block = a["n"], a["k"], a["bits"], a["block_size"]
    if a["format"] != "nbits":
        return dequantize_blocks(codes, scales.reshape(n, -1),
                                 None if zeros is None else zeros.reshape(n, -1), 1, block)

    def unpack(x):
        if bits == 8:
            return x
        return np.stack([x & 15, x >> 4], -1).reshape(*x.shape[:-1], -1)
    blocks = -(-k // block)
    flat = unpack(codes).reshape(n, blocks * block)[:, :k].astype(np.float32)
    zero = np.full((n, blocks), 2.0 ** (bits - 1), np.float32)
    if zeros is not None:
        zero = unpack(zeros)[:, :blocks].astype(np.float32)
    spread = lambda x: np.repeat(x, block, 1)[:, :k]
    return (flat - spread(zero)) * spread(scales.reshape(n, blocks).astype(np.float32))


class Segments:
    """Optional operands by operandSegmentSizes."""

    def __init__(self, operands, attributes, count=3):
        if "operandSegmentSizes" not in attributes:
            self.values = operands + [None] * (count - len(operands))
            return
        self.values = []
        at = 0
        for size in attributes["operandSegmentSizes"]:
            self.values.append(operands[at] if size else None)
            at += size


class Ops:
    def constant(g, x, a, types, dims):
        return dense(a["value"], dims[0], types[0][1])

    def load_weight(g, x, a, types, dims):
        return g.weight(a["weight"])

    def fill(g, x, a, types, dims):
        return np.broadcast_to(dense(a["value"], [], types[0][1]), dims[0]).copy()

    def iota(g, x, a, types, dims):
        n = dims[0][a["axis"]]
        values = g.expr(a["start"]) + g.expr(a["step"]) * np.arange(n)
        shape = [1] * len(dims[0])
        shape[a["axis"]] = n
        return np.broadcast_to(values.reshape(shape), dims[0]).astype(np_type(types[0][1]))

    def dim_value(g, x, a, types, dims):
        return np.array([g.expr(e) for e in a["exprs"]], np_type(types[0][1])).reshape(dims[0])

    def unary(g, x, a, types, dims):
        return np.asarray(UNARY[a["kind"]](x[0])).astype(np_type(types[0][1]))

    def binary(g, x, a, types, dims):
        return np.asarray(BINARY[a["kind"]](x[0], x[1])).astype(np_type(types[0][1]))

    def select(g, x, a, types, dims):
        return np.where(x[0], x[1], x[2])

    def cast(g, x, a, types, dims):
        return x[0].astype(np_type(types[0][1]))

    def reshape(g, x, a, types, dims):
        return x[0].reshape(dims[0])

    def transpose(g, x, a, types, dims):
        return x[0].transpose(a["perm"])

    def broadcast(g, x, a, types, dims):
        return np.broadcast_to(x[0], dims[0])

    def slice(g, x, a, types, dims):
        for axis, (start, step) in enumerate(zip(a["starts"], a["steps"])):
            index = g.expr(start) + step * np.arange(dims[0][axis])
            assert index.size == 0 or (index.min() >= 0 and index.max() < x[0].shape[axis])
            x = [np.take(x[0], index, axis)]
        return x[0]

    def concat(g, x, a, types, dims):
        return np.concatenate(x, a["axis"])

    def pad(g, x, a, types, dims):
        value = dense(a["value"], [], types[0][1])
        return np.pad(x[0], list(zip(a["before"], a["after"])), constant_values=value)

    def gather(g, x, a, types, dims):
        return np.take(x[0], x[1], a["axis"])

    def gather_elements(g, x, a, types, dims):
        index = np.where(x[1] < 0, x[1] + x[0].shape[a["axis"]], x[1])
        return np.take_along_axis(x[0], index, a["axis"])

    def gather_nd(g, x, a, types, dims):
        data, index, batch = x[0], x[1], a["batch_dims"]
        outer = data.shape[:batch]
        data = data.reshape((-1,) + data.shape[batch:])
        index = index.reshape((-1,) + index.shape[batch:])
        out = [d[tuple(np.moveaxis(i, -1, 0))] for d, i in zip(data, index)]
        return np.stack(out).reshape(dims[0])

    def scatter_nd(g, x, a, types, dims):
        out = x[0].copy()
        fn = {"none": None, "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[a["kind"]]
        for i in np.ndindex(x[1].shape[:-1]):
            at = tuple(x[1][i])
            out[at] = x[2][i] if fn is None else fn(out[at], x[2][i])
        return out

    def scatter_elements(g, x, a, types, dims):
        out = x[0].copy()
        fn = {"none": None, "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[a["kind"]]
        for i in np.ndindex(x[1].shape):
            at = list(i)
            at[a["axis"]] = x[1][i]
            at = tuple(at)
            out[at] = x[2][i] if fn is None else fn(out[at], x[2][i])
        return out

    def cumsum(g, x, a, types, dims):
        y, axis = x[0], a["axis"]
        if a["reverse"]:
            y = np.flip(y, axis)
        total = np.cumsum(y, axis, dtype=y.dtype)
        if a["exclusive"]:
            total = total - y
        return np.flip(total, axis) if a["reverse"] else total

    def topk(g, x, a, types, dims):
        k = g.expr(a["k"])
        order = np.argsort(-x[0] if a["largest"] else x[0], a["axis"], kind="stable")
        order = np.take(order, range(k), a["axis"])
        return np.take_along_axis(x[0], order, a["axis"]), order.astype(np.int64)

    def reduce(g, x, a, types, dims):
        axes, keep, y = tuple(a["axes"]), a["keepdims"], x[0]
        kind = a["kind"]
        fn = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod,
              "sum_square": lambda v, axis, keepdims: np.sum(v * v, axis=axis, keepdims=keepdims),
              "l1": lambda v, axis, keepdims: np.sum(np.abs(v), axis=axis, keepdims=keepdims),
              "l2": lambda v, axis, keepdims: np.sqrt(np.sum(v * v, axis=axis, keepdims=keepdims)),
              "log_sum_exp": lambda v, axis, keepdims: np.log(np.sum(np.exp(v), axis=axis, keepdims=keepdims))}[kind]
        return np.asarray(fn(y, axis=axes, keepdims=keep)).astype(y.dtype)

    def arg_reduce(g, x, a, types, dims):
        y, axis = x[0], a["axis"]
        fn = np.argmin if a["is_min"] else np.argmax
        if a["select_last"]:
            out = y.shape[axis] - 1 - fn(np.flip(y, axis), axis)
        else:
            out = fn(y, axis)
        return (np.expand_dims(out, axis) if a["keepdims"] else out).astype(np.int64)

    def softmax(g, x, a, types, dims):
        y = softmax(x[0], a["axis"])
        return np.log(y) if a.get("log") else y

    def layer_norm(g, x, a, types, dims):
        s = Segments(x, a).values
        y = s[0]
        axes = tuple(range(y.ndim - a["trailing"], y.ndim))
        y = y - y.mean(axes, keepdims=True)
        y = y / np.sqrt((y * y).mean(axes, keepdims=True) + a["epsilon"])
        y = y if s[1] is None else y * s[1]
        return (y if s[2] is None else y + s[2]).astype(s[0].dtype)

    def rms_norm(g, x, a, types, dims):
        y = x[0]
        axes = tuple(range(y.ndim - a["trailing"], y.ndim))
        y = y / np.sqrt((y * y).mean(axes, keepdims=True) + a["epsilon"])
        return (y * x[1] if len(x) > 1 else y).astype(x[0].dtype)

    def matmul(g, x, a, types, dims):
        left = np.swapaxes(x[0], -1, -2) if a.get("trans_a") else x[0]
        right = np.swapaxes(x[1], -1, -2) if a.get("trans_b") else x[1]
        return ((left @ right) * np.asarray(a.get("alpha", 1.0), x[0].dtype)).astype(x[0].dtype)

    def quant_linear(g, x, a, types, dims):
        x, codes, scales, zeros, g_idx, bias = Segments(x, a).values
        table = nbits_table(g, a, codes, scales, zeros)
        if g_idx is not None:
            n, k, block = a["n"], a["k"], a["block_size"]
            plain = dict(a)
            raw = nbits_table(g, plain, codes, np.ones_like(scales), zeros)
            blocks = -(-k // block)
            zero = 2.0 ** (a["bits"] - 1)
            assert zeros is None, "g_idx with zero points"
            table = raw * scales.reshape(n, blocks)[:, g_idx]
            del zero
        y = x @ table.T
        return (y if bias is None else y + bias).astype(np_type(types[0][1]))

    def quant_gather(g, x, a, types, dims):
        codes, scales, zeros, indices = Segments(x, a).values
        return nbits_table(g, a, codes, scales, zeros)[indices].astype(np_type(types[0][1]))

    def matmul_integer(g, x, a, types, dims):
        left, right, za, zb = Segments(x, a, 4).values
        left, right = left.astype(np.int32), right.astype(np.int32)
        if za is not None:
            left = left - (za.astype(np.int32)[:, None] if za.ndim and za.size > 1 else za.astype(np.int32))
        if zb is not None:
            right = right - zb.astype(np.int32)
        return left @ right

    def dynamic_quantize(g, x, a, types, dims):
        y = x[0]
        low, high = min(0, y.min()), max(0, y.max())
        scale = np.float32((high - low) / 255) or np.float32(1)
        zero = np.clip(np.rint(-low / scale), 0, 255).astype(np.uint8)
        q = np.clip(np.rint(y / scale) + zero, 0, 255).astype(np.uint8)
        return q, np.asarray(scale, np.float32), zero

    def dequantize(g, x, a, types, dims):
        y, scale, zero = Segments(x, a).values
        if a["block_size"]:
            return dequantize_blocks(y, scale, zero, a["axis"], a["block_size"]).astype(scale.dtype)
        shape = [1] * y.ndim
        if a["axis"] >= 0:
            shape[a["axis"]] = -1
            scale = scale.reshape(shape)
            zero = None if zero is None else zero.reshape(shape)
        d = y.astype(np.int32)
        d = d if zero is None else d - zero.astype(np.int32)
        return (d * scale).astype(scale.dtype)

    def quantize(g, x, a, types, dims):
        y, scale, zero = Segments(x, a).values
        name = types[0][1]
        if a["axis"] >= 0 and not a["block_size"]:
            shape = [1] * y.ndim
            shape[a["axis"]] = -1
            scale = scale.reshape(shape)
            zero = None if zero is None else zero.reshape(shape)
        bits = int(re.sub(r"\D", "", name))
        low, high = (0, 2 ** bits - 1) if name[0] == "u" else (-2 ** (bits - 1), 2 ** (bits - 1) - 1)
        q = np.rint(y / scale) + (0 if zero is None else zero.astype(np.int32))
        return np.clip(q, low, high).astype(np_type(name))

    def conv(g, x, a, types, dims):
        y, w = x[0], x[1]
        spatial = y.ndim - 2
        pads = [(0, 0), (0, 0)] + list(zip(a["pads_begin"], a["pads_end"]))
        y = np.pad(y, pads)
        groups = a["groups"]
        out = np.zeros(dims[0], y.dtype)
        per_in, per_out = w.shape[1], w.shape[0] // groups
        for group in range(groups):
            part = y[:, group * per_in:(group + 1) * per_in]
            kernel = w[group * per_out:(group + 1) * per_out]
            for at in np.ndindex(*w.shape[2:]):
                index = tuple(
                    slice_of(at[i] * a["dilations"][i], a["strides"][i], dims[0][i + 2])
                    for i in range(spatial))
                window = part[(slice(None), slice(None)) + index]
                k = kernel[(slice(None), slice(None)) + at]
                out[:, group * per_out:(group + 1) * per_out] += np.einsum("oc,nc...->no...", k, window)
        if len(x) > 2:
            out += x[2].reshape([-1] + [1] * spatial)
        return out

    def pool(g, x, a, types, dims):
        y = x[0]
        spatial = y.ndim - 2
        largest = a["kind"] == "max"
        low = -np.inf if y.dtype.kind == "f" else np.iinfo(y.dtype).min if largest else 0
        # Beyond the padding there is only what ceil_mode reaches into.
        beyond = [max(0, (o - 1) * s + (k - 1) * d + 1 - n - b - e) for o, s, k, d, n, b, e in zip(
            dims[0][2:], a["strides"], a["kernel"], a["dilations"], y.shape[2:], a["pads_begin"], a["pads_end"])]
        inside = np.ones(y.shape[2:])
        around = list(zip(a["pads_begin"], a["pads_end"]))
        counted = np.pad(inside, around, constant_values=1 if a["count_include_pad"] else 0)
        counted = np.pad(counted, [(0, b) for b in beyond])
        filled = np.pad(y, [(0, 0), (0, 0)] + [(b, e + more) for (b, e), more in zip(around, beyond)],
                        constant_values=low if largest else 0)
        out = np.full(dims[0], low if largest else 0, y.dtype)
        count = np.zeros(dims[0][2:])
        for at in np.ndindex(*a["kernel"]):
            index = tuple(slice_of(at[i] * a["dilations"][i], a["strides"][i], dims[0][i + 2])
                          for i in range(spatial))
            part = filled[(slice(None), slice(None)) + index]
            out = np.maximum(out, part) if largest else out + part
            count += counted[index]
        return out if largest else (out / np.maximum(count, 1)).astype(y.dtype)

    def lrn(g, x, a, types, dims):
        y, size = x[0], a["size"]
        squares = np.zeros(y.shape, np.float64)
        for c in range(y.shape[1]):
            low, high = max(0, c - (size - 1) // 2), min(y.shape[1], c + size // 2 + 1)
            squares[:, c] = np.sum(np.square(y[:, low:high], dtype=np.float64), axis=1)
        return (y / (a["bias"] + a["alpha"] / size * squares) ** a["beta"]).astype(y.dtype)

    def rope(g, x, a, types, dims):
        x, cos, sin = x
        half = a["rotary_dim"] // 2
        cos, sin = cos[..., :half], sin[..., :half]
        if cos.ndim == 2:
            cos, sin = cos[None], sin[None]
        axis = 1 if a["layout"] == "bhsd" else 2
        cos, sin = np.expand_dims(cos, axis), np.expand_dims(sin, axis)
        r, rest = x[..., :2 * half], x[..., 2 * half:]
        if a["interleaved"]:
            p, q = r[..., 0::2], r[..., 1::2]
            out = np.stack([p * cos - q * sin, q * cos + p * sin], -1).reshape(r.shape)
        else:
            p, q = r[..., :half], r[..., half:]
            out = np.concatenate([p * cos - q * sin, q * cos + p * sin], -1)
        return np.concatenate([out, rest], -1).astype(x.dtype)

    def attention(g, x, a, types, dims):
        q, k, v, bias, sinks = Segments(x, a).values
        if "graph.slices" in a:  # of one state that holds both
            of_k, of_v = a["graph.slices"]
            k, v = k[of_k], v[of_v]
        if a["q_layout"] == "bshd":
            q = q.transpose(0, 2, 1, 3)
        group = q.shape[1] // k.shape[1]
        k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
        s, t = q.shape[2], k.shape[2]
        assert t == g.expr(a["total"])
        scores = (q @ k.transpose(0, 1, 3, 2)) * np.float32(a["scale"])
        if a.get("softcap"):
            scores = a["softcap"] * np.tanh(scores / a["softcap"])
        if bias is not None:
            scores = scores + bias
        i, j = np.arange(s)[:, None] + t - s, np.arange(t)[None]
        seen = np.ones((s, t), bool)
        if a["causal"]:
            seen &= j <= i
        if a["window"] > 0:
            seen &= j > i - a["window"]
        scores = np.where(seen, scores, -np.inf)
        top = scores.max(-1, keepdims=True)
        if sinks is not None:
            top = np.maximum(top, sinks.reshape(1, -1, 1, 1))
        e = np.exp(scores - np.where(np.isfinite(top), top, 0))
        total = e.sum(-1, keepdims=True)
        if sinks is not None:
            total = total + np.exp(sinks.reshape(1, -1, 1, 1) - top)
        out = ((e / np.where(total == 0, 1, total)) @ v).astype(q.dtype)
        return out.transpose(0, 2, 1, 3) if a["q_layout"] == "bshd" else out


def slice_of(start, step, count):
    return slice(start, start + (count - 1) * step + 1, step)
