#!/usr/bin/env python3
"""A 1 GB model: memory of the compiler, a second budget in seconds, and the same bits.

The model (test/models/synthetic_1gb.py) is kept between runs in test/models/out/synthetic-1gb.
"""

import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np

import suite
from compare import listed
from suite import OUT, REPO, Failure

ANONYMOUS = 300 << 20
SECONDS = 3.0
ABOVE_BUDGET = 64 << 20
SIZE = 1_000_000_000
PROMPT = [1, 17, 999, 12345, 4, 250]
OPTIONS = ("--ctx", 128)


def model_file():
    folder = OUT / "synthetic-1gb"
    script = REPO / "test" / "models" / "synthetic_1gb.py"
    stamp = folder / ".made-by"
    if not stamp.is_file() or stamp.read_text() != script.read_text():
        stamp.unlink(missing_ok=True)
        subprocess.run([sys.executable, str(script), str(folder), "--bytes", str(SIZE)], check=True)
        stamp.write_text(script.read_text())
    return folder / "model.onnx"


def children_of(pid):
    """pid and everything below it."""
    result = [pid]
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                result += children_of(int(child))
    except OSError:
        pass
    return result


def field(pid, name):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def watched(tool, *arguments):
    """Runs llmc; returns (process, peak anonymous bytes, peak resident bytes, seconds).

    Anonymous memory (private and shared, page cache excluded) is sampled every 2 ms over the
    process and its children.
    """
    tool.need()
    peaks = {"anonymous": 0, "resident": 0}
    started = time.time()
    process = subprocess.Popen(
        [str(tool.path), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = threading.Event()

    def sample():
        while not done.wait(0.002):
            anonymous = resident = 0
            for pid in children_of(process.pid):
                anonymous += field(pid, "RssAnon") + field(pid, "RssShmem")
                resident += field(pid, "VmRSS")
            peaks["anonymous"] = max(peaks["anonymous"], anonymous)
            peaks["resident"] = max(peaks["resident"], resident)

    watcher = threading.Thread(target=sample)
    watcher.start()
    out, err = process.communicate()
    done.set()
    watcher.join()
    seconds = time.time() - started
    if process.returncode != 0:
        raise Failure(f"llmc {arguments[0]} ended with {process.returncode}: {err[-500:]}")
    return out, peaks["anonymous"], peaks["resident"], seconds


def big_model(tool, folder):
    tool.need()
    model = model_file()
    folder = folder / "big"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "big.weights"
    logits, notes = [], []
    identity = None
    for name, budget in (("generous", 500 << 20), ("small", 200 << 20)):
        plan = folder / f"{name}.plan"
        settings = ("-o", plan, "--weights", weights, "--vram", budget, *OPTIONS)
        out, anonymous, _, seconds = watched(tool, "compile", model, *settings, "--json")
        report = suite.parse_json(out, "compile")
        if anonymous >= ANONYMOUS:
            raise Failure(f"compile took {anonymous >> 20} MiB of anonymous memory")
        if report["device_bytes"] > budget:
            raise Failure(f"--vram {budget} gives device_bytes {report['device_bytes']}")
        status = os.stat(weights)
        if identity is None:
            identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        elif (status.st_ino, status.st_mtime_ns, status.st_size) != identity:
            raise Failure("the second compile touched the weights file")
        elif seconds >= SECONDS:
            raise Failure(f"the second compile took {seconds:.1f} s, expected below {SECONDS}")
        notes.append(f"compile {seconds:.1f} s, {anonymous >> 20} MiB anonymous")

        rows = folder / "rows.npy"
        run = ("--tokens", listed(PROMPT), "-n", 4, "--logits-out", rows, "--json")
        out, _, resident, seconds = watched(tool, "generate", plan, *run)
        if resident > budget + ABOVE_BUDGET:
            raise Failure(f"generate at {budget >> 20} MiB has {resident >> 20} MiB resident")
        logits.append((suite.parse_json(out, "generate")["tokens"], np.load(rows)))
        notes.append(f"generate {seconds:.1f} s, {resident >> 20} of {budget >> 20} MiB resident")
    if logits[0][0] != logits[1][0] or logits[0][1].tobytes() != logits[1][1].tobytes():
        raise Failure("the two budgets give different bits")
    if not np.isfinite(logits[0][1]).all() or logits[0][1].std() == 0:
        raise Failure("the logits are not finite or all equal")
    check_reference(model, logits[0][1])
    return "; ".join(notes)


def check_reference(model, rows):
    """Against ONNX Runtime: random weights, so closeness relative to the logits' own size."""
    import reference
    from compare import check_close

    expected = reference.greedy(model, PROMPT, 3)["logits"]
    check_close(rows, expected, 1e-3, "logits of the 1 GB model")


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    tests.add("synthetic-1gb", big_model, tool, suite.work_folder(options))
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
