#!/usr/bin/env python3
"""The nine `light` CNNs of ONNX's own backend test, against their golden outputs.

From LLMC_SHARED's onnx-conformance archive: networks whose weights are constants, with the output
that the standard's C reference evaluator gives. Input and tolerance are those of
onnx.backend.test.runner (input i of n is i / n; rtol 1e-3, atol 1e-7). Each model is compiled
without a bound and with a budget halfway between that and the minimum: the outputs are the same
bits. Plans and weights are removed after each model.
"""

import pathlib
import shutil
import sys
import tarfile
import tempfile

import numpy as np

import suite
from suite import SHARED, Failure, Skip

ARCHIVE = SHARED / "data" / "onnx-conformance" / "onnx-1.22.0-light.tar.xz"
NAMES = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
         "squeezenet", "vgg19", "zfnet512")
RTOL, ATOL = 1e-3, 1e-7


def dummy_input(value):
    """What onnx.backend.test.runner feeds."""
    shape = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
    n = int(np.prod(shape))
    return (np.arange(n).reshape(shape) / n).astype(np.float32)


def file_name(port):
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in port) + ".npy"


class Network:
    def __init__(self, tool, root, name):
        import onnx

        self.tool = tool
        self.model = root / f"light_{name}.onnx"
        self.folder = root / name
        self.folder.mkdir()
        graph = onnx.load(self.model).graph
        known = {i.name for i in graph.initializer}
        self.feeds = {i.name: dummy_input(i) for i in graph.input if i.name not in known}
        self.golden = {}
        for i, output in enumerate(graph.output):
            file = root / f"light_{name}_output_{i}.pb"
            self.golden[output.name] = onnx.numpy_helper.to_array(onnx.load_tensor(file))

    def run(self, budget):
        """Outputs by name, and the compile's report."""
        plan = self.folder / "x.plan"
        report = self.tool.json("compile", self.model, "-o", plan, "--vram", budget)
        if isinstance(budget, int) and report["device_bytes"] > budget:
            raise Failure(f"--vram {budget} gives device_bytes {report['device_bytes']}")
        arguments = []
        for i, (name, value) in enumerate(self.feeds.items()):
            file = self.folder / f"in{i}.npy"
            np.save(file, value)
            arguments += ["--input", f"{name}={file}"]
        out = self.folder / "out"
        self.tool.good("run", plan, *arguments, "--output-dir", out)
        return {name: np.load(out / file_name(name)) for name in self.golden}, report

    def test(self):
        self.tool.need()
        free, report = self.run("unbounded")
        for name, golden in self.golden.items():
            found = free[name]
            if found.shape != golden.shape:
                raise Failure(f"{name} is {found.shape}, expected {golden.shape}")
            wrong = ~(np.abs(found - golden) <= ATOL + RTOL * np.abs(golden))
            if wrong.any():
                at = tuple(np.argwhere(wrong)[0])
                raise Failure(f"{name}{list(map(int, at))} is {found[at]}, expected {golden[at]}; "
                              f"{wrong.sum()} of {wrong.size} differ")
        full = report["device_bytes"]
        budget = max(report["minimum_bytes"], (report["minimum_bytes"] + full) // 2)
        bounded, half = self.run(budget)
        for name, value in free.items():
            if bounded[name].tobytes() != value.tobytes():
                raise Failure(f"{name} has other bits at --vram {budget}")
        streamed = sum(entry["streamed_bytes"] for entry in half["entries"])
        if budget < full and streamed == 0 and half["device_bytes"] >= full:
            raise Failure(f"--vram {budget} changes nothing")
        return f"{full} and {half['device_bytes']} bytes, {streamed} streamed"


def attempt(tool, root, name):
    network = Network(tool, root, name)
    try:
        return network.test()
    finally:
        shutil.rmtree(network.folder)


def missing():
    raise Skip(f"{ARCHIVE} is missing")


def main():
    options = suite.parser(__doc__).parse_args()
    tool = suite.Tool(options)
    tests = suite.Suite(options)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        if ARCHIVE.exists():
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(root, filter="data")
            for name in NAMES:
                tests.add(name, attempt, tool, root / "light", name)
        else:
            tests.add("light", missing)
        return tests.run()


if __name__ == "__main__":
    sys.exit(main())
