#!/usr/bin/env python3
"""Prediction against measurement: seconds of prefill and decode at several budgets.

    python test/bench/prediction.py [--only MODEL] [--runs N] [--hardware FILE] [--out FILE.json]

Each model is compiled for 100, 50 and 10 % of its unbounded plan (raised to the minimum where that
is more), and `llmc bench` runs it. The sizes are those that the prediction is for (CostModel.h):
prefill in full chunks, on average after half of what may come before; decode after half of the
context. Medians of --runs runs. `llmc probe` measures the machine before (the plan is made for
that) and after; where the two differ by more than 10 % in memory or disk it is done again, and what
stays noisy is shown but not counted. --hardware FILE takes a profile instead of probing.
Target: each within 20 %, median within 10 %.
"""

import json
import pathlib
import statistics
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import suite  # noqa: E402  (needs the path above)
from limits import probed, steady  # noqa: E402
from suite import Failure, Tool  # noqa: E402

CONTEXT, CHUNK = 512, 128
SHARES = (100, 50, 10)
EACH, MEDIAN = 0.20, 0.10
# Name, folder or example, most tokens of context.
MODELS = {
    "stories": ("stories-dynamo", CONTEXT),
    "stories-int4": ("stories-genai-int4", CONTEXT),
    "gpt2": ("gpt2-dynamo", 128),
    "synthetic-small": ("synthetic-small", CONTEXT),
    "synthetic-1gb": ("synthetic-1gb", CONTEXT),
    "llama-1b": ("synthetic-llama-1b", CONTEXT),
}


def compiled(tool, folder, model, context, budget, hardware):
    """The report of a plan, or None with the minimum if the budget is too small."""
    plan = folder / "model.plan"
    arguments = ["compile", model, "-o", plan, "--vram", budget, "--json"]
    arguments += ["--ctx", context, "--prefill-chunk", min(CHUNK, context // 4)]
    if hardware:
        arguments += ["--hardware", hardware]
    done = tool.run(*arguments)
    if done.returncode == 3:
        return None, json.loads(done.stdout)["minimum_bytes"]
    if done.returncode != 0:
        raise Failure(f"compile exited with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout), 0


def measured(tool, plan, context, runs):
    """Seconds per chunk of prefill, seconds per token of decode: medians."""
    chunk = min(CHUNK, context // 4)
    prefill, decode, link = [], [], []
    for _ in range(runs):
        report = tool.json("bench", plan, "--prompt", context, "--generate", 0)
        prefill.append(chunk / report["prefill_tokens_per_second"])
        # A quarter before, half generated: on average after half of the context.
        report = tool.json("bench", plan, "--prompt", context // 4, "--generate", context // 2)
        decode.append(1 / report["decode_tokens_per_second"])
        link.append(report["link_bytes_per_second"])
    return statistics.median(prefill), statistics.median(decode), statistics.median(link)


def model_rows(tool, name, options):
    folder_name, context = MODELS[name]
    context = min(context, options.context)
    model = suite.OUT / folder_name
    if not any(model.glob("*.onnx")):
        print(f"SKIP {name}: {model} is not there (test/models/README)", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="llmc-prediction-", dir=options.folder) as work:
        folder = pathlib.Path(work)
        full, _ = compiled(tool, folder, model, context, "unbounded", None)
        for share in SHARES:
            budget = full["device_bytes"] * share // 100
            report, minimum = compiled(tool, folder, model, context, budget, None)
            budget = budget if report else minimum
            for attempt in range(options.attempts):
                hardware, before = options.hardware, None
                if not hardware and not options.reference:
                    hardware = folder / "machine.json"
                    before = probed(tool, hardware)
                report, _ = compiled(tool, folder, model, context, budget, hardware)
                prefill, decode, link = measured(
                    tool, folder / "model.plan", context, options.runs
                )
                noisy = before and not steady(before, probed(tool, folder / "after.json"))
                if not noisy:
                    break
            for entry in report["entries"]:
                seconds = {"prefill": prefill, "decode": decode}.get(entry["name"])
                if seconds is None:
                    continue
                yield {
                    "model": name,
                    "budget_percent": round(100 * budget / full["device_bytes"]),
                    "entry": entry["name"],
                    "streamed_bytes": entry["streamed_bytes"],
                    "predicted_seconds": entry["predicted_seconds"],
                    "measured_seconds": seconds,
                    "ratio": entry["predicted_seconds"] / seconds,
                    "bound_by": entry["bound_by"],
                    "link_bytes_per_second": link,
                    "noisy": bool(noisy),
                }


def main():
    arguments = suite.parser(__doc__)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--context", type=int, default=CONTEXT, help="shorter is quicker")
    arguments.add_argument("--attempts", type=int, default=3)
    arguments.add_argument("--hardware", help="a profile instead of probing")
    arguments.add_argument("--reference", action="store_true", help="the compiler's own rates")
    arguments.add_argument("--folder", help="where plans and weights go; default: the temporary one")
    arguments.add_argument("--out", type=pathlib.Path)
    options = arguments.parse_args()
    if options.list:
        print("\n".join(MODELS))
        return 0
    tool = Tool(options)
    rows = []
    print("| model | budget | entry | streamed | predicted | measured | ratio | bound by |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.only or MODELS:
        for row in model_rows(tool, name, options):
            rows.append(row)
            print(
                f"| {row['model']} | {row['budget_percent']} % | {row['entry']} "
                f"| {row['streamed_bytes'] / 1e6:.1f} MB "
                f"| {row['predicted_seconds'] * 1e3:.3f} ms "
                f"| {row['measured_seconds'] * 1e3:.3f} ms "
                f"| {row['ratio']:.2f}{' (noisy)' if row['noisy'] else ''} | {row['bound_by']} |",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
    quiet = [row for row in rows if not row["noisy"]]
    print(f"\n{len(rows)} measured, {len(rows) - len(quiet)} of them noisy and not counted")
    if not quiet:
        return 1
    errors = [abs(row["ratio"] - 1) for row in quiet]
    within = sum(error <= EACH for error in errors)
    median = statistics.median(errors)
    print(
        f"{within} of {len(quiet)} within {EACH:.0%}; median error {median:.0%}, target {MEDIAN:.0%}"
    )
    return 0 if within == len(quiet) and median <= MEDIAN else 1


if __name__ == "__main__":
    sys.exit(main())
