#!/usr/bin/env python3
"""Bytes moved by the plan against caches of the same size: LRU, LRU with LFU, and Belady's optimum.

    python test/bench/cache_policies.py [--only MODEL] [--tokens 64] [--out FILE.json]

The trace is what decoding reads: every weight in the order of the plan's steps, once per token. The
cache is as large as what the plan holds of weights: resident ones, and the staging slots at their
largest. It caches whole weights, or pieces of 1 MiB (--piece), which favours the caches: the plan's
pieces are what its kernels take. Evicted are, on a miss:

    LRU        what was used longest ago
    LRU+LFU    what was used least often, of these what was used longest ago
    optimal    what is used again last (Belady, with its bypass), which no cache can know

A weight that is larger than the cache is read through it. Bytes are averages per token after the
first eight tokens.
"""

import argparse
import collections
import heapq
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

import suite  # noqa: E402  (needs the path above)
from suite import REPO, Failure, Tool  # noqa: E402

MODELS = ("1.1b-fp32", "0.5b-fp16")
BUDGETS = (75, 50, 25, 10)
WARM = 8


def lru(trace, sizes, capacity):
    """Yields the bytes moved for each access."""
    cache, held = collections.OrderedDict(), 0
    for key in trace:
        if key in cache:
            cache.move_to_end(key)
            yield 0
            continue
        yield sizes[key]
        if sizes[key] > capacity:
            continue
        while held + sizes[key] > capacity:
            held -= cache.popitem(last=False)[1]
        cache[key] = sizes[key]
        held += sizes[key]


def lru_lfu(trace, sizes, capacity):
    """The same; counts of uses are kept for what is not in the cache, too."""
    uses, last, cache, held, heap = collections.Counter(), {}, set(), 0, []
    for now, key in enumerate(trace):
        uses[key] += 1
        last[key] = now
        moved = 0
        if key not in cache:
            moved = sizes[key]
            if moved <= capacity:
                while held + moved > capacity:
                    count, when, victim = heapq.heappop(heap)
                    if victim in cache and (count, when) == (uses[victim], last[victim]):
                        cache.remove(victim)
                        held -= sizes[victim]
                cache.add(key)
                held += moved
        if key in cache:
            heapq.heappush(heap, (uses[key], now, key))
        yield moved


def optimal(trace, sizes, capacity):
    """The same; what is used again last goes first, be it what has just come."""
    following, seen = [0] * len(trace), {}
    for now in range(len(trace) - 1, -1, -1):
        following[now] = seen.get(trace[now], len(trace) + 1)
        seen[trace[now]] = now
    cache, held, heap = {}, 0, []
    for now, key in enumerate(trace):
        yield 0 if key in cache else sizes[key]
        if key not in cache:
            held += sizes[key]
        cache[key] = following[now]
        heapq.heappush(heap, (-following[now], key))
        while held > capacity:
            when, victim = heapq.heappop(heap)
            if cache.get(victim) == -when:
                held -= sizes[victim]
                del cache[victim]


POLICIES = {"LRU": lru, "LRU+LFU": lru_lfu, "optimal": optimal}


def per_token(policy, weights, capacity, tokens):
    """Average bytes moved per token, weights given as [(key, bytes)] in order."""
    sizes = dict(weights)
    trace = [key for _ in range(tokens) for key, _ in weights]
    moved = list(policy(trace, sizes, capacity))
    return sum(moved[WARM * len(weights) :]) / (tokens - WARM)


def cut(weights, piece):
    for name, size in weights:
        for at in range(0, size, piece):
            yield f"{name}@{at}", min(piece, size - at)


class Model:
    def __init__(self, tool, options, name):
        self.tool, self.name = tool, name
        script = REPO / "test" / "models" / "synthetic_llama.py"
        made = subprocess.run([sys.executable, script, name], stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise Failure(f"{script} {name} ended with {made.returncode}")
        self.model = pathlib.Path(made.stdout.strip())
        self.folder = options.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def compile(self, budget):
        plan = self.folder / "cache.plan"
        settings = ("-o", plan, "--vram", budget, "--ctx", 2048, "--json")
        done = self.tool.run("compile", self.model, *settings, timeout=1800)
        return (plan, json.loads(done.stdout)) if done.returncode == 0 else (None, None)

    def weights(self):
        """What decoding one token reads, in order: [(name, bytes)]. The embedding table, of which
        it reads one row, is left out."""
        plan, _ = self.compile("unbounded")
        inspected = self.tool.json("inspect", plan)
        found = [b for b in inspected["buffers"] if b["kind"] == "weight"]
        return [(b["name"], b["size"]) for b in found if not b["name"].startswith("embed.")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=pathlib.Path, default=REPO / "build" / "bin")
    parser.add_argument("--only", action="append", choices=MODELS)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--piece", type=int, default=1 << 20)
    parser.add_argument("--folder", type=pathlib.Path, default=REPO / "build" / "streaming")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    tool = Tool(options)
    rows = []
    heads = [f"{name}{what}" for what in ("", " in pieces") for name in POLICIES]
    print(f"MB per token.\n\n| model | budget | cache | plan | {' | '.join(heads)} |")
    print("|---" * (4 + len(heads)) + "|")
    for name in options.only or MODELS:
        model = Model(tool, options, name)
        weights = model.weights()
        pieces = list(cut(weights, options.piece))
        total = sum(size for _, size in weights)
        for percent in BUDGETS:
            _, report = model.compile(total * percent // 100)
            if report is None:
                print(f"| {name} | {percent} % | refused |" + " |" * (1 + len(heads)))
                continue
            capacity = report["resident_weight_bytes"] + report["staging_bytes"]
            decode = next(e for e in report["entries"] if e["name"] == "decode")
            row = {"model": name, "percent": percent, "cache_bytes": capacity}
            row["plan"] = decode["streamed_bytes"]
            for what, trace in (("", weights), (" in pieces", pieces)):
                for policy, function in POLICIES.items():
                    moved = per_token(function, trace, capacity, options.tokens)
                    row[policy + what] = moved
            rows.append(row)
            cells = " | ".join(f"{row[key] / 1e6:.0f}" for key in ("plan", *heads))
            print(f"| {name} | {percent} % | {capacity / 1e6:.0f} MB | {cells} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")
    worse = [r for r in rows if r["plan"] > min(r["LRU"], r["LRU+LFU"])]
    print(f"\n{len(rows)} budgets; in {len(worse)} the plan moves more than LRU or LRU+LFU")
    return 1 if worse or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
