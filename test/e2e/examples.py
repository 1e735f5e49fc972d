#!/usr/bin/env python3
"""The examples run: quickstart.sh in a built tree ends with a memory plan and text, and quickly.

Needs the tree that --bin-dir belongs to, since quickstart.sh builds into build/.
"""

import os
import re
import subprocess
import sys
import time

import suite
from suite import REPO, Failure, Skip

SECONDS = 120  # everything is built and installed by then


def quickstart(options):
    if options.bin_dir.resolve() != (REPO / "build" / "bin").resolve():
        raise Skip("--bin-dir is not this tree's build/bin")
    if not (options.bin_dir / "llmc").exists():
        raise Skip(f"{options.bin_dir / 'llmc'} is not built")
    if os.geteuid() != 0:
        raise Skip("quickstart.sh installs packages: needs root")
    started = time.time()
    script = REPO / "examples" / "quickstart.sh"
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, errors="replace", check=False
    )
    seconds = time.time() - started
    if done.returncode != 0:
        raise Failure(f"status {done.returncode}: {(done.stdout + done.stderr)[-600:]}")
    for command in ("llmc compile", "llmc inspect", "llmc generate"):
        if f"$ {command}" not in done.stdout:
            raise Failure(f"it shows no `{command}`")
    text = done.stdout.split("$ llmc generate", 1)[1].split("\n", 1)[1]
    words = re.findall(r"[A-Za-z]{2,}", text)
    if len(words) < 40 or len(set(words)) < 20:
        raise Failure(f"no text in the end: {text[:200]!r}")
    if seconds > SECONDS:
        raise Failure(f"a second run takes {seconds:.0f} s")
    return f"{len(words)} words in {seconds:.0f} s"


def embed(options, folder):
    """The C program writes what `generate` writes."""
    program = options.bin_dir / "example-embed"
    if not program.exists():
        raise Skip(f"{program} is not built")
    tool = suite.Tool(options)
    tool.need()
    plan = folder / "embed.plan"
    tool.good("compile", REPO / "examples/shakespeare/model.onnx", "--vram", "3M", "-o", plan)
    done = subprocess.run(
        [program, plan, "JULIET:", "40"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"status {done.returncode}: {done.stderr}")
    text = tool.json("generate", plan, "--prompt", "JULIET:", "-n", 40)["text"]
    if done.stdout != text + "\n":
        raise Failure(f"it writes {done.stdout!r}, generate {text!r}")
    missing = subprocess.run([program, folder / "no.plan", "x", "1"], capture_output=True, text=True)
    if missing.returncode != 1 or "no.plan" not in missing.stderr:
        raise Failure(f"without a plan: status {missing.returncode}, {missing.stderr!r}")
    return f"{len(text.split())} words"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tests.add("embed", embed, options, suite.work_folder(options))
    tests.add("quickstart", quickstart, options)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
