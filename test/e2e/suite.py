"""What the end-to-end tests share: counting, paths, and running llmc.

Every script takes --bin-dir (default build/bin), honours LLMC_SHARED, prints
`N passed, N failed, N skipped` last and exits 1 when something failed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
sys.path.insert(0, str(REPO / "test" / "models"))

from llmc_models import OUT, SHARED  # noqa: E402  (needs the path above)

# Everything that a test runs, it runs with --poison: see poison.py.
POISON = os.environ.get("LLMC_POISON") == "1"

__all__ = ["OUT", "REPO", "SHARED", "Suite", "Skip", "Failure", "Tool"]


class Skip(Exception):
    """Something that the test needs is absent; its message says what."""


class Failure(Exception):
    """A test's expectation does not hold; its message carries both numbers."""


def parser(description):
    result = argparse.ArgumentParser(description=description.strip().splitlines()[0])
    result.add_argument("--bin-dir", type=pathlib.Path, default=REPO / "build" / "bin")
    result.add_argument("--only", action="append", default=[], metavar="NAME", help="repeatable")
    result.add_argument("--list", action="store_true", help="list the names and stop")
    result.add_argument("--keep", type=pathlib.Path, help="work in this folder and keep it")
    result.add_argument("--verbose", action="store_true", help="show the commands")
    return result


class Suite:
    """Runs named tests and counts them."""

    def __init__(self, options):
        self.options = options
        self.passed, self.failed, self.skipped = [], [], []
        self.tests = []

    def add(self, name, function, *arguments):
        self.tests.append((name, function, arguments))

    def run(self):
        """Runs what --only selects; returns the exit status."""
        only = self.options.only
        if self.options.list:
            print("\n".join(name for name, _, _ in self.tests))
            return 0
        chosen = [t for t in self.tests if not only or t[0] in only]
        unknown = [name for name in only if name not in [t[0] for t in self.tests]]
        if unknown:
            print(f"unknown test: {', '.join(unknown)}; --list shows them", file=sys.stderr)
            return 2
        for name, function, arguments in chosen:
            started = time.time()
            try:
                note = function(*arguments)
                kind, words = self.passed, f"PASS {name}" + (f": {note}" if note else "")
            except Skip as reason:
                kind, words = self.skipped, f"SKIP {name}: {reason}"
            except Failure as reason:
                kind, words = self.failed, f"FAIL {name}: {reason}"
            except Exception as error:  # a broken test is a failed one
                kind, words = self.failed, f"FAIL {name}: {type(error).__name__}: {error}"
            kind.append(name)
            print(f"{words} [{time.time() - started:.1f} s]", flush=True)
        counts = (len(self.passed), len(self.failed), len(self.skipped))
        print("%d passed, %d failed, %d skipped" % counts, flush=True)
        return 1 if self.failed else 0


class Tool:
    """Runs llmc from --bin-dir."""

    def __init__(self, options):
        self.path = options.bin_dir / "llmc"
        self.verbose = options.verbose

    def need(self):
        if not self.path.exists():
            raise Skip(f"{self.path} is not built")

    def run(self, *arguments, timeout=600, cwd=None, env=None):
        """Runs `llmc ARGUMENTS`; returns the completed process, whatever its status."""
        self.need()
        if POISON and arguments[0] in ("run", "generate") and "--poison" not in arguments:
            arguments = (*arguments, "--poison")
        command = [str(self.path), *map(str, arguments)]
        if self.verbose:
            print("$ " + " ".join(command), file=sys.stderr, flush=True)
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
        )

    def good(self, *arguments, **keywords):
        """The same, and status 0 is expected."""
        done = self.run(*arguments, **keywords)
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip() or "no message")[-700:]
            raise Failure(f"llmc {arguments[0]} ended with {done.returncode}: {words}")
        return done

    def json(self, *arguments, **keywords):
        """The same with --json; returns what it printed, parsed."""
        done = self.good(*arguments, "--json", **keywords)
        return parse_json(done.stdout, arguments[0])


def parse_json(text, what):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Failure(f"llmc {what} --json printed no JSON ({error}): {text[:200]!r}") from error


def work_folder(options):
    """A folder to work in: --keep's, or one that vanishes with its owner."""
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return options.keep
    holder = tempfile.TemporaryDirectory(prefix="llmc-e2e-")
    options.holder = holder
    return pathlib.Path(holder.name)
