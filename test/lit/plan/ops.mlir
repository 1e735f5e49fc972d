// RUN: llmc-opt %s | llmc-opt | FileCheck %s

graph.weight @w : tensor<100x64xf32> {file = "m.data", offset = 0 : i64, length = 25600 : i64, hash = "00000000000000000000000000000001"}

// CHECK: plan.segment @segment.w size 32768 {dtype = "f32", k = 64 : i64, kind = "panel64", layout = "nk", n = 100 : i64} from [@w]
plan.segment @segment.w size 32768 {kind = "panel64", layout = "nk", n = 100, k = 64, dtype = "f32"} from [@w]
// CHECK: plan.segment @segment.c size 4 {dtype = "u8", k = 4 : i64, kind = "q_zero", n = 1 : i64} value dense<1> : tensor<4xui8>
plan.segment @segment.c size 4 {kind = "q_zero", n = 1, k = 4, dtype = "u8"} value dense<1> : tensor<4xui8>
// CHECK: plan.state @kv.k buffer @state.k "f32" outer [1, 4] capacity 512 by 64 inner [16] input "past.0.key" output "present.0.key"
plan.state @kv.k buffer @state.k "f32" outer [1, 4] capacity 512 by 64 inner [16] input "past.0.key" output "present.0.key"
// CHECK: plan.buffer @weight.w weight device size 32768 at 64 from @segment.w
plan.buffer @weight.w weight device size 32768 at 64 from @segment.w
// CHECK: plan.buffer @state.k state device size 131072
plan.buffer @state.k state device size 131072
// CHECK: plan.buffer @constant.0 constant device size 8 data dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>
plan.buffer @constant.0 constant device size 8 data dense<[1.0, 2.0]> : tensor<2xf32>
// CHECK: plan.buffer @e.x activation host size 256 at 128 live [0, 2) in @e
plan.buffer @e.x activation host size 256 at 128 live [0, 2) in @e
// CHECK: plan.buffer @e.slot staging device size 32768 live [2, 7) in @e
plan.buffer @e.slot staging device size 32768 live [2, 7) in @e

// CHECK: plan.entry @e symbols {past = [0, 511], seq = [1, 128]} past "past" new_tokens "seq"
// CHECK-SAME: derived {mask = "ones"} {
plan.entry @e symbols {past = [0, 511], seq = [1, 128]} past "past" new_tokens "seq"
    inputs [{name = "x", role = "generic", dtype = "f32", buffer = @e.x, dims = ["seq", 64]}]
    outputs [{name = "present", role = "state", dtype = "f32", state = @kv.k, dims = [1]}]
    derived {mask = "ones"} {
  // CHECK-NEXT: plan.signal 0 on compute
  plan.signal 0 on compute
  // CHECK-NEXT: plan.wait 0 on copy
  plan.wait 0 on copy
  // CHECK-NEXT: plan.copy 32768 from @segment.w + 0 to @e.slot + 0
  plan.copy 32768 from @segment.w + 0 to @e.slot + 0
  // CHECK-NEXT: plan.signal 1 on copy
  plan.signal 1 on copy
  // CHECK-NEXT: plan.wait 1 on compute
  plan.wait 1 on compute
  // CHECK-NEXT: plan.launch "linear"(read @e.x + 64 : f32["seq + past", 64], read @e.slot : f32[100, 64] panel64, update @e.x : i64[]) params [1, "2 * seq"] ints [0, 0] floats [5.000000e-01] name "q"
  plan.launch "linear"(read @e.x + 64 : f32["seq + past", 64], read @e.slot : f32[100, 64] panel64, update @e.x : i64[]) params [1, "2 * seq"] ints [0, 0] floats [0.5] name "q"
}
