#!/usr/bin/env python3
"""Runs the ONNX standard's own node tests through importer and graph pipeline.

    python test/passes/conformance.py [--bin-dir build/bin]

Each test is one operator with inputs and expected outputs, made by the onnx
package. A model that the importer refuses is counted as refused (it must say
so, not crash); one that it takes must give the expected numbers before the
graph pipeline and after it. Ops are executed in NumPy.
"""

import pathlib
import re
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from compare_pipeline import load  # noqa: E402
from suite import Failure, parser  # noqa: E402

# Random by definition, or types that NumPy lacks.
LEFT_OUT = re.compile(r"dropout|bernoulli|random|bf16|bfloat|BFLOAT|castlike|INT4|INT2|FLOAT[48]E|4e2m1|e4m3|e5m2|e8m0")
# Every operator family that the importer knows takes at least this many.
LEAST_TAKEN = 780


def close(ours, theirs):
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=1e-3, atol=1e-3, equal_nan=True)


def run_case(tool, case, folder):
    """None if refused, else a list of what is wrong."""
    import onnx

    file = folder / f"{case.name}.onnx"
    onnx.save(case.model, file)
    graphs = []
    for passes in ([], ["--passes", "llmc-graph{all-logits=true}"]):
        try:
            graphs.append(load(str(tool), str(file), passes))
        except Failure as failure:
            if passes:
                return [f"the pipeline fails: {failure}"]
            refused = str(failure).startswith("error: ")
            return None if refused else [f"no clear refusal: {failure}"]
    if "main" not in graphs[0].data["entries"]:
        return None  # state: compare_pipeline.py
    inputs, outputs = case.data_sets[0]
    feed = {i.name: np.asarray(v) for i, v in zip(case.model.graph.input, inputs)}
    wrong = []
    for graph, stage in zip(graphs, ("imported", "after the pipeline")):
        with np.errstate(all="ignore"):
            found = graph.run("main", feed, {})
        for port, expected in zip(case.model.graph.output, outputs):
            if port.name in found and not close(found[port.name], expected):
                wrong.append(f"{port.name} differs, {stage}")
    return wrong


def main():
    import tempfile

    warnings.filterwarnings("ignore")
    from onnx.backend.test.case.node import collect_testcases

    options = parser(__doc__).parse_args()
    tool = options.bin_dir / "llmc-import"
    cases = [c for c in collect_testcases(None)
             if c.model is not None and not LEFT_OUT.search(c.name)
             and all(o.domain in ("", "ai.onnx") and 9 <= o.version <= 25 for o in c.model.opset_import)
             and (not options.only or c.name in options.only)]
    passed = failed = refused = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:

        def attempt(case):
            try:
                return run_case(tool, case, pathlib.Path(folder))
            except Exception as error:  # a broken test is a failed one
                return [f"{type(error).__name__}: {error}"]

        for case, wrong in zip(cases, pool.map(attempt, cases)):
            if wrong is None:
                refused += 1
            elif wrong:
                failed += 1
                print(f"FAIL {case.name}: {'; '.join(wrong)}")
            else:
                passed += 1
    print(f"{refused} models use what the importer does not take and says so")
    if not options.only and passed < LEAST_TAKEN:
        print(f"FAIL only {passed} are taken, expected {LEAST_TAKEN}")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
