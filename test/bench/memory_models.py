"""The models of the memory measurements, and what they share: paths, compiling, counting.

A case is a model with the options that bound its dimensions. `extra` holds bounds for the
comparison with ONNX Runtime, where a plan's bounds are exactly what is run.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "models")]

import suite  # noqa: E402  (needs the paths above)
import synthetic_graphs  # noqa: E402
from model_list import DECODERS, find  # noqa: E402
from suite import REPO, Failure, Skip  # noqa: E402

ALIGNMENT = 64  # what a buffer is padded to in the arena
SCRATCH = ("activation", "input", "output", "workspace", "scratch")
LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    kind: str  # cnn, encoder or decoder
    group: str
    source: object  # a function that gives the path
    arguments: tuple = ()

    def file(self):
        return self.source()


def light_file(name):
    import onnx

    folder = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    file = folder / f"light_{name}.onnx"
    if not file.exists():
        raise Skip(f"{file} is absent")
    return file


def cases():
    result = [
        Case(f"light {name}", "cnn", "light", lambda name=name: light_file(name)) for name in LIGHT
    ]
    for name in ("unet", "nas"):
        result.append(Case(name, "cnn", "synthetic", lambda name=name: synthetic_graphs.ensure(name)))
    shared = (
        ("ort-bert-toy", "encoder", "models/ort-bert-toy/bert_toy_optimized.onnx",
         ("--dim", "max_seq_len_in_batch=1..64", "--dim", "batch=1")),
        ("ort-gpt2-past", "decoder", "models/ort-gpt2-past/gpt2_past.onnx", ("--ctx", 8)),
    )  # fmt: skip
    for name, kind, path, arguments in shared:
        source = lambda name=name, path=path: find(name, path)  # noqa: E731
        result.append(Case(name, kind, "shared", source, arguments))
    seen = set()
    for model in DECODERS:
        name = model.export or model.name
        if name not in seen:
            seen.add(name)
            group = "shared" if model.path.startswith("models/") else "exports"
            result.append(Case(name, "decoder", group, model.file))
    result.append(
        Case(
            "llama-1b",
            "decoder",
            "synthetic",
            lambda: synthetic_graphs.ensure("llama-1b"),
            ("--prefill-chunk", 2048, "--ctx", 2048),
        )
    )
    return result


def parser(description):
    result = suite.parser(description)
    result.add_argument("--out", type=pathlib.Path, help="JSON goes there [beside --bin-dir]")
    result.add_argument("--group", action="append", help="light, synthetic, shared or exports")
    return result


def chosen(options):
    found = [
        c
        for c in cases()
        if (not options.only or c.name in options.only)
        and (not options.group or c.group in options.group)
    ]
    if options.list:
        print("\n".join(c.name for c in found))
        sys.exit(0)
    return found


def write_json(options, name, data):
    path = options.out or options.bin_dir.resolve().parent / f"{name}.json"
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"\n{path}")


class Compiler:
    """`llmc compile`, its plans in one folder that vanishes."""

    def __init__(self, options):
        self.tool = suite.Tool(options)
        self.tool.need()
        self.holder = tempfile.TemporaryDirectory(prefix="llmc-bench-")
        self.folder = options.keep or pathlib.Path(self.holder.name)
        self.flags = self.tool.run("compile", "--help").stdout

    def has(self, flag):
        return f"{flag} " in self.flags

    def report(self, case, *arguments):
        """What `compile --vram unbounded --json` prints."""
        path = self.folder / "model.plan"
        options = ("-o", path, "--vram", "unbounded", *case.arguments, *arguments)
        return self.tool.json("compile", case.file(), *options, timeout=1800)


def padded(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def region_of(report, entry):
    """(buffers of the entry's activations, first byte of the region)."""
    device = [b for b in report["buffers"] if b["tier"] == "device"]
    base = max((b["offset"] + padded(b["size"]) for b in device if not b["entry"]), default=0)
    own = [b for b in device if b["entry"] == entry]
    unknown = {b["kind"] for b in own} - set(SCRATCH)
    if unknown:
        raise Failure(f"buffers of kind {unknown} in an unbounded plan")
    return own, base


def peak_of(buffers, size):
    """The largest sum of size(buffer) alive at one step; lifetimes are half-open."""
    change = {}
    for b in buffers:
        if b["start"] < b["end"]:
            change[b["start"]] = change.get(b["start"], 0) + size(b)
            change[b["end"]] = change.get(b["end"], 0) - size(b)
    peak = live = 0
    for step in sorted(change):
        live += change[step]
        peak = max(peak, live)
    return peak


def overlaps(buffers):
    """Pairs of buffers that share a step and a byte; must be none."""
    events = []
    for b in buffers:
        if b["start"] < b["end"] and b["size"]:
            events += [(b["end"], 0, id(b), b), (b["start"], 1, id(b), b)]
    events.sort(key=lambda e: e[:3])
    live, found = {}, []
    for _, starts, key, b in events:
        if not starts:
            live.pop(key, None)
            continue
        for other in live.values():
            if b["offset"] < other["offset"] + other["size"] and (
                other["offset"] < b["offset"] + b["size"]
            ):
                found.append((b["name"], other["name"]))
        live[key] = b
    return found


def kib(size):
    return f"{size / 1024:,.1f}"


__all__ = ["REPO", "Failure", "Skip", "subprocess"]
