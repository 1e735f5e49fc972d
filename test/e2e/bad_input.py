#!/usr/bin/env python3
"""Bad input: one clear line that names what and where, exit 1, and nothing half-written.

Models are small and made here with onnx; plans are made from genai-tiny-gpt2 of LLMC_SHARED, or
from the example model.
"""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import plan_page
import suite
from suite import REPO, SHARED, Failure, Skip

# --- expectations ------------------------------------------------------------------------------


class Case:
    """A folder for one test, and the check of one failing command."""

    def __init__(self, tool, folder, name):
        self.tool = tool
        self.folder = folder / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.out = self.folder / "out"
        self.out.mkdir()

    def save(self, model, name="model.onnx"):
        onnx.save(model, self.folder / name)
        return self.folder / name

    def fails(self, *arguments, says, status=1, lines=1, **keywords):
        """The command must end with `status`, print at most `lines` lines on stderr that together
        match every pattern in `says`, and leave the output folder as it was."""
        before = contents(self.out)
        done = self.tool.run(*arguments, timeout=120, **keywords)
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        shown = " / ".join(errors)[:600] or "(nothing)"
        if done.returncode != status:
            raise Failure(f"llmc {arguments[0]}: status {done.returncode}, not {status}: {shown}")
        if not 1 <= len(errors) <= lines:
            raise Failure(f"{len(errors)} lines on stderr, expected {lines}: {shown}")
        if re.search(r"terminate called|what\(\)|assert|LLVM ERROR|Stack dump", done.stderr):
            raise Failure(f"a crash, not a message: {shown}")
        for pattern in says:
            if not re.search(pattern, done.stderr, re.IGNORECASE):
                raise Failure(f"the message lacks /{pattern}/: {shown}")
        after = contents(self.out)
        if after != before:
            changed = sorted(set(after.items()) ^ set(before.items()))
            raise Failure(f"left behind: {[name for name, _ in changed]}")
        return errors[0][:160]

    def compile_fails(self, model, *options, says, **keywords):
        plan = self.out / "x.plan"
        budget = ("--vram", "unbounded")
        return self.fails("compile", model, "-o", plan, *budget, *options, says=says, **keywords)


def contents(folder):
    """Every file below a folder with its size and time."""
    result = {}
    for file in sorted(folder.rglob("*")):
        status = file.lstat()
        result[str(file.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return result


# --- small models ------------------------------------------------------------------------------


def tiny_model(nodes=None, opset=17, shape=("batch", 8), initializers=None, extra_opsets=()):
    """y = x @ w, or the nodes given; x is float [batch, 8]."""
    if initializers is None:
        weight = np.arange(64, dtype=np.float32).reshape(8, 8) / 64
        initializers = [numpy_helper.from_array(weight, "w")]
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initializers,
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, version) for domain, version in extra_opsets]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def external(location, offset=0, length=256):
    """w as external data."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 8])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tiny_model(initializers=[tensor])


# --- the model file ----------------------------------------------------------------------------


def good_control(case):
    """The tiny model compiles, verifies and runs: the failures below have other causes."""
    model = case.save(tiny_model())
    plan = case.out / "x.plan"
    case.tool.good("compile", model, "-o", plan, "--vram", "unbounded")
    case.tool.good("verify", plan)
    np.save(case.folder / "x.npy", np.ones((1, 8), np.float32))
    case.tool.good("run", plan, "--input", f"x={case.folder}/x.npy", "--output-dir", case.out)
    expected = np.ones((1, 8)) @ (np.arange(64).reshape(8, 8) / 64)
    if not np.allclose(np.load(case.out / "y.npy"), expected, atol=1e-5):
        raise Failure("x @ w is wrong")


def not_onnx(case):
    model = case.folder / "model.onnx"
    model.write_text("This is no model.\n" * 50)
    return case.compile_fails(model, says=["model.onnx", "onnx"])


def empty_file(case):
    model = case.folder / "model.onnx"
    model.write_bytes(b"")
    return case.compile_fails(model, says=["model.onnx", "empty|not an onnx|no graph"])


def absent_file(case):
    return case.compile_fails(case.folder / "nowhere.onnx", says=["nowhere.onnx", "no such|exist"])


def truncated(case):
    data = tiny_model().SerializeToString()
    model = case.folder / "model.onnx"
    for keep in (len(data) // 3, len(data) * 2 // 3, len(data) - 1):
        model.write_bytes(data[:keep])
        said = case.compile_fails(model, says=["model.onnx"])
    return said


def truncated_real(case):
    source = plan_source()
    model = case.folder / "model.onnx"
    data = source.read_bytes()
    model.write_bytes(data[: len(data) - len(data) // 7])
    return case.compile_fails(model, says=["model.onnx"])


def external_missing(case):
    return case.compile_fails(case.save(external("w.data")), says=[r"w\.data", r"\bw\b"])


def external_short(case):
    (case.folder / "w.data").write_bytes(bytes(200))
    return case.compile_fails(case.save(external("w.data")), says=[r"w\.data", "256", "200"])


def external_offset_past_end(case):
    (case.folder / "w.data").write_bytes(bytes(300))
    model = case.save(external("w.data", offset=2**62))
    return case.compile_fails(model, says=[r"w\.data", "300"])


def external_wrong_length(case):
    (case.folder / "w.data").write_bytes(bytes(300))
    model = case.save(external("w.data", length=100))
    return case.compile_fails(model, says=[r"\bw\b", "100", "256"])


def external_outside(case):
    (case.folder.parent / "w.data").write_bytes(bytes(256))
    said = case.compile_fails(case.save(external("../w.data")), says=[r"\.\./w\.data", "outside|folder"])
    absolute = str(case.folder.parent / "w.data")
    case.compile_fails(case.save(external(absolute)), says=["absolute|outside"])
    (case.folder / "sub").mkdir()
    case.compile_fails(case.save(external("sub/../../w.data")), says=["outside|folder"])
    return said


def external_link_outside(case):
    """A symbolic link out of the folder, which is no Hugging Face cache."""
    secret = case.folder.parent / "elsewhere.data"
    secret.write_bytes(bytes(256))
    (case.folder / "w.data").symlink_to(secret)
    return case.compile_fails(case.save(external("w.data")), says=[r"w\.data", "outside|folder"])


def unknown_operators(case):
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["a"], name="first_odd", domain="com.example"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="product"),
        helper.make_node("Quux", ["b"], ["y"], name="second_odd"),
    ]
    model = case.save(tiny_model(nodes, extra_opsets=[("com.example", 1)]))
    says = ["Frobnicate", r"com\.example", "first_odd", "Quux", "second_odd"]
    said = case.compile_fails(model, says=says, lines=3)
    case.fails("check", model, says=says, lines=3)
    return said


def unsupported_opset(case):
    for version in (6, 99):
        said = case.compile_fails(case.save(tiny_model(opset=version)), says=["opset", str(version)])
    return said


def cycle(case):
    nodes = [
        helper.make_node("MatMul", ["b", "w"], ["a"], name="product"),
        helper.make_node("Add", ["a", "x"], ["b"], name="sum"),
        helper.make_node("Neg", ["b"], ["y"], name="minus"),
    ]
    return case.compile_fails(case.save(tiny_model(nodes)), says=["cycle", "product|sum"])


def missing_value(case):
    nodes = [helper.make_node("Add", ["x", "ghost"], ["y"], name="sum")]
    return case.compile_fails(case.save(tiny_model(nodes)), says=["ghost", "sum"])


def unbounded_symbol(case):
    nodes = [helper.make_node("Neg", ["x"], ["y"], name="minus")]
    model = case.save(tiny_model(nodes, shape=("batch", "wibble")))
    return case.compile_fails(model, says=["wibble", "--dim wibble="])


def shape_mismatch(case):
    weight = np.zeros((9, 8), np.float32)
    model = tiny_model(initializers=[numpy_helper.from_array(weight, "w")])
    return case.compile_fails(case.save(model), says=["product", "8", "9"])


# --- what is no model ---------------------------------------------------------------------------


def gguf(case):
    file = case.folder / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(100))
    return case.compile_fails(file, says=["gguf", "onnx"])


def gguf_in_disguise(case):
    file = case.folder / "model.onnx"
    file.write_bytes(b"GGUF" + bytes(100))
    return case.compile_fails(file, says=["gguf", "onnx"])


def safetensors(case):
    file = case.folder / "model.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return case.compile_fails(file, says=["safetensors", "onnx"])


def empty_folder(case):
    folder = case.folder / "empty"
    folder.mkdir()
    return case.compile_fails(folder, says=["empty", "onnx"])


def several_models(case):
    folder = case.folder / "several"
    folder.mkdir()
    for name in ("one.onnx", "two.onnx"):
        onnx.save(tiny_model(), folder / name)
    return case.compile_fails(folder, says=[r"one\.onnx", r"two\.onnx"], lines=4)


# --- run and generate ----------------------------------------------------------------------------


def plan_source():
    for file in (
        SHARED / "models" / "genai-tiny-gpt2" / "past.onnx",
        REPO / "examples" / "shakespeare" / "model.onnx",
    ):
        if file.is_file():
            return file
    raise Skip("neither genai-tiny-gpt2 nor the example model is there")


def compiled(case, *options, model=None):
    plan = case.folder / "x.plan"
    model = model or plan_source()
    case.tool.good("compile", model, "-o", plan, "--vram", "unbounded", *options)
    return plan


def run_input(case):
    plan = compiled(case, model=case.save(tiny_model()))
    file = case.folder / "x.npy"

    def fails(says):
        inputs = ("--input", f"x={file}", "--output-dir", case.out)
        return case.fails("run", plan, *inputs, says=says)

    np.save(file, np.ones((1, 8), np.float64))
    said = fails([r"\bx\b", "float64|f64|double", "float32|f32|float"])
    np.save(file, np.ones((1, 8), np.int64))
    fails([r"\bx\b", "int64|i64"])
    np.save(file, np.ones((1, 9), np.float32))
    fails([r"\bx\b", "9", "8"])
    np.save(file, np.ones((8,), np.float32))
    fails([r"\bx\b"])
    np.save(file, np.ones((2, 8), np.float32))
    fails([r"\bx\b", "batch|2"])
    file.write_bytes(b"not numpy")
    fails([r"x\.npy"])
    file.unlink()
    fails([r"x\.npy"])
    case.fails("run", plan, "--output-dir", case.out, says=[r"\bx\b"])
    np.save(file, np.ones((1, 8), np.float32))
    case.fails(
        "run", plan, "--input", f"nosuch={file}", "--output-dir", case.out, says=["nosuch"]
    )
    return said


def token_range(case):
    plan = compiled(case)
    said = case.fails("generate", plan, "--tokens", "1,99999", "-n", 2, says=["99999"])
    case.fails("generate", plan, "--tokens", "1", "-n", 2, "--force", "70000", says=["70000"])
    negative = case.tool.run("generate", plan, "--tokens=-1", "-n", 2)
    if negative.returncode not in (1, 2) or "-1" not in negative.stderr:
        raise Failure(f"--tokens=-1: {negative.returncode}: {negative.stderr[:200]}")
    return said


def long_prompt(case):
    plan = compiled(case, "--ctx", 16)
    prompt = ",".join(["5"] * 17)
    return case.fails("generate", plan, "--tokens", prompt, "-n", 1, says=["17", "16", "context"])


# --- plan and weights files ------------------------------------------------------------------------


def weights_of(plan):
    files = list(plan.parent.glob("*.weights"))
    if len(files) != 1:
        raise Failure(f"weights beside the plan: {files}")
    return files[0]


def refused(case, plan, says):
    """Both loading to run and verifying refuse."""
    said = case.fails("generate", plan, "--tokens", "5,6", "-n", 1, says=says)
    case.fails("verify", plan, says=says)
    return said


def plan_truncated(case):
    plan = compiled(case)
    data = plan.read_bytes()
    for keep in (0, 10, 4096, len(data) // 2, len(data) - 1):
        plan.write_bytes(data[:keep])
        said = refused(case, plan, [r"x\.plan"])
    return said


def plan_flipped(case):
    plan = compiled(case)
    data = plan.read_bytes()
    random = np.random.default_rng(11)
    places = {*range(0, 64, 7), *random.integers(0, len(data), 40).tolist(), len(data) - 1}
    for place in sorted(places):
        bad = bytearray(data)
        bad[place] ^= 1 << int(random.integers(8))
        plan.write_bytes(bad)
        try:
            said = refused(case, plan, [r"x\.plan"])
        except Failure as failure:
            raise Failure(f"byte {place} of {len(data)} flipped: {failure}") from failure
    return f"{len(places)} places; {said}"


def weights_truncated(case):
    plan = compiled(case)
    weights = weights_of(plan)
    data = weights.read_bytes()
    for keep in (0, len(data) // 2, len(data) - 1):
        weights.write_bytes(data[:keep])
        said = refused(case, plan, [weights.name])
    weights.unlink()
    refused(case, plan, [weights.name])
    return said


def weights_flipped(case):
    """A flip in the first page is met at load; one in the weights at the latest by verify."""
    plan = compiled(case)
    weights = weights_of(plan)
    data = weights.read_bytes()
    for place in (3, len(data) // 2, len(data) // 3):
        bad = bytearray(data)
        bad[place] ^= 16
        weights.write_bytes(bad)
        try:
            said = case.fails("verify", plan, says=[weights.name])
        except Failure as failure:
            raise Failure(f"byte {place} of {len(data)} flipped: {failure}") from failure
    return said


def weights_swapped(case):
    """The weights of another model of the same shapes."""
    first, second = case.folder / "a", case.folder / "b"
    for folder, seed in ((first, 1), (second, 2)):
        folder.mkdir()
        values = np.random.default_rng(seed).standard_normal((8, 80)).astype(np.float32)
        model = tiny_model(initializers=[numpy_helper.from_array(values, "w")])
        onnx.save(model, folder / "model.onnx")
        compile_to = ("-o", folder / "x.plan", "--vram", "unbounded")
        case.tool.good("compile", folder / "model.onnx", *compile_to)
    weights = weights_of(first / "x.plan")
    shutil.copy(weights_of(second / "x.plan"), weights)
    np.save(case.folder / "x.npy", np.ones((1, 8), np.float32))
    inputs = ("--input", f"x={case.folder}/x.npy", "--output-dir", case.out)
    said = case.fails("run", first / "x.plan", *inputs, says=[weights.name])
    case.fails("verify", first / "x.plan", says=[weights.name])
    return said


def other_version(case):
    """A well-formed plan of a later format."""
    plan = compiled(case)
    data = plan.read_bytes()
    if plan_page.sealed(data) != data:
        raise Failure("the checksum of page 0 is not the one that this test computes")
    plan.write_bytes(plan_page.with_version(data, 77))
    return refused(case, plan, [r"x\.plan", "version", "77"])


def other_cpu(case):
    """A plan for a processor that no machine has: found, needed, and the command that helps."""
    plan = compiled(case)
    plan.write_bytes(plan_page.with_arch(plan.read_bytes(), "x86-64-v9"))
    says = [r"x86-64-v9", r"this machine is x86-64", "--arch"]
    return case.fails("generate", plan, "--tokens", "5,6", "-n", 1, says=says)


# --- disk ------------------------------------------------------------------------------------------


def tmpfs(case, size):
    """A small file system, mounted in a mount namespace of its own for each command."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skip("needs root and unshare for a small file system")
    mount = case.folder / "small"
    mount.mkdir()
    script = (
        f"mount -t tmpfs -o size={size} none {mount} || exit 99; "
        f"{case.tool.path} compile {plan_source()} -o {mount}/x.plan --vram unbounded; status=$?; "
        f"ls -A {mount} >&2; exit $status"
    )
    return ["unshare", "-m", "sh", "-c", script]


def disk_message(done):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == 99:
        raise Skip(f"no mount here: {done.stderr.strip()[:100]}")
    if done.returncode != 1:
        raise Failure(f"status {done.returncode}, expected 1: {done.stderr[-300:]}")
    if len(lines) != 1:
        raise Failure(f"expected one line and an empty folder: {lines}")
    return lines[0]


def too_little_disk(case):
    """Found before writing: the message carries what is needed and what is free."""
    case.tool.need()
    command = tmpfs(case, "64k")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = disk_message(done)
    if not re.search(r"space|disk|free", line) or len(re.findall(r"\d+", line)) < 2:
        raise Failure(f"the message lacks space needed and free: {line}")
    return line[:160]


SHIM = r"""
#include <sys/statfs.h>
#include <sys/statvfs.h>
static int big(void *p, int f64) {
  struct statvfs *s = p;
  (void)f64;
  s->f_bsize = s->f_frsize = 4096;
  s->f_blocks = s->f_bfree = s->f_bavail = 1 << 28;
  return 0;
}
int statvfs(const char *n, struct statvfs *s) { (void)n; return big(s, 0); }
int statvfs64(const char *n, struct statvfs64 *s) { (void)n; return big(s, 1); }
int fstatvfs(int fd, struct statvfs *s) { (void)fd; return big(s, 0); }
int fstatvfs64(int fd, struct statvfs64 *s) { (void)fd; return big(s, 1); }
"""


def disk_full(case):
    """Free space is reported as plenty (a preloaded statvfs says so) and then runs out."""
    case.tool.need()
    compiler = next(filter(None, map(shutil.which, ("cc", "clang-22", "clang", "gcc"))), None)
    if compiler is None:
        raise Skip("no C compiler for the statvfs shim")
    source, shim = case.folder / "shim.c", case.folder / "shim.so"
    source.write_text(SHIM)
    build = [compiler, "-D_GNU_SOURCE", "-D_LARGEFILE64_SOURCE", "-shared", "-fPIC"]
    subprocess.run([*build, "-o", str(shim), str(source)], check=True, capture_output=True)
    command = tmpfs(case, "256k")
    command[-1] = command[-1].replace(
        f"{case.tool.path} compile", f"LD_PRELOAD={shim} {case.tool.path} compile"
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = disk_message(done)
    if not re.search(r"no space|full|ENOSPC", line, re.IGNORECASE):
        raise Failure(f"the message does not say that the disk is full: {line}")
    return line[:160]


def file_size_limit(case):
    """A write that fails in the middle for another reason (EFBIG)."""
    import resource

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    case.tool.need()
    command = [str(case.tool.path), "compile", str(plan_source()), "--vram", "unbounded"]
    command += ["-o", str(case.out / "x.plan")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=limit
    )
    if done.returncode != 1:
        raise Failure(f"status {done.returncode}, expected 1: {done.stderr[-300:]}")
    left = contents(case.out)
    if left:
        raise Failure(f"left behind: {sorted(left)}")
    if not re.search(r"\.weights|x\.plan", done.stderr):
        raise Failure(f"the message names no file: {done.stderr[:300]}")
    return done.stderr.strip()[:160]


def unwritable(case):
    """The folder of -o does not exist."""
    model = case.save(tiny_model())
    return case.fails(
        "compile", model, "-o", case.folder / "nowhere" / "x.plan", "--vram", "unbounded",
        says=["nowhere"],
    )


# --- usage -------------------------------------------------------------------------------------------


def usage(case):
    """Exit 2 for a wrong command line; the message names the option."""
    model = case.save(tiny_model())
    said = case.compile_fails(model, "--no-such-option", says=["no-such-option"], status=2, lines=9)
    case.fails("compile", model, "--vram", "12X", says=["12X|vram"], status=2, lines=9)
    case.fails("frobnicate", says=["frobnicate"], status=2, lines=30)
    return said


TESTS = [
    good_control,
    not_onnx,
    empty_file,
    absent_file,
    truncated,
    truncated_real,
    external_missing,
    external_short,
    external_offset_past_end,
    external_wrong_length,
    external_outside,
    external_link_outside,
    unknown_operators,
    unsupported_opset,
    cycle,
    missing_value,
    unbounded_symbol,
    shape_mismatch,
    gguf,
    gguf_in_disguise,
    safetensors,
    empty_folder,
    several_models,
    run_input,
    token_range,
    long_prompt,
    plan_truncated,
    plan_flipped,
    weights_truncated,
    weights_flipped,
    weights_swapped,
    other_version,
    other_cpu,
    too_little_disk,
    disk_full,
    file_size_limit,
    unwritable,
    usage,
]


def main():
    options = suite.parser(__doc__).parse_args()
    tests = suite.Suite(options)
    tool = suite.Tool(options)
    folder = suite.work_folder(options)

    def run(name, function):
        tool.need()
        return function(Case(tool, folder, name))

    for function in TESTS:
        name = function.__name__.replace("_", "-")
        tests.add(name, run, name, function)
    return tests.run()


if __name__ == "__main__":
    sys.exit(main())
