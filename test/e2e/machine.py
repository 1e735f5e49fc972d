#!/usr/bin/env python3
"""What is asked of the machine: --vram auto, the room for a plan at load, probe and --hardware.

Memory cgroups of version 1 stand in for small machines; without them those tests are skipped.
"""

import json
import re
import sys

import limits
import suite
from model_list import DECODERS
from suite import REPO, Failure, Skip

MIB = 1 << 20
LIMIT = 192 * MIB
BATCH = 512  # of the example: a state of 320 MiB


def model():
    return next(m for m in DECODERS if m.name == "example").file()


def expect(holds, words):
    if not holds:
        raise Failure(words)


def in_group(tool, *arguments):
    why = limits.cgroups_missing()
    if why:
        raise Skip(why)
    return limits.measured([tool.path, *arguments], LIMIT)


class Machine:
    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.profile = None

    def compile(self, *options, name="x"):
        plan = self.folder / f"{name}.plan"
        return ("compile", model(), "-o", plan, "--json", *options)

    # ---- memory ----

    def auto_is_what_is_free(self):
        """On the machine itself: less than MemAvailable, by a tenth or 512 MiB, at most half."""
        report = self.tool.json(*self.compile("--vram", "auto"))
        text = open("/proc/meminfo").read()
        free = int(re.search(r"MemAvailable: +(\d+)", text)[1]) << 10
        budget = report["budget_bytes"]
        expect(0.3 * free < budget < 0.97 * free, f"{budget} of {free} free bytes")
        return f"{budget / MIB:.0f} of {free / MIB:.0f} MiB"

    def auto_in_a_group(self):
        """In a group: half of a small limit, and the plan runs there."""
        done = in_group(self.tool, *self.compile("--vram", "auto", name="auto"))
        budget = done.json()["budget_bytes"]
        expect(LIMIT // 4 < budget <= LIMIT // 2, f"{budget} bytes in a group of {LIMIT}")
        done = in_group(self.tool, "generate", self.folder / "auto.plan", "--prompt", "A", "-n", "4")
        expect(done.status == 0, f"generate ends with {done.status}: {done.err}")
        return f"{budget / MIB:.1f} of {LIMIT / MIB:.0f} MiB"

    def too_large_at_load(self):
        """Found, needed and what would fit; the process ends by itself, not by the kernel."""
        plan = self.tool.json(*self.compile("--vram", "unbounded", "--batch", BATCH, name="large"))
        needed = plan["device_bytes"]
        expect(needed > LIMIT, f"{needed} bytes fit {LIMIT}")
        done = in_group(self.tool, "bench", self.folder / "large.plan", "--json")
        expect(done.status == 1, f"status {done.status}: {done.err}")
        expect(f"{needed} bytes" in done.err, f"what is needed is missing: {done.err}")
        found = int(re.search(r"\((\d+) bytes\) are free", done.err)[1])
        expect(LIMIT // 2 < found <= LIMIT, f"{found} bytes free in a group of {LIMIT}")
        advice = re.search(r"--vram (\d+)", done.err)
        minimum = plan["minimum_bytes"]
        if found // 2 >= minimum:
            expect(advice and int(advice[1]) >= minimum, f"no advice: {done.err}")
        else:
            expect(f"{minimum} bytes" in done.err, f"no minimum: {done.err}")
        return done.err.strip()[-160:]

    # ---- probe and profiles ----

    def probe(self):
        """llmc probe writes a profile that plans for this machine."""
        if self.profile is None:
            file = self.folder / "machine.json"
            self.tool.good("probe", "--quick", "-o", file, "--disk", self.folder)
            self.profile = json.loads(file.read_text())
        host = self.profile["host"]
        expect(self.profile["source"] == "probe", self.profile["source"])
        expect(host["memory"]["read_bytes_per_second"] > 1e9, f"memory {host['memory']}")
        ways = self.profile["disk"]["ways"]
        best, rate = max(way["bytes_per_second"] for way in ways), self.profile["disk"]["bytes_per_second"]
        expect(best / 4 < rate < best * 4, f"the disk {rate} is not like its best way {best}")
        file = self.write("probed", self.profile)
        probed = self.tool.json(*self.compile("--vram", "2M", "--hardware", file))
        faster = json.loads(json.dumps(self.profile))
        for rates in faster["host"]["compute"].values():
            for key in rates:
                rates[key] *= 4
        for key in faster["host"]["memory"]:
            faster["host"]["memory"][key] *= 4
        other = self.write("faster", faster)
        quick = self.tool.json(*self.compile("--vram", "2M", "--hardware", other))
        for one, two in zip(probed["entries"], quick["entries"], strict=True):
            slow, fast = one["predicted_seconds"], two["predicted_seconds"]
            expect(fast < slow, f"{one['name']}: {slow} s, {fast} s with four times the rates")
        text = self.tool.good("inspect", self.folder / "x.plan").stdout
        expect("--hardware '" in text, "the plan does not say for which machine it is")
        return f"{len(ways)} ways to read"

    def write(self, name, profile):
        file = self.folder / f"{name}.json"
        file.write_text(profile if isinstance(profile, str) else json.dumps(profile))
        return file

    def profile_errors(self):
        """Damaged, wrong units, missing fields, missing file: named, and nothing is written."""
        sheet = json.loads((REPO / "runtime" / "hardware" / "rtx-4090.json").read_text())
        host = {
            "llmc_hardware": 1,
            "name": "m",
            "source": "probe",
            "host": {
                "cpu": "c",
                "isa": "x86-64-v3",
                "threads": 2,
                "memory_bytes": 1 << 34,
                "memory": {
                    "read_bytes_per_second": 4e10,
                    "write_bytes_per_second": 3e10,
                    "copy_bytes_per_second": 2e10,
                },
                "compute": {"f32": {"many_rows_flops_per_second": 2e11}},
            },
        }
        good = self.write("good", host)
        self.tool.good(*self.compile("--vram", "2M", "--hardware", good, name="good"))

        def changed(change):
            copy = json.loads(json.dumps(host))
            change(copy["host"])
            return copy

        cases = {
            "damaged": (json.dumps(host)[:-40], "not JSON"),
            "empty": ("", "not JSON"),
            "other": ({"a": 1}, "llmc_hardware"),
            "units": (
                changed(lambda h: h["memory"].update(read_bytes_per_second=48)),
                "'read_bytes_per_second' is 48, which cannot be bytes per second",
            ),
            "words": (
                changed(lambda h: h["memory"].update(read_bytes_per_second="48 GB/s")),
                "expected a positive number",
            ),
            "missing": (changed(lambda h: h["memory"].pop("read_bytes_per_second")), "has no"),
            "unknown": (changed(lambda h: h.update(cores=4)), "unknown field 'cores'"),
            "gpu": (sheet, "describes no processor"),
        }
        for name, (profile, words) in cases.items():
            file = self.write(name, profile)
            done = self.tool.run(*self.compile("--vram", "2M", "--hardware", file, name=name))
            expect(done.returncode == 1, f"{name}: status {done.returncode}: {done.stderr}")
            expect(file.name in done.stderr, f"{name}: the file is not named: {done.stderr}")
            expect(words in done.stderr, f"{name}: {done.stderr.strip()!r} lacks {words!r}")
            expect(not (self.folder / f"{name}.plan").exists(), f"{name}: a plan was written")
        done = self.tool.run(*self.compile("--vram", "2M", "--hardware", self.folder / "none.json"))
        expect(done.returncode == 1 and "none.json" in done.stderr, done.stderr)
        return f"{len(cases) + 1} of them"


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    machine = Machine(tool, suite.work_folder(options) / "machine")

    def run(name):
        tool.need()
        return getattr(machine, name)()

    names = "auto_is_what_is_free auto_in_a_group too_large_at_load probe profile_errors"
    for name in names.split():
        tests.add(name.replace("_", "-"), run, name)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
