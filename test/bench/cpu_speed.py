#!/usr/bin/env python3
"""Decode and prefill of a 1.1 B Llama against the machine's limits, llama.cpp and ONNX Runtime.

    python test/bench/cpu_speed.py [--type fp32] [--program llmc] [--case decode-128] [--out FILE.json]

The limits are measured before and after each figure by llmc-kernel-rates: the best rate of plain
reads by all threads of a buffer that no cache holds, and of independent chains of fp32 FMAs and of
bf16 dots. A row is noisy where the read rates before and after differ by more than 10 %.

Same weights and threads for all (peer_files.py makes the GGUF). FLOPs are those of the products and
of causal attention, the head for one row; bytes of a decoded token are those of all weights but the
embedding table, and of keys and values up to the mean position. llama.cpp's keys and values are its
own default, f16, and it computes the head for one row too; its build is printed. ONNX Runtime gets
the graph with the last row sliced out before the head, and its caches bound as shared buffers; it
has no bf16, and fp16 is slower for it than fp32, so fp32 stands for all its settings.

The peers' virtual environment (--peers, LLMC_PEERS) is made as peers.py says.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "models"))

LAYERS, DIM, KV, HIDDEN, VOCABULARY, HEAD = 22, 2048, 256, 5632, 32000, 64
PER_LAYER = 2 * DIM * DIM + 2 * DIM * KV + 3 * DIM * HIDDEN
WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
# (prompt, tokens generated); the tables of the model end at 2,048.
CASES = {"decode-128": (112, 32), "decode-2048": (2000, 48), "prefill-512": (512, 0), "prefill-2048": (2048, 0)}
PROGRAMS = ("llmc", "llama.cpp", "onnxruntime")
CONTEXT = 2048


def flops(prompt):
    attention = 4 * DIM * prompt * (prompt + 1) / 2
    return LAYERS * (2.0 * PER_LAYER * prompt + attention) + 2.0 * DIM * VOCABULARY


def bytes_of_token(kind, position):
    return WIDTH[kind] * (LAYERS * (PER_LAYER + 2 * KV * position) + DIM * VOCABULARY)


def run(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-400:]}")
    return done.stdout


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = options.folder
        self.folder.mkdir(parents=True, exist_ok=True)

    def limits(self):
        program = self.options.bin_dir / "llmc-kernel-rates"
        return json.loads(run([program, "limits", self.options.threads]))

    def model(self, kind):
        script = REPO / "test" / "models" / "synthetic_llama.py"
        return pathlib.Path(run([sys.executable, script, f"1.1b-{kind}"]).strip())

    def llmc(self, kind, prompt, count):
        plan = self.folder / f"{kind}.plan"
        program = self.options.bin_dir / "llmc"
        if not (self.options.keep and plan.exists()):
            run([program, "compile", self.model(kind), "-o", plan, "--vram", "unbounded", "--ctx", CONTEXT,
                 "--weights", self.folder / f"{kind}.weights"])
        shape = ("--prompt", prompt, "--generate", count, "--threads", self.options.threads)
        runner = self.options.bin_dir / "llmc-run"
        got = json.loads(run([runner, "bench", plan, "--no-checksum", "--json", *shape]))
        return {
            "prefill_seconds": prompt / got["prefill_tokens_per_second"],
            "decode_seconds": 1 / got["decode_tokens_per_second"] if count else None,
        }

    def llama_cpp(self, kind, prompt, count):
        folder = self.folder / f"gguf-{kind}"
        python = self.options.peers / "bin" / "python"
        if not (folder / "model.gguf").exists():
            run([python, HERE / "peer_files.py", self.model(kind), folder, "gguf"])
        child = [python, __file__, "--child", "llama.cpp", folder / "model.gguf"]
        return json.loads(run([*child, prompt, count, self.options.threads]).splitlines()[-1])

    def onnxruntime(self, kind, prompt, count):
        if kind != "fp32":
            return None
        child = [sys.executable, __file__, "--child", "onnxruntime", self.model(kind)]
        return json.loads(run([*child, prompt, count, self.options.threads]).splitlines()[-1])

    def row(self, program, kind, case):
        prompt, count = CASES[case]
        before = self.limits()
        got = getattr(self, program.replace(".", "_"))(kind, prompt, count)
        if got is None:
            return None
        after = self.limits()
        reads = sorted((before["read_gb"], after["read_gb"]))
        row = {"program": program, "type": kind, "case": case, **got, "before": before, "after": after,
               "noisy": reads[1] > 1.1 * reads[0]}
        if count:
            row["gb"] = bytes_of_token(kind, prompt + count / 2) / got["decode_seconds"] / 1e9
            row["of_read"] = row["gb"] / (sum(reads) / 2)
        else:
            row["gflop"] = flops(prompt) / got["prefill_seconds"] / 1e9
            row["of_fma"] = row["gflop"] / max(before["fma_gflop"], after["fma_gflop"])
            dots = max(before["dot_bf16_gflop"], after["dot_bf16_gflop"])
            row["of_dot"] = row["gflop"] / dots if dots else None
        return row


def child_llama_cpp(file, prompt, count, threads):
    import llama_cpp

    llm = llama_cpp.Llama(model_path=file, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads,
                          n_batch=prompt, n_ubatch=512, use_mmap=False, verbose=False)
    tokens = [(i * 7919 + 13) % VOCABULARY for i in range(prompt)]
    # Once to warm up; the better of two where no token is generated.
    llm.eval(tokens[:16])
    seconds = []
    for _ in range(1 if count else 2):
        llm.reset()
        begin = time.perf_counter()
        llm.eval(tokens)
        seconds.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    for i in range(count):
        llm.eval([i + 5])
    return {
        "prefill_seconds": min(seconds),
        "decode_seconds": (time.perf_counter() - begin) / count if count else None,
        "version": llama_cpp.__version__,
        "system": llama_cpp.llama_print_system_info().decode(),
    }


def child_onnxruntime(file, prompt, count, threads):
    import numpy as np
    import onnx
    import onnxruntime

    file = pathlib.Path(file)
    model = onnx.load(file, load_external_data=False)
    head = next(n for n in model.graph.node if any("lm_head" in i for i in n.input))
    for name, value in (("last_begin", -1), ("last_end", 2**31), ("last_axis", 1)):
        model.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]))
    slicing = onnx.helper.make_node("Slice", [head.input[0], "last_begin", "last_end", "last_axis"], ["last_row"])
    model.graph.node.insert(list(model.graph.node).index(head), slicing)
    head.input[0] = "last_row"
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        dim.Clear()
    cut = file.with_name("model-last-row.onnx")
    onnx.save(model, cut)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(cut), options, ["CPUExecutionProvider"])
    finally:
        cut.unlink()
    make = onnxruntime.OrtValue.ortvalue_from_numpy
    caches = {i.name: make(np.zeros((1, KV // HEAD, CONTEXT, HEAD), np.float32))
              for i in session.get_inputs() if i.name.startswith("past")}

    def step(tokens, past):
        binding = session.io_binding()
        binding.bind_cpu_input("input_ids", np.array([tokens], np.int64))
        binding.bind_cpu_input("attention_mask", np.ones((1, past + len(tokens)), np.int64))
        for name, cache in caches.items():
            binding.bind_ortvalue_input(name, cache)
            binding.bind_ortvalue_output(name.replace("past_key_values", "present"), cache)
        binding.bind_output(session.get_outputs()[0].name)
        session.run_with_iobinding(binding)
        return binding.get_outputs()[-1]

    tokens = [(i * 7919 + 13) % VOCABULARY for i in range(prompt)]
    step(tokens[:16], 0)
    seconds = []
    for _ in range(1 if count else 2):
        begin = time.perf_counter()
        step(tokens, 0)
        seconds.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    for i in range(count):
        step([i + 5], prompt + i)
    return {
        "prefill_seconds": min(seconds),
        "decode_seconds": (time.perf_counter() - begin) / count if count else None,
        "version": onnxruntime.__version__,
    }


def text(row):
    what = f"{row['program']:12} {row['type']} {row['case']:13}"
    limits = f"read {row['before']['read_gb']:.1f} {row['after']['read_gb']:.1f} GB/s" + (" NOISY" if row["noisy"] else "")
    if "gb" in row:
        return f"{what} {row['gb']:7.1f} GB/s   {row['of_read']:6.1%} of read   {1 / row['decode_seconds']:.2f} tokens/s   {limits}"
    dot = f" {row['of_dot']:6.1%} of dot" if row["of_dot"] else ""
    return f"{what} {row['gflop']:7.1f} GFLOP/s {row['of_fma']:6.1%} of FMA{dot}   fma {row['after']['fma_gflop']:.0f} dot {row['after']['dot_bf16_gflop']:.0f}"


def main():
    if sys.argv[1:2] == ["--child"]:
        function = {"llama.cpp": child_llama_cpp, "onnxruntime": child_onnxruntime}[sys.argv[2]]
        print(json.dumps(function(sys.argv[3], *map(int, sys.argv[4:]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=pathlib.Path, default=REPO / "build" / "bin")
    peers = pathlib.Path(os.environ.get("LLMC_PEERS", "/work/venv-peers"))
    parser.add_argument("--peers", type=pathlib.Path, default=peers)
    parser.add_argument("--type", action="append", choices=WIDTH)
    parser.add_argument("--program", action="append", choices=PROGRAMS)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="use the plans that are there")
    parser.add_argument("--folder", type=pathlib.Path, default=REPO / "build" / "cpu_speed")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    bench, rows, systems = Bench(options), [], set()
    for kind in options.type or WIDTH:
        for program in options.program or PROGRAMS:
            for case in options.case or CASES:
                row = bench.row(program, kind, case)
                if row is None:
                    continue
                rows.append(row)
                if row.get("system"):
                    systems.add(f"llama.cpp {row['version']}: {row['system']}")
                print(text(row), flush=True)
    print("\n".join(sorted(systems)))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
