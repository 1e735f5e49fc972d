#!/usr/bin/env python3
"""Image networks with weights of their own, against ONNX Runtime.

Small networks made here from the operators that images need: convolutions (grouped, depthwise,
dilated), every pool, local response normalization. Each is compiled without
a bound and at its smallest budget, where most weights stream; the outputs are the same bits, and
those of ONNX Runtime within rounding.
"""

import pathlib
import sys
import tempfile

import numpy as np

import suite
from suite import Failure

RTOL, ATOL = 1e-4, 1e-5


class Network:
    """A chain of nodes with random weights."""

    def __init__(self, name, channels, size, seed):
        import onnx

        self.onnx, self.name = onnx, name
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []
        self.input = onnx.helper.make_tensor_value_info(
            "image", onnx.TensorProto.FLOAT, [1, channels, *size]
        )

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        fan_in = max(1, int(np.prod(shape[1:])))
        value = self.random.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(fan_in))
        self.weights.append(self.onnx.numpy_helper.from_array(value, name))
        return name

    def constant(self, values, dtype):
        name = f"w{len(self.weights)}"
        self.weights.append(self.onnx.numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def node(self, kind, *inputs, **attributes):
        out = f"n{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    def save(self, path, outputs):
        infos = [self.onnx.helper.make_tensor_value_info(o, self.onnx.TensorProto.FLOAT, None)
                 for o in outputs]
        graph = self.onnx.helper.make_graph(self.nodes, self.name, [self.input], infos, self.weights)
        model = self.onnx.helper.make_model(
            graph, opset_imports=[self.onnx.helper.make_opsetid("", 18)], ir_version=9
        )
        model = self.onnx.shape_inference.infer_shapes(model, strict_mode=True)
        self.onnx.checker.check_model(model)
        self.onnx.save(model, path)


def unet(path):
    """Two levels down and up."""
    n = Network("unet", 3, (40, 48), 1)

    def conv(x, m, c, k=3, **more):
        pads = [k // 2] * 4
        return n.node("Relu", n.node("Conv", x, n.weight(m, c, k, k), n.weight(m), pads=pads, **more))

    def double(x, shape):
        """A depth-to-space, spelled out."""
        m, height, width = shape
        wide = conv(x, 4 * m, 2 * m, 1)
        split = n.node("Reshape", wide, n.constant([1, m, 2, 2, height, width], np.int64))
        turned = n.node("Transpose", split, perm=[0, 1, 4, 2, 5, 3])
        return n.node("Reshape", turned, n.constant([1, m, 2 * height, 2 * width], np.int64))

    a = conv(conv("image", 24, 3), 24, 24)
    b = conv(n.node("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2]), 48, 24)
    c = conv(n.node("MaxPool", b, kernel_shape=[2, 2], strides=[2, 2]), 96, 48)
    up = double(c, (48, 10, 12))
    d = conv(n.node("Concat", up, b, axis=1), 48, 96)
    e = conv(n.node("Concat", double(d, (24, 20, 24)), a, axis=1), 24, 48)
    mask = n.node("Sigmoid", n.node("Conv", e, n.weight(2, 24, 1, 1), n.weight(2)))
    n.save(path, [mask])


def pools(path):
    """Every pool, LRN, grouped, depthwise and dilated convolutions, a classifier."""
    n = Network("pools", 4, (37, 41), 2)
    x = n.node("Conv", "image", n.weight(32, 4, 7, 5), n.weight(32), strides=[2, 1], pads=[3, 2, 3, 2])
    x = n.node("LRN", x, size=5, alpha=1e-2, beta=0.75, bias=1.0)
    x = n.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = n.node("Conv", x, n.weight(32, 1, 3, 3), n.weight(32), group=32, pads=[1, 1, 1, 1])
    x = n.node("LRN", x, size=3, alpha=0.5, beta=0.6, bias=2.0)
    y = n.node("Conv", x, n.weight(64, 8, 3, 3), group=4, dilations=[2, 2], pads=[2] * 4)
    y = n.node("AveragePool", y, kernel_shape=[3, 2], strides=[1, 2], pads=[1, 1, 1, 0],
               count_include_pad=1)
    z = n.node("AveragePool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    sums = n.node("GlobalAveragePool", y)
    most = n.node("GlobalMaxPool", y)
    flat = n.node("Flatten", n.node("Concat", sums, most, axis=1))
    scores = n.node("Gemm", flat, n.weight(10, 128), n.weight(10), transB=1)
    n.save(path, [scores, z])


NETWORKS = {"unet": unet, "pools": pools}


def test(tool, root, name):
    import onnxruntime

    tool.need()
    folder = root / name
    folder.mkdir()
    model, plan, image = folder / "model.onnx", folder / "x.plan", folder / "image.npy"
    NETWORKS[name](model)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    feed = np.random.default_rng(9).standard_normal(shape).astype(np.float32)
    np.save(image, feed)
    expected = dict(zip((o.name for o in session.get_outputs()), session.run(None, {"image": feed})))
    first = None
    budgets = ["unbounded"]
    for budget in budgets:
        report = tool.json("compile", model, "-o", plan, "--vram", budget)
        tool.good("run", plan, "--input", f"image={image}", "--output-dir", folder / "out")
        found = {o: np.load(folder / "out" / f"{o}.npy") for o in expected}
        if first is None:
            first, full = found, report["device_bytes"]
            budgets.append(report["minimum_bytes"])
        for output, value in expected.items():
            if found[output].shape != value.shape:
                raise Failure(f"{output} is {found[output].shape}, expected {value.shape}")
            if not np.allclose(found[output], value, rtol=RTOL, atol=ATOL):
                worst = np.abs(found[output] - value).max()
                raise Failure(f"{output} is {worst} away at --vram {budget}")
            if found[output].tobytes() != first[output].tobytes():
                raise Failure(f"{output} has other bits at --vram {budget}")
    streamed = sum(entry["streamed_bytes"] for entry in report["entries"])
    if report["minimum_bytes"] < full and streamed == 0:
        raise Failure(f"nothing streams at --vram {budgets[-1]}")
    return f"{full} and {report['device_bytes']} bytes, {streamed} streamed"


def main():
    options = suite.parser(__doc__).parse_args()
    tool = suite.Tool(options)
    tests = suite.Suite(options)
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            tests.add(name, test, tool, pathlib.Path(folder), name)
        return tests.run()


if __name__ == "__main__":
    sys.exit(main())
