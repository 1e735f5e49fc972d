// RUN: llmc-opt %s --plan-cost | FileCheck %s

// A machine for mental arithmetic: an operation, a byte from memory and a score
// take one nanosecond each, a byte over the link two, and a copy starts after
// 1000.
module attributes {plan.rates = {f32 = [1.0e9, 1.0e9], attention = [1.0e9, 1.0e9], elementwise = 1.0e9,
    score_seconds = 1.0e-9, memory = 1.0e9, scattered = 1.0e9, cache = 1.0e9, threads = 1.0,
    launch_seconds = 0.0, hand_over_seconds = 0.0, link = 5.0e8, link_seconds = 1.0e-6, copy_seconds = 0.0,
    cached_file_bytes = 0.0, compute_while_copying = 1.0}} {
plan.segment @segment.t size 4096000 {kind = "raw"} from [@t]
plan.segment @segment.w size 1048576 {kind = "panel64", layout = "nk", n = 512, k = 512, dtype = "f32"} from [@w]
plan.state @kv.k buffer @state.k "f32" outer [1, 1] capacity 1024 by 64 inner [4] input "past" output "present"
plan.buffer @weight.t weight device size 4096000 from @segment.t
plan.buffer @weight.w weight device size 1048576 from @segment.w
plan.buffer @state.k state device size 16384

// The table of the gather has 4096000 bytes, but one row of 2048 is read, with
// an index of 8, and 2048 are written: 4104.
// One row by 512 x 512: 2 * 512 * 512 = 524288 operations; the weight has
// 1048576 bytes, x and y 2048 each: 1052672.
// `past` is at half of its bound of 1023, so there are 512 tokens with this one
// and two heads of 4 features: 1024 scores of 2 * 8 operations, 16384 + 1024.
// Keys and values of one head are 512 * 8 * 4 = 16384 bytes, q and out 32 each.
// 4104 + 1052672 + 17408 = 1074184.
// CHECK: plan.entry @decode
// CHECK-SAME: plan.cost = {bound = "memory", compute = 1074184 : i64, link = 0 : i64, nanoseconds = 1074184 : i64, stall = 0 : i64}
// CHECK: plan.launch "gather"{{.*}}cost = {bound = "memory", bytes = 4104 : i64, nanoseconds = 4104 : i64, operations = 512 : i64}
// CHECK: plan.launch "linear"{{.*}}cost = {bound = "memory", bytes = 1052672 : i64, nanoseconds = 1052672 : i64, operations = 524288 : i64}
// CHECK: plan.launch "attention"{{.*}}cost = {bound = "compute", bytes = 16448 : i64, nanoseconds = 17408 : i64, operations = 16384 : i64}
plan.buffer @decode.i input device size 8 in @decode
plan.buffer @decode.x activation device size 2048 in @decode
plan.buffer @decode.q activation device size 2048 in @decode
plan.buffer @decode.y output device size 32 in @decode
plan.entry @decode symbols {past = [0, 1023]} past "past" inputs [] outputs [] derived {} {
  plan.launch "gather"(read @weight.t : f32[2000, 512], read @decode.i : i64[1], write @decode.x : f32[1, 512]) ints [0] name "embed"
  plan.launch "linear"(read @decode.x : f32[1, 512], read @weight.w : f32[512, 512] panel64, write @decode.q : f32[1, 512]) ints [0, 0] name "w"
  plan.launch "attention"(read @decode.q : f32[1, 2, 1, 4], read @state.k : f32[1, 1, 1024, 4], read @state.k : f32[1, 1, 1024, 4], write @decode.y : f32[1, 2, 1, 4]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64] floats [1.0, 0.0] name "attention"
}

// The copy takes 2 * 1048576 + 1000 and the launch, 1052672, waits for it: in
// all 3150824.
// CHECK: plan.entry @main
// CHECK-SAME: plan.cost = {bound = "link", compute = 1052672 : i64, link = 2098152 : i64, nanoseconds = 3150824 : i64, stall = 2098152 : i64}
// CHECK: plan.copy 1048576 {{.*}}cost = {nanoseconds = 2098152 : i64}
plan.buffer @main.x input device size 2048 in @main
plan.buffer @main.w staging device size 1048576 in @main
plan.buffer @main.y output device size 2048 in @main
plan.entry @main symbols {} inputs [] outputs [] derived {} {
  plan.copy 1048576 from @segment.w + 0 to @main.w + 0
  plan.signal 0 on copy
  plan.wait 0 on compute
  plan.launch "linear"(read @main.x : f32[1, 512], read @main.w : f32[512, 512] panel64, write @main.y : f32[1, 512]) ints [0, 0] name "w"
}
}
