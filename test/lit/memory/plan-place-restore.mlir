// RUN: llmc-opt %s --plan-spill=resident=100 --plan-liveness --plan-place --plan-assign-addresses --verify-plan | FileCheck %s
// RUN: llmc-opt %s --plan-spill=resident=100 --plan-liveness --plan-place=policy=naive --plan-assign-addresses --verify-plan | FileCheck %s --check-prefix=NAIVE
// RUN: not llmc-opt %s --plan-spill=resident=100 --plan-liveness --plan-place=budget=1000 2>&1 | FileCheck %s --check-prefix=LEAST

// The state keeps two blocks of 2048 bytes and the one that is being filled; the
// six others come in windows of 1, 2, 1 and 2 (plan-spill.mlir). A group of
// restores is issued as soon as the window has room, and waited for where
// plan-spill had put it.
// CHECK: plan.entry @decode
// CHECK-NEXT: plan.signal 0 on compute
// CHECK-NEXT: plan.wait 0 on copy
// CHECK-NEXT: plan.restore 2048 of @kv.k + 2 to @decode.below.kv.k
// CHECK-NEXT: plan.signal 1 on copy
// CHECK-NEXT: "kv_append"({{.*}}update @state.k
// CHECK-NEXT: "attention"({{.*}}write @decode.carry
// CHECK-NEXT: plan.wait 1 on compute
// CHECK-NEXT: plan.signal 2 on compute
// CHECK-NEXT: plan.wait 2 on copy
// CHECK-NEXT: plan.restore 4096 of @kv.k + 3 to @decode.below.kv.k.1
// CHECK-NEXT: plan.signal 3 on copy
// CHECK-NEXT: "kv_append"({{.*}}update @decode.below.kv.k :
// CHECK-NEXT: "attention"({{.*}}update @decode.carry
// CHECK-NEXT: plan.spill 2048 of @kv.k + 2 from @decode.below.kv.k
// CHECK-NEXT: plan.wait 3 on compute
// CHECK-COUNT-2: plan.restore
// CHECK-NOT: plan.restore

// Naive: right before its use, and the next one not before this one is spilled.
// NAIVE: "attention"({{.*}}write @decode.carry
// NAIVE-NEXT: plan.signal 0 on compute
// NAIVE-NEXT: plan.wait 0 on copy
// NAIVE-NEXT: plan.restore 2048 of @kv.k + 2 to @decode.below.kv.k
// NAIVE-NEXT: plan.signal 1 on copy
// NAIVE-NEXT: plan.wait 1 on compute
// NAIVE-NEXT: "kv_append"
// NAIVE-NEXT: "attention"
// NAIVE-NEXT: plan.spill 2048 of @kv.k + 2
// NAIVE-NEXT: plan.signal 2 on compute

// 6144 of state; 64 each of input and output (one while the other is there) and
// carry, and one window of 4096.
// LEAST: at least 10432 bytes are needed
plan.buffer @decode.in input device size 32 in @decode
plan.buffer @decode.out output device size 32 in @decode
plan.buffer @state.k state device size 16384
plan.state @kv.k buffer @state.k "f32" outer [1, 1] capacity 512 by 64 inner [8] input "past.0" output "present.0"

plan.entry @decode symbols {past = [0, 511]} past "past" new_tokens "1"
    inputs [{name = "x", role = "generic", dtype = "f32", buffer = @decode.in, dims = [1, 1, 1, 8]}]
    outputs [{name = "y", role = "generic", dtype = "f32", buffer = @decode.out, dims = [1, 1, 1, 8]}] derived {} {
  plan.launch "kv_append"(read @decode.in : f32[1, 1, 1, 8], update @state.k : f32[1, 1, 512, 8]) params ["past"] ints [64, 2] name "append"
  plan.launch "attention"(read @decode.in : f32[1, 1, 1, 8], read @state.k : f32[1, 1, 512, 8], read @state.k : f32[1, 1, 512, 8], write @decode.out : f32[1, 1, 1, 8]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64] floats [0.5, 0.0] name "attention"
}
