// RUN: not llmc-opt %s --plan-place=budget=24575 2>&1 | FileCheck %s
// RUN: not llmc-opt %s --plan-place="budget=24576 reserve=4096" 2>&1 | FileCheck %s --check-prefix=RESERVE
// RUN: not llmc-opt %s --plan-place=policy=best 2>&1 | FileCheck %s --check-prefix=POLICY

// The slot 16384, x and a 2 * 512, the state 4096: 21504, in pages 24576.
// CHECK: error: the budget of 24575 bytes cannot be met: at least 24576 bytes are needed, at step 'prefill: project' for weight.w (16384 bytes), state (KV cache) (4096 bytes), prefill.a (512 bytes); --quantize int8 shrinks the largest weight streamed at the peak, 16384 bytes
// With the reserve 25600, in pages 28672.
// RESERVE: error: the budget of 24576 bytes cannot be met: at least 28672 bytes
// POLICY: error: unknown policy 'best': planned or naive
plan.segment @segment.w size 16384 {kind = "panel64", layout = "nk", n = 64, k = 64, dtype = "f32"} from [@w]
plan.segment @segment.u size 16384 {kind = "panel64", layout = "nk", n = 64, k = 64, dtype = "f32"} from [@u]
plan.state @kv.k buffer @state.k "f32" outer [1] capacity 64 by 64 inner [16] input "past" output "present"
plan.buffer @weight.w weight device size 16384 from @segment.w
plan.buffer @weight.u weight device size 16384 from @segment.u
plan.buffer @state.k state device size 4096
plan.buffer @prefill.x input device size 512 in @prefill
plan.buffer @prefill.a activation device size 512 in @prefill
plan.buffer @prefill.y output device size 256 in @prefill
plan.entry @prefill symbols {} inputs [] outputs [] derived {} {
  plan.launch "linear"(read @prefill.x : f32[2, 64], read @weight.w : f32[64, 64] panel64, write @prefill.a : f32[2, 64]) ints [0, 0] name "project"
  plan.launch "linear"(read @prefill.a : f32[1, 64], read @weight.u : f32[64, 64] panel64, write @prefill.y : f32[1, 64]) ints [0, 0] name "2"
}
