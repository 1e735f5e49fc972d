#!/usr/bin/env python3
"""Greedy decoding by a peer, in a process of its own: prints JSON.

    python test/bench/peer_run.py llama.cpp FILE.gguf TOKENS COUNT THREADS CONTEXT
    python test/bench/peer_run.py accelerate FOLDER TOKENS COUNT THREADS CONTEXT CPU_BYTES OFFLOAD

TOKENS are separated by commas. `tokens_per_second` is that of the tokens after the first.
"""

import json
import sys
import time


def report(chosen, begin, **more):
    """`chosen` are the tokens; `begin` when the first of them was known."""
    seconds = time.monotonic() - begin
    print(json.dumps({"tokens": chosen, "tokens_per_second": (len(chosen) - 1) / seconds, **more}))


def llama_cpp(file, prompt, count, threads, context):
    import llama_cpp

    llm = llama_cpp.Llama(
        model_path=file,
        n_ctx=context,
        n_threads=threads,
        n_threads_batch=threads,
        use_mmap=True,
        n_batch=128,
        verbose=False,
    )
    llm.eval(prompt)
    chosen = [llm.sample(temp=0.0, repeat_penalty=1.0)]
    begin = time.monotonic()
    while len(chosen) < count:
        llm.eval(chosen[-1:])
        chosen.append(llm.sample(temp=0.0, repeat_penalty=1.0))
    report(
        chosen,
        begin,
        system=llama_cpp.llama_print_system_info().decode(),
        version=llama_cpp.__version__,
    )


def accelerate(folder, prompt, count, threads, context, cpu_bytes, offload):
    import accelerate as package
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        device_map="auto",
        max_memory={"cpu": cpu_bytes},
        offload_folder=offload,
    ).eval()
    held = model.hf_device_map.values() if hasattr(model, "hf_device_map") else ["cpu"]
    with torch.inference_mode():
        state = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
        chosen = [int(state.logits[0, -1].argmax())]
        begin = time.monotonic()
        while len(chosen) < count:
            state = model(
                torch.tensor([chosen[-1:]]), past_key_values=state.past_key_values, use_cache=True
            )
            chosen.append(int(state.logits[0, -1].argmax()))
    report(
        chosen,
        begin,
        version=package.__version__,
        parts_on_disk=sum(where == "disk" for where in held),
        parts=len(held),
    )


def main():
    peer, where, tokens, count, threads, context, *more = sys.argv[1:]
    arguments = (where, [int(t) for t in tokens.split(",")], int(count), int(threads), int(context))
    if peer == "llama.cpp":
        llama_cpp(*arguments)
    else:
        accelerate(*arguments, int(more[0]), more[1])


if __name__ == "__main__":
    main()
