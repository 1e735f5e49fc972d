"""What measurements of streaming share: cold files, memory cgroups, what a process used, probes.

A process starts with its parent's peak RSS (exec keeps it), so what measures imports little: not
onnx, not torch.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import suite
from suite import Failure

ABOVE_BUDGET = 64 << 20  # what a process may have resident beyond its plan's budget
STEADY = 0.10  # probes before and after a figure may differ by so much
CGROUPS = pathlib.Path("/sys/fs/cgroup/memory")  # version 1


def drop(*files):
    """Writes files back and drops them from the page cache, so that the next read is the disk's."""
    for file in files:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def cgroups_missing():
    """Why memory cgroups cannot be used here, or None."""
    if not (CGROUPS / "memory.limit_in_bytes").exists():
        return "no memory cgroups of version 1"
    if not os.access(CGROUPS, os.W_OK):
        return f"{CGROUPS} is not writable"
    return None


class Cgroup:
    """A memory cgroup with a limit, removed at the end of the block."""

    def __init__(self, limit):
        self.path = CGROUPS / f"llmc-{os.getpid()}-{time.monotonic_ns()}"
        self.limit = limit

    def __enter__(self):
        self.path.mkdir()
        (self.path / "memory.limit_in_bytes").write_text(str(self.limit))
        return self

    def __exit__(self, *_):
        # What the dead processes left in the page cache is charged to the group until it goes.
        (self.path / "memory.force_empty").write_text("0")
        for _ in range(100):
            try:
                self.path.rmdir()
                return
            except OSError:
                time.sleep(0.05)
        print(f"{self.path} could not be removed", file=sys.stderr)

    def wrap(self, command):
        """The command, to be started inside."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.path / "cgroup.procs"), *command]

    def peak(self):
        return int((self.path / "memory.max_usage_in_bytes").read_text())

    def failures(self):
        """How often the limit was hit (the kernel then reclaims page cache, or kills)."""
        return int((self.path / "memory.failcnt").read_text())


@dataclasses.dataclass
class Done:
    status: int
    out: str
    err: str
    seconds: float
    peak_rss: int  # bytes
    read_bytes: int  # from disks, direct reads and the page cache's both
    cgroup_peak: int = 0  # max_usage_in_bytes, page cache and kernel memory included
    cgroup_failures: int = 0

    def json(self):
        if self.status != 0:
            words = (self.err.strip() or self.out.strip() or "no message")[-500:]
            raise Failure(f"ended with {self.status}: {words}")
        return suite.parse_json(self.out, "the command")


def measured(command, limit=0, timeout=1800, env=None, cwd=None):
    """Runs a command, in a cgroup of `limit` bytes if that is not 0, and says what it used."""
    command = [str(part) for part in command]
    if limit:
        with Cgroup(limit) as group:
            done = measured(group.wrap(command), 0, timeout, env, cwd)
            done.cgroup_peak, done.cgroup_failures = group.peak(), group.failures()
            return done
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        environment = {**os.environ, **(env or {})}
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=cwd)
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Done(
            process.returncode,
            out.read().decode(errors="replace"),
            err.read().decode(errors="replace"),
            seconds,
            usage.ru_maxrss << 10,
            usage.ru_inblock * 512,
        )


def probed(tool, path, disk="."):
    """Measures the machine into a profile; its memory, disk (a folder's, or reading that file) and
    compute rates."""
    tool.good("probe", "--quick", "-o", path, "--disk", disk)
    profile = json.loads(pathlib.Path(path).read_text())
    return {
        "memory": profile["host"]["memory"]["read_bytes_per_second"],
        "disk": profile["disk"]["bytes_per_second"],
        "compute": profile["host"]["compute"]["f32"]["many_rows_flops_per_second"],
    }


def steady(before, after, names=("memory", "disk")):
    return all(abs(before[name] / after[name] - 1) <= STEADY for name in names)


class Probes:
    """Brackets figures with probes; the one after a figure is the one before the next."""

    def __init__(self, tool, folder, attempts):
        self.tool, self.folder, self.attempts = tool, pathlib.Path(folder), attempts
        self.profile = self.folder / "machine.json"
        self.last, self.taken = None, 0.0

    def now(self):
        # A file of its own would be younger than the weights, and the disk's cache know it.
        weights = max(self.folder.glob("*.weights"), key=lambda f: f.stat().st_size, default=None)
        self.last = probed(self.tool, self.profile, weights or self.folder)
        self.taken = time.monotonic()
        return self.last

    def figure(self, take, names=("memory", "disk")):
        """take(profile) gives a row; again while the probes around it differ in `names` (or what
        that makes of the row), or from what the row itself says it saw in between (`between`, rates
        by the probes' names). What stays noisy says so."""
        for _ in range(self.attempts):
            before = self.last if self.last and time.monotonic() - self.taken < 10 else self.now()
            row = take(self.profile)
            after = self.now()
            row["probes"] = [before, after]
            wanted = names(row) if callable(names) else names
            seen = row.get("between", {})
            inside = [name for name in wanted if name in seen]
            row["noisy"] = not (
                steady(before, after, wanted)
                and steady(before, seen, inside)
                and steady(seen, after, inside)
            )
            if not row["noisy"]:
                break
        return row
