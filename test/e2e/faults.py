#!/usr/bin/env python3
"""Disks that fail under `llmc-run`: a clear error or the right words, never wrong words or a hang.

The example model in the smallest budget, so that most of it streams. What is held to its bits is the
unbounded plan. Faults of pread come from fault_reads.c (LD_PRELOAD), io_uring is forbidden by a seccomp
filter. What one process does after a failed read, and io_uring's own short and failed reads, is the
unit tests' to see (core_faults.cpp, io_transfer.cpp).
"""

import ctypes
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import time

import suite
from random_budgets import SYNTHETIC, python
from suite import REPO, Failure, Skip

EXAMPLE = REPO / "examples" / "shakespeare" / "model.onnx"
PROMPT = "0,50,51,300,27,200,1,2"
TOKENS = 4
TIMEOUT = 300  # seconds, then it hangs
METHODS = ("buffered", "cached", "direct")  # those that call pread
CRASHES = re.compile(r"terminate called|what\(\)|assert|Stack dump|Sanitizer")


class Faults:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder
        self.shim = None

    def need(self):
        """The plan, the words that it must give, and the library of faults: made once."""
        self.tool.need()
        if self.shim:
            return
        self.plan = self.folder / "model.plan"
        self.weights = self.folder / "model.weights"
        self.tool.json("compile", EXAMPLE, "-o", self.plan, "--vram", "unbounded")
        status, _, out, err = self.run("auto")
        if status != 0:
            raise Failure(f"the unbounded plan ends with {status}: {err[-300:]}")
        self.expected = out
        done = self.tool.run("compile", EXAMPLE, "-o", self.plan, "--vram", 4096, "--json")
        least = suite.parse_json(done.stdout, "compile")["minimum_bytes"]
        report = self.tool.json("compile", EXAMPLE, "-o", self.plan, "--vram", least)
        if not all(entry["streamed_bytes"] for entry in report["entries"]):
            raise Failure("the smallest budget does not stream")
        compiler = shutil.which("cc") or shutil.which("clang-22")
        if not compiler:
            raise Skip("no C compiler for fault_reads.c")
        shim = self.folder / "fault_reads.so"
        source = suite.HERE / "fault_reads.c"
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        self.shim = shim

    def command(self, io, plan=None, tokens=TOKENS, more=()):
        runner = self.tool.path.with_name("llmc-run")
        generate = ("generate", plan or self.plan, "--tokens", PROMPT, "-n", tokens, "--io", io)
        rows = ("--logits-out", self.folder / "rows.npy", "--threads", 2)
        return [str(word) for word in (runner, *generate, *rows, *more)]

    def run(self, io, plan=None, env=None, more=(), preexec=None, weights=None, tokens=TOKENS):
        """(status, tokens' text, text with logits, errors)"""
        rows = self.folder / "rows.npy"
        rows.unlink(missing_ok=True)
        more = (*more, "--weights", weights) if weights else more
        if env:
            env = {**os.environ, "LD_PRELOAD": str(self.shim), **env}
        try:
            done = subprocess.run(
                self.command(io, plan, tokens, more),
                capture_output=True,
                timeout=TIMEOUT,
                env=env,
                preexec_fn=preexec,
                check=False,
            )
        except subprocess.TimeoutExpired:
            faults = {k: v for k, v in (env or {}).items() if k.startswith("FAULT")}
            raise Failure(f"--io {io} {faults}: hangs") from None
        found = (done.stdout, rows.read_bytes() if rows.exists() else b"")
        return done.returncode, done.stdout, found, done.stderr.decode(errors="replace")

    def held(self, what, result, failing=None, says=()):
        """Right words, or an error of one line; `failing` says which it must be. Returns whether
        it failed."""
        status, _, found, errors = result
        lines = [line for line in errors.splitlines() if line.strip()]
        if status == 0:
            if failing:
                raise Failure(f"{what}: no error")
            if found != self.expected:
                raise Failure(f"{what}: wrong words")
            return False
        if failing is False or status != 1 or CRASHES.search(errors) or len(lines) != 1:
            raise Failure(f"{what}: ends with {status}: {errors[-300:]}")
        for word in says:
            if word not in errors:
                raise Failure(f"{what}: the error lacks {word!r}: {errors.strip()[-300:]}")
        return True

    def large(self):
        """A plan whose weights file is too large to be taken through the page cache unasked, and
        that runs long enough for something to happen to it."""
        model = self.folder / "synthetic" / "model.onnx"
        plan = model.with_suffix(".plan")
        if not plan.exists():
            python(SYNTHETIC, model.parent)
            settings = ("compile", model, "-o", plan, "--ctx", 500, "--json")
            done = self.tool.run(*settings, "--vram", 4096)
            least = suite.parse_json(done.stdout, "compile")["minimum_bytes"]
            self.tool.good(*settings, "--vram", least)
        return plan

    # --- reads ---

    def nth(self, io):
        """Every read of a run fails once; through the slower ways, after the twentieth, some."""
        self.need()
        hit = self.folder / "hit"
        n, tried = 0, 0
        while True:
            n, tried = n + (1 if io == "cached" or n < 20 else n // 8), tried + 1
            hit.unlink(missing_ok=True)
            result = self.run(io, env={"FAULT_NTH": str(n), "FAULT_HIT": str(hit)})
            if not hit.exists():
                self.held(f"--io {io}, no read fails", result, failing=False)
                break
            # The read that tries a method out names the method, all others the place.
            says = ("model.weights", "Input/output error")
            self.held(f"--io {io}, read {n} fails", result, failing=True, says=says)
            if not re.search(r"at byte \d+|--io ", result[3]):
                raise Failure(f"--io {io}, read {n} fails: no place: {result[3][-300:]}")
        if n < 10:
            raise Failure(f"--io {io}: only {n - 1} reads seen")
        return f"{tried - 1} reads failed, one in a run"

    def slow_and_short(self, io, seeds=6):
        self.need()
        for seed in range(seeds):
            result = self.run(io, env={"FAULT_SEED": str(seed)})
            self.held(f"--io {io}, seed {seed}", result, failing=False)
        return f"{seeds} seeds"

    # --- the file ---

    def damaged(self, count=40):
        """One bit of the weights file is turned, anywhere."""
        self.need()
        content = self.weights.read_bytes()
        copy = self.folder / "damaged.weights"
        chosen = random.Random(1)
        noticed = 0
        for i in range(count):
            at = chosen.randrange(len(content))
            wrong = bytearray(content)
            wrong[at] ^= 1 << chosen.randrange(8)
            copy.write_bytes(wrong)
            io = ("auto", "buffered", "direct", "uring")[i % 4]
            noticed += self.held(f"bit in byte {at}, --io {io}", self.run(io, weights=copy))
        if noticed < count // 2:
            raise Failure(f"only {noticed} of {count} noticed")
        return f"{noticed} of {count} noticed, the others lie between segments"

    def short_file(self):
        """A file that ends early from the beginning, at places all over it."""
        self.need()
        content = self.weights.read_bytes()
        copy = self.folder / "short.weights"
        for size in (0, 1, 4095, len(content) // 3, len(content) // 2, len(content) - 1):
            copy.write_bytes(content[:size])
            for io in ("auto", "buffered", "direct", "uring"):
                what = f"{size} of {len(content)} bytes, --io {io}"
                self.held(what, self.run(io, weights=copy), failing=True, says=("short.weights",))
        return "6 sizes"

    def other_file(self):
        """The weights of another model in place of the plan's."""
        self.need()
        folder = self.folder / "other"
        folder.mkdir(exist_ok=True)
        options = ("--vram", "unbounded", "--quantize", "int8")
        self.tool.json("compile", EXAMPLE, "-o", folder / "model.plan", *options)
        other = folder / "model.weights"
        self.held("other weights", self.run("auto", weights=other), failing=True)

    def truncated_running(self, io):
        """The file shrinks under a process that streams it."""
        self.need()
        plan = self.large()
        content = plan.with_suffix(".weights").read_bytes()
        copy = plan.with_name("copy.weights")
        failed = 0
        for wait in (0.05, 0.1, 0.2, 0.4):
            copy.write_bytes(content)
            more = ("--weights", copy)
            process = subprocess.Popen(
                self.command(io, plan, 480, more), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            time.sleep(wait)
            os.truncate(copy, len(content) // 2)
            try:
                _, errors = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Failure(f"--io {io}: hangs when the file shrinks") from None
            errors = errors.decode(errors="replace")
            if process.returncode != 1 or CRASHES.search(errors) or "copy.weights" not in errors:
                raise Failure(f"--io {io}: ends with {process.returncode}: {errors[-300:]}")
            failed += 1
        return f"{failed} runs, one error each"

    def replaced_running(self):
        """A new file takes the name: the process keeps the one it opened."""
        self.need()
        copy = self.folder / "replaced.weights"
        shutil.copy(self.weights, copy)
        slow = {**os.environ, "LD_PRELOAD": str(self.shim), "FAULT_SLOW": "2000"}
        process = subprocess.Popen(
            self.command("buffered", more=("--weights", copy)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=slow,
        )
        time.sleep(0.1)
        if process.poll() is not None:
            raise Failure("ended before the file was replaced")
        (self.folder / "new").write_bytes(b"x" * 1000)
        os.replace(self.folder / "new", copy)
        out, errors = process.communicate(timeout=TIMEOUT)
        rows = (self.folder / "rows.npy").read_bytes()
        result = (process.returncode, out, (out, rows), errors.decode())
        self.held("file replaced", result, failing=False)

    # --- what the system refuses ---

    def no_uring(self, error):
        self.need()
        filtered = forbid_uring(error)
        self.held("--io auto", self.run("auto", preexec=filtered), failing=False)
        plan = self.large()
        _, _, free, _ = self.run("auto", plan)
        status, _, found, errors = self.run("auto", plan, preexec=filtered)
        if status != 0 or found != free:
            raise Failure(f"other words, or none: {status}, {errors[-300:]}")
        bench = [str(self.tool.path.with_name("llmc-run")), "bench", str(plan), "--json"]
        done = subprocess.run(
            [*bench, "--prompt", "8", "--generate", "4"],
            capture_output=True,
            text=True,
            preexec_fn=filtered,
            timeout=TIMEOUT,
            check=False,
        )
        method = suite.parse_json(done.stdout, "bench")["io_method"]
        if method == "uring":
            raise Failure("io_uring in spite of the filter")
        says = ("--io uring",)
        self.held("--io uring", self.run("uring", preexec=filtered), failing=True, says=says)
        return f"auto takes {method}"

    def tmpfs(self):
        """A file system that may refuse O_DIRECT."""
        self.need()
        folder = pathlib.Path("/dev/shm")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise Skip("no /dev/shm")
        copy = folder / f"llmc-{os.getpid()}.weights"
        shutil.copy(self.weights, copy)
        try:
            for io in ("auto", "buffered", "cached"):
                self.held(f"--io {io}", self.run(io, weights=copy), failing=False)
            refused = [
                io
                for io in ("direct", "uring")
                if self.held(f"--io {io}", self.run(io, weights=copy), says=(f"--io {io}",))
            ]
        finally:
            copy.unlink()
        return f"refused there: {', '.join(refused) or 'nothing'}"


# --- seccomp ---------------------------------------------------------------------------------------

IO_URING = (425, 426, 427)  # setup, enter, register


def forbid_uring(error):
    """A function that gives the calling process a filter: io_uring's calls fail with `error`."""
    load, jump_equal, give = 0x20, 0x15, 0x06
    code = [(load, 0, 0, 0)]  # the call's number
    for i, call in enumerate(IO_URING):
        code.append((jump_equal, len(IO_URING) - i, 0, call))
    code += [(give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | error)]
    packed = b"".join(struct.pack("<HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(len(code), ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)

    def apply():
        # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER.
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")
        assert buffer is not None  # kept alive

    return apply


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    faults = Faults(suite.Tool(options), pathlib.Path(suite.work_folder(options)))
    for io in METHODS:
        tests.add(f"nth-read-{io}", faults.nth, io)
        tests.add(f"slow-and-short-{io}", faults.slow_and_short, io)
    for io in ("uring", *METHODS):
        tests.add(f"truncated-running-{io}", faults.truncated_running, io)
    tests.add("damaged", faults.damaged)
    tests.add("short-file", faults.short_file)
    tests.add("other-file", faults.other_file)
    tests.add("replaced-running", faults.replaced_running)
    tests.add("no-uring-eperm", faults.no_uring, 1)
    tests.add("no-uring-enosys", faults.no_uring, 38)
    tests.add("tmpfs", faults.tmpfs)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
