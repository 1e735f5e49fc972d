#!/usr/bin/env python3
"""Every end-to-end test that runs plans, once more in poison mode.

With --poison every byte outside a live buffer holds signalling NaN patterns at each step, so a
kernel that reads what is not (or no longer) its own changes the numbers, and the other test fails.
(That the mode does poison is shown by the unit test CorePoison.*.)
"""

import os
import re
import subprocess
import sys

import suite
from suite import Failure

SCRIPTS = ("compare", "quantized", "stories", "layouts", "budgets", "light", "images")


def poisoned(options, name):
    script = suite.HERE / f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(script), "--bin-dir", str(options.bin_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
        env={**os.environ, "LLMC_POISON": "1"},
    )
    counts = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", done.stdout, re.M)
    if done.returncode != 0 or not counts:
        bad = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
        raise Failure("; ".join(bad)[:1500] or done.stderr[-500:] or f"status {done.returncode}")
    passed, _, skipped = counts[-1]
    if int(passed) == 0:
        raise suite.Skip(f"{skipped} skipped")
    return f"{passed} passed, {skipped or 0} skipped"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    for name in SCRIPTS:
        if (suite.HERE / f"{name}.py").exists():
            tests.add(name, poisoned, options, name)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
