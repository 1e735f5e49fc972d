#!/usr/bin/env python3
"""Streaming, for each model and budget: bits, memory, speed, prediction, naive; and what it costs.

    python test/bench/streaming.py [--only MODEL] [--budgets 100,50] [--part NAME]... [--out FILE.json]

Models: the two of test/models/synthetic_llama.py. Budgets: percent of the bytes of their weights. The
plan and weights files are synced and dropped from the page cache before every limited run. The
context is 2,048; where a budget does not hold that it is 256, and the table says so. Parts:

    bits        generate in a memory cgroup of budget + 64 MiB: logits compared bytewise with the
                unbounded plan's; peak RSS, max_usage_in_bytes, bytes read. Counts at any time.
    speed       bench: tokens/s against the prediction (--hardware of the probe just made), and bytes
                streamed x tokens/s against link_bytes_per_second
    naive       the same with --policy naive: never below 1.0
    overlap     prefill at 50 %, in chunks for which copying and computing take about as long:
                planned at least 1.5 times naive
    resident    decode with the budget that just holds everything, against --vram unbounded: >= 0.98
    prefill     512 tokens in one chunk at 50 %: >= 90 % of max(compute, link); compute is the
                unbounded plan's time, link its bytes at the measured rate

`llmc probe` (its disk: the weights file itself) runs before and after each figure, and bench measures
the disk once more in between; where these differ by more than 10 % in what bounds the figure (the disk
if that is the link, else memory) it is taken again (--attempts), and what stays noisy is shown but not
counted.
"""

import argparse
import array
import functools
import json
import math
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import limits  # noqa: E402  (needs the path above)
from limits import ABOVE_BUDGET, drop, measured  # noqa: E402
from suite import REPO, Failure, Tool  # noqa: E402

MODELS = ("1.1b-fp32", "0.5b-fp16")
BUDGETS = (100, 75, 50, 25, 10, 5)
PARTS = ("bits", "speed", "naive", "overlap", "resident", "prefill")
CONTEXT, PROMPT, VOCABULARY = 2048, 128, 32000
SHORT = 256  # the context where the budget does not hold the whole one's keys and values
LADDER = (16, 32, 64, 128)
LIKE = 1.5  # copying and computing are of like size if one takes at most so much longer


class Bench:
    """One model: its plans side by side, with one weights file."""

    def __init__(self, tool, options, name):
        self.tool, self.options, self.name = tool, options, name
        script = REPO / "test" / "models" / "synthetic_llama.py"
        made = subprocess.run([sys.executable, script, name], stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise Failure(f"{script} {name} ended with {made.returncode}")
        self.model = pathlib.Path(made.stdout.strip())
        self.bytes = self.model.with_name("model.onnx.data").stat().st_size
        self.folder = options.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.probes = limits.Probes(tool, self.folder, options.attempts)
        self.tokens = ",".join(str((i * 7919 + 13) % VOCABULARY) for i in range(PROMPT + 22))

    def compile(self, name, budget, *more, hardware=None, context=CONTEXT):
        """(plan, report); report has only minimum_bytes if the budget is refused."""
        plan = self.folder / f"{name}.plan"
        arguments = ["compile", self.model, "-o", plan, "--vram", budget, "--ctx", context, "--json"]
        if hardware:
            arguments += ["--hardware", hardware]
        done = self.tool.run(*arguments, *more, timeout=1800)
        if done.returncode not in (0, 3):
            raise Failure(f"compile ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        report = json.loads(done.stdout)
        return (plan if done.returncode == 0 else None), report

    def cold(self, plan):
        drop(plan, *self.folder.glob("*.weights"))

    def run(self, command, plan, *arguments, limit=0):
        self.cold(plan)
        threads = ("--threads", self.options.threads)
        runner = self.tool.path.with_name("llmc-run")
        return measured([runner, command, plan, *threads, *arguments, "--json"], limit)

    def bench(self, plan, prompt=PROMPT, generate=None):
        generate = self.options.generate if generate is None else generate
        return self.run("bench", plan, "--prompt", prompt, "--generate", generate).json()

    def median(self, plan, key, **keywords):
        """The median of --runs runs, and the last run's report."""
        reports = [self.bench(plan, **keywords) for _ in range(self.options.runs)]
        return statistics.median(report[key] for report in reports), reports[-1]

    def generated(self, plan, rows, limit=0):
        """(process, tokens with the bytes of their logits, report)"""
        count = self.options.generate
        done = self.run(
            "generate", plan, "--tokens", self.tokens, "-n", count, "--logits-out", rows, limit=limit
        )
        report = done.json()
        return done, (report["tokens"], rows.read_bytes()), report

    # --- parts ---

    def budgets(self):
        parts = set(self.options.part)
        reference = None
        for percent in self.options.budgets:
            budget = self.bytes * percent // 100
            if reference is None and "bits" in parts:
                plan, _ = self.compile("unbounded", "unbounded")
                _, reference, _ = self.generated(plan, self.folder / "reference.npy")
                sane(reference[1])
            if parts & {"speed", "naive"}:
                take = functools.partial(self.budget, budget, parts, reference)
                row = self.probes.figure(take, bounding)
            else:
                row = self.budget(budget, parts, reference, None)
            yield {"model": self.name, "part": "budget", "percent": percent, "budget": budget, **row}

    def budget(self, budget, parts, reference, hardware):
        context = CONTEXT
        plan, report = self.compile("planned", budget, hardware=hardware)
        if plan is None:
            # Keys and values of the whole context may be more than the budget.
            refused, context = report["minimum_bytes"], SHORT
            plan, report = self.compile("planned", budget, hardware=hardware, context=context)
            if plan is None:
                return {"refused": report["minimum_bytes"], "refused_whole_context": refused}
        decode = next(e for e in report["entries"] if e["name"] == "decode")
        row = {
            "context": context,
            "device_bytes": report["device_bytes"],
            "minimum_bytes": report["minimum_bytes"],
            "streamed_bytes": decode["streamed_bytes"],
            "predicted_tokens_per_second": 1 / decode["predicted_seconds"],
            "bound_by": decode["bound_by"],
        }
        if report["device_bytes"] > budget:
            raise Failure(f"--vram {budget} gives device_bytes {report['device_bytes']}")
        if "bits" in parts:
            row.update(self.bits(plan, budget, reference))
        if "speed" in parts:
            reports = [self.bench(plan) for _ in range(self.options.runs)]
            speed = statistics.median(r["decode_tokens_per_second"] for r in reports)
            link = statistics.median(r["link_bytes_per_second"] for r in reports)
            row["tokens_per_second"] = speed
            row["link_bytes_per_second"] = link
            row["between"] = {"disk": link} if link else {}
            # Each run against the link as it was in the same call.
            shares = [
                r["streamed_bytes_per_token"]
                * r["decode_tokens_per_second"]
                / r["link_bytes_per_second"]
                for r in reports
                if r["link_bytes_per_second"]
            ]
            row["of_link"] = statistics.median(shares) if shares else None
            row["predicted_over_measured"] = row["predicted_tokens_per_second"] / speed
            row["rss_above_budget"] = max(
                max(r["peak_rss_bytes"] for r in reports) - budget,
                row.get("rss_above_budget", -budget),
            )
        if "naive" in parts:
            more = ("--policy", "naive")
            naive, _ = self.compile("naive", budget, *more, hardware=hardware, context=context)
            if naive:
                row["naive_tokens_per_second"], _ = self.median(naive, "decode_tokens_per_second")
                if "tokens_per_second" in row:
                    row["over_naive"] = row["tokens_per_second"] / row["naive_tokens_per_second"]
        return row

    def bits(self, plan, budget, reference):
        missing = limits.cgroups_missing()
        limit = 0 if missing else budget + ABOVE_BUDGET
        if missing:
            print(f"SKIP cgroup: {missing}", file=sys.stderr)
        done, result, report = self.generated(plan, self.folder / "rows.npy", limit)
        seconds = report["decode_seconds"]
        row = {
            "identical": result == reference,
            "rss_above_budget": done.peak_rss - budget,
            "read_bytes": done.read_bytes,
            "cgroup_tokens_per_second": (len(report["tokens"]) - 1) / seconds if seconds else None,
        }
        if limit:
            row["cgroup_above_budget"] = done.cgroup_peak - budget
        return row

    def resident(self):
        unbounded, report = self.compile("unbounded", "unbounded")
        fits, same = self.compile("fits", report["device_bytes"])
        if any(entry["streamed_bytes"] for entry in same["entries"]):
            raise Failure("the budget of the unbounded plan streams")

        def take(_):
            speeds = {unbounded: [], fits: []}
            for _ in range(max(3, self.options.runs)):
                for plan, values in speeds.items():
                    values.append(self.bench(plan, generate=32)["decode_tokens_per_second"])
            with_, without = (statistics.median(speeds[plan]) for plan in (fits, unbounded))
            return {
                "fits_tokens_per_second": with_,
                "unbounded_tokens_per_second": without,
                "ratio": with_ / without,
            }

        yield {"model": self.name, "part": "resident", **self.probes.figure(take, ("memory",))}

    def prefill_seconds(self, plan, tokens, chunks=1):
        """Seconds per chunk of `tokens`, and the link's rate."""
        speed, last = self.median(
            plan, "prefill_tokens_per_second", prompt=tokens * chunks, generate=0
        )
        return tokens / speed, last["link_bytes_per_second"]

    def prefill(self, tokens=512):
        chunk = ("--prefill-chunk", tokens)

        def take(hardware):
            unbounded, _ = self.compile("unbounded-512", "unbounded", *chunk)
            compute, _ = self.prefill_seconds(unbounded, tokens)
            plan, report = self.compile("half-512", self.bytes // 2, *chunk, hardware=hardware)
            if plan is None:
                return {"refused": report["minimum_bytes"]}
            entry = next(e for e in report["entries"] if e["name"] == "prefill")
            seconds, rate = self.prefill_seconds(plan, tokens)
            link = entry["streamed_bytes"] / rate
            return {
                "compute_seconds": compute,
                "link_seconds": link,
                "seconds": seconds,
                "ratio": max(compute, link) / seconds,
                # Of a full chunk after half of what may come before it.
                "predicted_seconds": entry["predicted_seconds"],
            }

        row = self.probes.figure(take, ("memory", "disk", "compute"))
        yield {"model": self.name, "part": "prefill", **row}

    def overlap(self, chunks=4):
        """Planned against naive where a chunk computes about as long as it copies."""
        half = self.bytes // 2

        def take(hardware):
            unbounded, _ = self.compile("unbounded", "unbounded")
            best = None
            for tokens in LADDER:
                compute, _ = self.prefill_seconds(unbounded, tokens)
                chunk = ("--prefill-chunk", tokens)
                plan, report = self.compile(f"like-{tokens}", half, *chunk, hardware=hardware)
                entry = next(e for e in report["entries"] if e["name"] == "prefill")
                planned, rate = self.prefill_seconds(plan, tokens, chunks)
                copy = entry["streamed_bytes"] / rate
                apart = max(compute, copy) / min(compute, copy)
                if best is None or apart < best["apart"]:
                    best = {"chunk": tokens, "apart": apart, "compute_seconds": compute}
                    best |= {"copy_seconds": copy, "seconds": planned}
            chunk = ("--prefill-chunk", best["chunk"])
            plan, _ = self.compile("like-naive", half, "--policy", "naive", *chunk)
            best["naive_seconds"], _ = self.prefill_seconds(plan, best["chunk"], chunks)
            best["over_naive"] = best["naive_seconds"] / best["seconds"]
            return best

        row = self.probes.figure(take, ("memory", "disk", "compute"))
        yield {"model": self.name, "part": "overlap", **row}

    def rows(self):
        parts = self.options.part
        if set(parts) & {"bits", "speed", "naive"}:
            yield from self.budgets()
        for name in ("overlap", "resident", "prefill"):
            if name in parts:
                yield from getattr(self, name)()


def bounding(row):
    """What must be steady for a figure to count: what its step time hangs on."""
    return ("disk",) if row.get("bound_by") == "link" else ("memory",)


def sane(file):
    """That the bytes of an .npy of floats hold numbers, and different ones."""
    values = array.array("f", file[-4 * VOCABULARY :])
    if not all(map(math.isfinite, values)) or len(set(values)) < VOCABULARY // 10:
        raise Failure("the unbounded plan's logits are not finite, or alike")


# --- tables ------------------------------------------------------------------------------------------


def cell(row, key, form="{:.2f}", scale=1.0):
    value = row.get(key)
    return "–" if value is None else form.format(value * scale)


HEAD = """| model | budget | streamed | same bits | RSS over | cgroup over | tokens/s | predicted ÷ measured \
| bound by | of the link | × naive |
|---|---|---|---|---|---|---|---|---|---|---|"""


def shown(row):
    noisy = " (noisy)" if row.get("noisy") else ""
    if row["part"] != "budget":
        hidden = ("model", "part", "probes", "between", "noisy")
        figures = {k: v for k, v in row.items() if k not in hidden}
        words = ", ".join(
            f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items()
        )
        return f"{row['part']} {row['model']}: {words}{noisy}"
    short = f", context {row['context']}" if row.get("context", CONTEXT) != CONTEXT else ""
    start = f"| {row['model']} | {row['percent']} %{short} "
    if "refused" in row:
        return start + f"| refused: {row['refused'] / 2**20:.0f} MiB at least |" + " |" * 8
    mib = 1 / 2**20
    same = {True: "yes", False: "**no**", None: "–"}[row.get("identical")]
    return (
        start + f"| {cell(row, 'streamed_bytes', '{:.0f} MB', 1e-6)} | {same} "
        f"| {cell(row, 'rss_above_budget', '{:.1f} MiB', mib)} "
        f"| {cell(row, 'cgroup_above_budget', '{:.1f} MiB', mib)} "
        f"| {cell(row, 'tokens_per_second')} | {cell(row, 'predicted_over_measured')}{noisy} "
        f"| {row['bound_by']} | {cell(row, 'of_link')} | {cell(row, 'over_naive')} |"
    )


def verdicts(rows):
    """(what, how many hold, of how many, worst); noisy speeds are not counted."""
    budgets = [r for r in rows if r["part"] == "budget" and "refused" not in r]
    quiet = [r for r in rows if not r.get("noisy") and "refused" not in r]

    def count(what, values, holds, worst):
        values = list(values)
        if values:
            yield what, sum(map(holds, values)), len(values), worst(values)

    def of(key, chosen):
        return [r[key] for r in chosen if r.get(key) is not None]

    def of_part(part, key):
        return of(key, [r for r in quiet if r["part"] == part])

    refused = [r.get("refused", 0) for r in rows if r["part"] == "budget"]
    yield from count("budgets accepted", refused, lambda v: not v, max)
    yield from count("bits as unbounded", of("identical", budgets), bool, min)
    for key in ("rss_above_budget", "cgroup_above_budget"):
        yield from count(f"{key} <= 64 MiB", of(key, budgets), lambda v: v <= ABOVE_BUDGET, max)
    speeds = [r for r in quiet if r["part"] == "budget"]
    bound = [r for r in speeds if r["bound_by"] == "link"]
    yield from count("link-bound: of the link >= 0.9", of("of_link", bound), lambda v: v >= 0.9, min)
    errors = [abs(v - 1) for v in of("predicted_over_measured", speeds)]
    yield from count("prediction within 20 %", errors, lambda v: v <= 0.2, max)
    if errors:
        yield from count(
            "median of the prediction's error <= 10 %",
            [statistics.median(errors)],
            lambda v: v <= 0.1,
            max,
        )
    yield from count("not slower than naive", of("over_naive", speeds), lambda v: v >= 1.0, min)
    like = [r for r in quiet if r["part"] == "overlap" and r["apart"] <= LIKE]
    yield from count("of like size: 1.5 x naive", of("over_naive", like), lambda v: v >= 1.5, min)
    yield from count("resident >= 0.98", of_part("resident", "ratio"), lambda v: v >= 0.98, min)
    yield from count("prefill of 512 >= 0.9", of_part("prefill", "ratio"), lambda v: v >= 0.9, min)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=pathlib.Path, default=REPO / "build" / "bin")
    parser.add_argument("--only", action="append", choices=MODELS)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="percent")
    parser.add_argument("--generate", type=int, default=16, help="tokens per run")
    parser.add_argument("--runs", type=int, default=1, help="medians of so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=REPO / "build" / "streaming")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.part = options.part or list(PARTS)
    options.budgets = [float(p) if "." in p else int(p) for p in options.budgets.split(",")]
    tool = Tool(options)
    rows = []
    print(HEAD, flush=True)
    for name in options.only or MODELS:
        for row in Bench(tool, options, name).rows():
            rows.append(row)
            print(shown(row), flush=True)
            if options.out:
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
    noisy = sum(bool(row.get("noisy")) for row in rows)
    print(f"\n{len(rows)} figures, {noisy} of them noisy and their speeds not counted")
    missed = False
    for what, good, of, worst in verdicts(rows):
        missed |= good < of
        print(f"{'met' if good == of else 'MISSED'}: {what}: {good} of {of}, worst {worst:.4g}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
