#!/usr/bin/env python3
"""Decoding in a memory cgroup of 50 and 70 % of the model: llmc, llama.cpp, accelerate.

    python test/bench/peers.py [--only MODEL] [--percent 50,70] [--generate 8] [--out FILE.json]

The peers run in a virtual environment of their own (--venv, LLMC_PEERS), made by

    python3 -m venv VENV
    CMAKE_ARGS="-DGGML_NATIVE=ON" VENV/bin/pip install --no-binary llama-cpp-python llama-cpp-python
    VENV/bin/pip install gguf accelerate psutil transformers torch safetensors

Same weights and precision (peer_files.py converts them), same prompt and number of tokens, context
256, two threads, in the same kind of cgroup, with every file synced and dropped from the page cache.
llmc gets the cgroup's limit less 64 MiB (--above) as --vram. llama.cpp maps the file (mmap), its own way for
models larger than memory. accelerate offloads to disk what does not fit max_memory; several such
bounds are tried, the best counts, and what the kernel kills is said. Targets: at least 3 x llama.cpp,
6 x accelerate.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import limits  # noqa: E402  (needs the path above)
from limits import ABOVE_BUDGET, drop, measured  # noqa: E402
from suite import REPO, Failure, Tool  # noqa: E402

MODELS = ("1.1b-fp32", "0.5b-fp16")
CONTEXT, PROMPT = 256, 16
TARGETS = {"llama.cpp": 3.0, "accelerate": 6.0}
# What Python and torch take beside the weights: bounds to try for accelerate's max_memory.
BESIDE = (500 << 20, 800 << 20, 1200 << 20)


class Contest:
    def __init__(self, tool, options, name):
        self.tool, self.options, self.name = tool, options, name
        script = REPO / "test" / "models" / "synthetic_llama.py"
        self.model = pathlib.Path(output([sys.executable, script, name]))
        self.bytes = self.model.with_name("model.onnx.data").stat().st_size
        self.folder = options.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.probes = limits.Probes(tool, self.folder, options.attempts)
        self.tokens = ",".join(str((i * 7919 + 13) % 32000) for i in range(PROMPT))
        self.python = options.venv / "bin" / "python"

    def converted(self, kind):
        folder = self.folder / kind
        stamp = folder / ".made"
        if not stamp.exists():
            print(f"converting {self.name} to {kind}", file=sys.stderr, flush=True)
            output([self.python, HERE / "peer_files.py", self.model, folder, kind])
            stamp.touch()
        return folder

    def timed(self, command, limit, files):
        """(tokens/s or None, report or what went wrong)"""
        drop(*files)
        done = measured(command, limit, timeout=self.options.timeout)
        if done.status != 0:
            return None, f"status {done.status}: {done.err.strip()[-200:]}"
        return done.json(), done

    def llmc(self, limit):
        plan = self.folder / "peers.plan"
        settings = ("-o", plan, "--ctx", CONTEXT, "--hardware", self.probes.profile)
        self.tool.good("compile", self.model, "--vram", limit - self.options.above, *settings, timeout=1800)
        runner = self.tool.path.with_name("llmc-run")
        generate = ("generate", plan, "--tokens", self.tokens, "-n", self.options.generate)
        command = [runner, *generate, "--threads", self.options.threads, "--json"]
        report, done = self.timed(command, limit, [plan, *self.folder.glob("*.weights")])
        if report is None:
            raise Failure(done)
        speed = (len(report["tokens"]) - 1) / report["decode_seconds"]
        return {"tokens": report["tokens"], "tokens_per_second": speed, "read": done.read_bytes}

    def peer(self, name, limit, kind, *more):
        folder = self.converted(kind)
        where = folder / "model.gguf" if kind == "gguf" else folder
        settings = (self.tokens, self.options.generate, self.options.threads, CONTEXT)
        command = [self.python, HERE / "peer_run.py", name, where, *settings, *more]
        report, done = self.timed(command, limit, [f for f in folder.iterdir() if f.is_file()])
        if report is not None:
            report["read"] = done.read_bytes
        return report, done

    def llama_cpp(self, limit):
        report, done = self.peer("llama.cpp", limit, "gguf")
        return report or {"failed": done}

    def accelerate(self, limit):
        best, tried = None, []
        for beside in BESIDE:
            cpu = max(0, limit - beside)
            with tempfile.TemporaryDirectory(dir=self.folder) as offload:
                report, done = self.peer("accelerate", limit, "safetensors", cpu, offload)
            speed = report["tokens_per_second"] if report else done
            tried.append((cpu, speed))
            if report and (best is None or speed > best["tokens_per_second"]):
                best = {**report, "cpu_bytes": cpu}
            if cpu == 0:
                break
        return {**(best or {"failed": tried[-1][1]}), "tried": tried}

    def rows(self):
        for percent in self.options.percents:
            limit = self.bytes * percent // 100

            def take(_, limit=limit):
                row = {"llmc": self.llmc(limit)}
                for name, function in (
                    ("llama.cpp", self.llama_cpp),
                    ("accelerate", self.accelerate),
                ):
                    if name in self.options.peer:
                        row[name] = function(limit)
                return row

            row = self.probes.figure(take)
            yield {"model": self.name, "percent": percent, "limit": limit, **row}


def output(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{command[1]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.strip().splitlines()[-1]


def cell(row, name):
    report = row.get(name)
    if report is None:
        return "–"
    if "failed" in report:
        return f"failed ({report['failed'][:60]})"
    speed = report["tokens_per_second"]
    if name == "llmc":
        return f"{speed:.2f}"
    same = sum(a == b for a, b in zip(report["tokens"], row["llmc"]["tokens"]))
    times = row["llmc"]["tokens_per_second"] / speed
    return f"{speed:.2f} ({times:.1f} x; {same} of {len(report['tokens'])} tokens equal)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=pathlib.Path, default=REPO / "build" / "bin")
    venv = os.environ.get("LLMC_PEERS", REPO / "build" / "venv-peers")
    parser.add_argument("--venv", type=pathlib.Path, default=venv)
    parser.add_argument("--only", action="append", choices=MODELS)
    parser.add_argument("--peer", action="append", choices=TARGETS)
    parser.add_argument("--percent", default="50,70")
    above = {"type": lambda mib: int(mib) << 20, "default": ABOVE_BUDGET, "metavar": "MIB"}
    parser.add_argument("--above", **above, help="what the cgroup has beyond llmc's budget")
    parser.add_argument("--generate", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attempts", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=900, help="seconds for one run")
    parser.add_argument("--folder", type=pathlib.Path, default=REPO / "build" / "streaming")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.peer = options.peer or list(TARGETS)
    options.percents = [int(p) for p in options.percent.split(",")]
    missing = limits.cgroups_missing()
    if missing or not (options.venv / "bin" / "python").exists():
        print(f"SKIP: {missing or f'{options.venv} is not there'}")
        return 0
    tool = Tool(options)
    rows = []
    print("| model | cgroup | llmc, tokens/s | llama.cpp | accelerate |\n|---|---|---|---|---|")
    for name in options.only or MODELS:
        for row in Contest(tool, options, name).rows():
            rows.append(row)
            noisy = " (noisy)" if row["noisy"] else ""
            cells = " | ".join(cell(row, peer) for peer in ("llmc", *TARGETS))
            print(f"| {name} | {row['percent']} %{noisy} | {cells} |", flush=True)
            if options.out:
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
    shown = {row[p].get("system") for row in rows for p in options.peer if p in row}
    print(f"\nllama.cpp: {'; '.join(s for s in shown if s) or 'did not run'}")
    missed = False
    for peer, target in TARGETS.items():
        ran = [r for r in rows if "tokens_per_second" in r.get(peer, {}) and not r["noisy"]]
        times = [r["llmc"]["tokens_per_second"] / r[peer]["tokens_per_second"] for r in ran]
        if times:
            missed |= min(times) < target
            words = "met" if min(times) >= target else "MISSED"
            print(f"{words}: at least {target:.0f} x {peer}: worst {min(times):.2f} of {len(times)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
