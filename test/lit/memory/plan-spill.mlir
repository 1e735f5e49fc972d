// RUN: llmc-opt %s --plan-spill=resident=100 --plan-liveness | FileCheck %s
// RUN: llmc-opt %s --plan-spill --plan-liveness | FileCheck %s --check-prefix=ALL

// One state for keys and values: 512 tokens in 8 blocks of 64, each of
// 64 * 1 * 8 * 4 = 2048 bytes. 100 tokens are 2 blocks, and one more is the one
// that is being filled; the other 6 come in
// 4 windows: blocks 2, 3-4, 5 and 6-7.

// CHECK-DAG: plan.buffer @state.k state device size 6144
// CHECK-DAG: plan.buffer @state.k.below state disk size 12288 at 0
// CHECK-DAG: plan.state @kv.k {{.*}} resident 2 spill @state.k.below
// CHECK-DAG: plan.buffer @decode.carry activation device size 40
// CHECK-DAG: plan.buffer @decode.below.kv.k staging device size 2048
// CHECK-DAG: plan.buffer @decode.below.kv.k.1 staging device size 4096
// ALL-NOT: below
plan.buffer @decode.in input device size 32 in @decode
plan.buffer @decode.out output device size 32 in @decode
plan.buffer @state.k state device size 16384
plan.state @kv.k buffer @state.k "f32" outer [1, 1] capacity 512 by 64 inner [8] input "past.0" output "present.0"

// CHECK-LABEL: plan.entry @decode
plan.entry @decode symbols {past = [0, 511]} past "past" new_tokens "1"
    inputs [{name = "x", role = "generic", dtype = "f32", buffer = @decode.in, dims = [1, 1, 1, 8]}]
    outputs [{name = "y", role = "generic", dtype = "f32", buffer = @decode.out, dims = [1, 1, 1, 8]}] derived {} {
  // The resident part first, then the windows: each is restored, appended to,
  // seen and spilled. When its copy begins is plan-place's to say.
  // CHECK-NEXT: "kv_append"(read @decode.in : f32[1, 1, 1, 8], update @state.k : f32[1, 1, 128, 8]) params ["past"] ints [64, 2, 0]
  // CHECK-NEXT: "attention"(read @decode.in : f32[1, 1, 1, 8], read @state.k : f32[1, 1, 128, 8], read @state.k : f32[1, 1, 128, 8], write @decode.carry : f32[1, 1, 1, 10]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64, 0, 0, 0, 0, 1, 0]
  // CHECK-NEXT: plan.restore 2048 of @kv.k + 2 to @decode.below.kv.k
  // CHECK-NEXT: "kv_append"(read @decode.in : f32[1, 1, 1, 8], update @decode.below.kv.k : f32[1, 1, 64, 8]) params ["past"] ints [64, 2, 128]
  // CHECK-NEXT: "attention"({{.*}}, update @decode.carry : f32[1, 1, 1, 10]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64, 0, 0, 0, 128, 0, 0]
  // CHECK-NEXT: plan.spill 2048 of @kv.k + 2 from @decode.below.kv.k
  // CHECK-NEXT: plan.restore 4096 of @kv.k + 3 to @decode.below.kv.k.1
  // CHECK: plan.spill 4096 of @kv.k + 3 from @decode.below.kv.k.1
  // CHECK-NEXT: plan.restore 2048 of @kv.k + 5 to @decode.below.kv.k.2
  // CHECK: plan.spill 2048 of @kv.k + 5 from @decode.below.kv.k.2
  // CHECK-NEXT: plan.restore 4096 of @kv.k + 6 to @decode.below.kv.k.3
  // CHECK-NEXT: "kv_append"({{.*}}, update @decode.below.kv.k.3 : f32[1, 1, 128, 8]) params ["past"] ints [64, 2, 384]
  // CHECK-NEXT: "attention"({{.*}}, read @decode.carry : f32[1, 1, 1, 10], write @decode.out : f32[1, 1, 1, 8]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64, 0, 0, 0, 384, 0, 1]
  // CHECK-NEXT: plan.spill 4096 of @kv.k + 6 from @decode.below.kv.k.3
  plan.launch "kv_append"(read @decode.in : f32[1, 1, 1, 8], update @state.k : f32[1, 1, 512, 8]) params ["past"] ints [64, 2] name "append"
  plan.launch "attention"(read @decode.in : f32[1, 1, 1, 8], read @state.k : f32[1, 1, 512, 8], read @state.k : f32[1, 1, 512, 8], write @decode.out : f32[1, 1, 1, 8]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64] floats [0.5, 0.0] name "attention"
}
