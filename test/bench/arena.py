#!/usr/bin/env python3
"""Arena over lower bound, per entry of every model at hand, and what order and in-place save.

    python test/bench/arena.py [--only NAME] [--group GROUP] [--out FILE.json]

Every model is compiled without a bound. The region of an entry is what its inputs, outputs,
activations and kernel scratch take of the arena (the entries' regions share their addresses, so
the model's arena is the largest of them); the lower bound is the largest sum of them alive
at one step, computed here from the buffers' lifetimes. Both are taken with sizes as they are
(strict) and with each size rounded up to the alignment of 64 bytes. Target: 1.00 on at least 90 %
of the models, never above 1.02.

Where the compiler has the options, the same is done with --order model and with --in-place off.
"""

import sys

import memory_models as common
from memory_models import Failure, Skip, kib, padded, peak_of

VARIANTS = (
    ("model order", "--order", ("--order", "model")),
    ("not in place", "--in-place", ("--in-place", "off")),
    ("neither", "--in-place", ("--order", "model", "--in-place", "off")),
)
ONE = 1.005  # prints as 1.00


def entries_of(report):
    """{entry: extent, bounds and ratios}"""
    found = {}
    for entry in report["entries"]:
        own, base = common.region_of(report, entry["name"])
        clash = common.overlaps(own)
        if clash:
            raise Failure(f"{entry['name']}: {clash[0]} overlap")
        end = max((b["offset"] + b["size"] for b in own), default=base)
        bound = peak_of(own, lambda b: b["size"])
        bound_padded = peak_of(own, lambda b: padded(b["size"]))
        extent = end - base
        found[entry["name"]] = {
            "steps": entry["steps"],
            "buffers": len(own),
            "extent": extent,
            "lower_bound": bound,
            "lower_bound_padded": bound_padded,
            "ratio": extent / bound if bound else 1.0,
            "ratio_padded": padded(extent) / bound_padded if bound_padded else 1.0,
        }
    return found


def measure(compiler, case):
    report = compiler.report(case)
    entries = entries_of(report)
    largest = max(e["lower_bound_padded"] for e in entries.values())
    if report["lower_bound_bytes"] != largest:
        raise Failure(f"lower_bound_bytes {report['lower_bound_bytes']}, found {largest}")
    result = {
        "name": case.name,
        "group": case.group,
        "entries": entries,
        "activation_peak_bytes": report["activation_peak_bytes"],
        "lower_bound_bytes": report["lower_bound_bytes"],
        "ratio": report["activation_peak_bytes"] / max(report["lower_bound_bytes"], 1),
        "ratio_strict": max(e["extent"] for e in entries.values())
        / max(1, *(e["lower_bound"] for e in entries.values())),
        "variants": {},
    }
    for title, flag, arguments in VARIANTS:
        if compiler.has(flag) and all(compiler.has(a) for a in arguments if a.startswith("--")):
            other = compiler.report(case, *arguments)
            result["variants"][title] = {
                "activation_peak_bytes": other["activation_peak_bytes"],
                "entries": {k: v["extent"] for k, v in entries_of(other).items()},
            }
    return result


def show(results):
    titles = [title for title, _, _ in VARIANTS if any(title in r["variants"] for r in results)]
    print("| model | entry | steps | region, KiB | ÷ bound | ÷ bound, sizes unpadded |", end="")
    print("".join(f" {title}, KiB |" for title in titles))
    print("|---|---|---|---|---|---|" + "---|" * len(titles))
    for r in results:
        for name, e in r["entries"].items():
            row = f"| {r['name']} | {name} | {e['steps']} | {kib(e['extent'])}"
            row += f" | {e['ratio_padded']:.4f} | {e['ratio']:.4f} |"
            for title in titles:
                size = r["variants"].get(title, {}).get("entries", {}).get(name)
                row += f" {kib(size)} ({size / e['extent']:.2f} x) |" if size else " – |"
            print(row)
    for key, title in (("ratio", "arena / bound"), ("ratio_strict", "with unpadded sizes")):
        ratios = [r[key] for r in results]
        exact = sum(x < ONE for x in ratios)
        print(
            f"{title}: 1.00 on {exact} of {len(ratios)} models ({100 * exact / len(ratios):.0f} %), "
            f"largest {max(ratios):.4f}"
        )


def main():
    options = common.parser(__doc__).parse_args()
    compiler = common.Compiler(options)
    results, failed = [], []
    for case in common.chosen(options):
        try:
            results.append(measure(compiler, case))
        except Skip as reason:
            print(f"SKIP {case.name}: {reason}", flush=True)
        except Failure as reason:
            failed.append(case.name)
            print(f"FAIL {case.name}: {reason}", flush=True)
    if results:
        show(results)
        common.write_json(options, "arena", {"models": results, "failed": failed})
    good = results and not failed
    good = good and max(r["ratio"] for r in results) <= 1.02
    good = good and sum(r["ratio"] < ONE for r in results) >= 0.9 * len(results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
