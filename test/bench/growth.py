#!/usr/bin/env python3
"""Growth: packing 1,000 to 100,000 generated buffers, and compiling graphs of 10,000 nodes.

    python test/bench/growth.py [--packing] [--compile] [--repeat N] [--out FILE.json]

Buffers come from a generator with fixed sizes, lifetimes and seed; every packing is read back from
its CSV and checked here by a sweep. Targets: within 2 % of the lower bound; beyond 10,000 buffers
time grows no faster than n log n; 100,000 in less than 20 s; each graph in less than 10 s.
Times are CPU seconds of the process, the least of --repeat runs: the machine may be shared.
"""

import math
import os
import random
import sys
import time

import memory_models as common
import synthetic_graphs
from memory_models import Failure

sys.path.insert(0, str(common.HERE.parent / "e2e"))
import pack  # noqa: E402  (needs the path above)

COUNTS = (1000, 10000, 30000, 100000)
GRAPHS = ("decoder-10k", "nas-10k")


def size_of(choose):
    """1 to 256 KiB: half are powers of two, half are anything, log-uniform."""
    if choose.random() < 0.5:
        return 1024 << choose.randrange(0, 9)
    return 64 * round(2 ** choose.uniform(4, 12))


def network(count, choose):
    """One step per buffer as a compiler makes them: most values are read at once, some reach
    across a block, a few across much of the network."""
    for start in range(count):
        kind = choose.random()
        if kind < 0.80:
            length = choose.randrange(1, 5)
        elif kind < 0.97:
            length = choose.randrange(5, 60)
        else:
            length = round(2 ** choose.uniform(6, 10))
        yield start, min(start + 1 + length, count + 64), size_of(choose)


def dense(count, choose):
    """Sixteen buffers begin at each step, so that hundreds are alive and none dominates."""
    for i in range(count):
        start = i // 16
        if choose.random() < 0.9:
            length = choose.randrange(1, 12)
        else:
            length = round(2 ** choose.uniform(4, 9))
        yield start, start + length, size_of(choose)


def stationary(count, choose):
    """Nothing of a network in it: uniform starts, lengths and sizes, one single component."""
    steps = count
    for _ in range(count):
        start = choose.randrange(steps)
        yield start, start + choose.randrange(1, 100), 64 * choose.randrange(1, 1000)


KINDS = (network, dense, stationary)


def generate(kind, count, path):
    choose = random.Random(1)
    with open(path, "w") as file:
        file.write("id,lower,upper,size\n")
        for i, (start, end, size) in enumerate(kind(count, choose)):
            file.write(f"t{i},{start},{end},{size}\n")


def cpu_seconds(function, repeat):
    """(result, least CPU seconds of the children that it runs, least wall seconds)"""
    cpu = wall = math.inf
    for _ in range(repeat):
        began, before = time.monotonic(), os.times()
        result = function()
        after = os.times()
        wall = min(wall, time.monotonic() - began)
        used = after.children_user + after.children_system
        cpu = min(cpu, used - before.children_user - before.children_system)
    return result, cpu, wall


def packing(compiler, repeat):
    rows = []
    for kind in KINDS:
        for count in COUNTS:
            path = compiler.folder / f"{kind.__name__}{count}.csv"
            out = compiler.folder / "packed.csv"
            generate(kind, count, path)
            report, cpu, wall = cpu_seconds(
                lambda path=path, out=out: compiler.tool.json("pack", path, "-o", out), repeat
            )
            pack.check_rows(pack.rows(path), pack.rows(out), report["peak"])
            ratio = report["peak"] / report["lower_bound"]
            earlier = rows[-1] if rows and rows[-1]["kind"] == kind.__name__ else None
            growth = None
            if earlier and earlier["buffers"] >= 10000:
                work = count * math.log(count) / (earlier["buffers"] * math.log(earlier["buffers"]))
                growth = cpu / earlier["cpu_seconds"] / work
            rows.append(
                {
                    "kind": kind.__name__,
                    "buffers": count,
                    "lower_bound": report["lower_bound"],
                    "peak": report["peak"],
                    "ratio": ratio,
                    "cpu_seconds": cpu,
                    "wall_seconds": wall,
                    "over_n_log_n": growth,
                    "algorithm": report["algorithm"],
                }
            )
    print("| buffers | of the lower bound | CPU seconds | growth over n log n | by |")
    print("|---|---|---|---|---|")
    for r in rows:
        growth = f"{r['over_n_log_n']:.2f}" if r["over_n_log_n"] else "–"
        print(
            f"| {r['kind']} {r['buffers']:,} | {r['ratio']:.4f} | {r['cpu_seconds']:.2f} "
            f"| {growth} | {r['algorithm']} |"
        )
    for r in rows:
        r["good"] = (
            r["ratio"] <= 1.02
            and (r["buffers"] < 100000 or r["cpu_seconds"] < 20)
            and (r["over_n_log_n"] or 0) <= 1.2
        )
    return rows


def compiling(compiler, repeat):
    rows = []
    print("\n| graph | nodes | steps | buffers | CPU seconds | wall seconds |")
    print("|---|---|---|---|---|---|")
    for name in GRAPHS:
        case = common.Case(name, "", "", lambda name=name: synthetic_graphs.ensure(name))
        case.file()
        try:
            report, cpu, wall = cpu_seconds(lambda case=case: compiler.report(case), repeat)
        except Failure as reason:
            print(f"FAIL {name}: {reason}")
            rows.append({"name": name, "good": False})
            continue
        row = {
            "name": name,
            "nodes": 10000,
            "steps": sum(e["steps"] for e in report["entries"]),
            "buffers": len(report["buffers"]),
            "cpu_seconds": cpu,
            "wall_seconds": wall,
            "good": cpu < 10,
        }
        rows.append(row)
        print(
            f"| {name} | {row['nodes']:,} | {row['steps']:,} | {row['buffers']:,} "
            f"| {cpu:.2f} | {wall:.2f} |"
        )
    return rows


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    compiler = common.Compiler(options)
    both = options.packing == options.compile
    data = {}
    if both or options.packing:
        data["packing"] = packing(compiler, options.repeat)
    if both or options.compile:
        data["compiling"] = compiling(compiler, options.repeat)
    common.write_json(options, "growth", data)
    return 0 if all(r["good"] for rows in data.values() for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
