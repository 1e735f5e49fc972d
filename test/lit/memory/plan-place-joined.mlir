// RUN: llmc-opt %s --plan-place=budget=40960 | FileCheck %s

// Three joined products in pieces of whole panels, 16384 bytes each.
//   split: 96 and 32 outputs of 64 inputs, in 128 + 64 = 192 rows: three panels
//   gated: 64 outputs, a panel of 2 x 64 inputs: one piece of 32768 bytes
//   add:   128 outputs of 64 inputs: two panels

plan.segment @segment.qk size 49152 {kind = "panel64_joined", dtype = "f32", parts = [{layout = "nk", n = 96, k = 64}, {layout = "nk", n = 32, k = 64}]} from [@q, @k]
plan.segment @segment.gu size 32768 {kind = "panel64_interleaved", dtype = "f32", parts = [{layout = "nk", n = 64, k = 64}, {layout = "kn", n = 64, k = 64}]} from [@g, @u]
plan.segment @segment.o size 32768 {kind = "panel64", layout = "nk", n = 128, k = 64, dtype = "f32"} from [@o]
plan.buffer @weight.qk weight device size 49152 from @segment.qk
plan.buffer @weight.gu weight device size 32768 from @segment.gu
plan.buffer @weight.o weight device size 32768 from @segment.o
plan.buffer @decode.x input device size 256 in @decode
plan.buffer @decode.q output device size 384 in @decode
plan.buffer @decode.k output device size 128 in @decode
plan.buffer @decode.h activation device size 256 in @decode
plan.buffer @decode.r input device size 512 in @decode
plan.buffer @decode.y output device size 512 in @decode
plan.entry @decode symbols {} inputs [] outputs [] derived {} {
  plan.launch "linear_split"(read @decode.x : f32[1, 64], read @weight.qk : f32[192, 64] panel64, write @decode.q : f32[1, 96], write @decode.k : f32[1, 32]) ints [0, 0, 2, 96, 0, 32, 0] name "qk"
  plan.launch "linear_gated"(read @decode.x : f32[1, 64], read @weight.gu : f32[64, 128] panel64, write @decode.h : f32[1, 64]) ints [2] name "gate"
  plan.launch "linear_add"(read @decode.h : f32[1, 64], read @weight.o : f32[128, 64] panel64, read @decode.r : f32[1, 128], write @decode.y : f32[1, 128]) ints [0, 0] name "o"
}

// What is cut names the parts that it has outputs of, and where they go to.
// CHECK: plan.launch "linear_split"(read @decode.x : f32[1, 64], read @{{.*}} : f32[64, 64] panel64, update @decode.q : f32[1, 96]) ints [0, 0, 1, 64, 0] name "qk"
// CHECK: plan.launch "linear_split"(read @decode.x : f32[1, 64], read @{{.*}} : f32[64, 64] panel64, update @decode.q : f32[1, 96]) ints [0, 0, 1, 32, 64] name "qk"
// CHECK: plan.launch "linear_split"(read @decode.x : f32[1, 64], read @{{.*}} : f32[64, 64] panel64, write @decode.k : f32[1, 32]) ints [0, 0, 1, 32, 0] name "qk"
// CHECK: plan.launch "linear_gated"(read @decode.x : f32[1, 64], read @{{.*}} : f32[64, 128] panel64, write @decode.h : f32[1, 64]) ints [2] name "gate"
// The residual stays whole, as the result.
// CHECK: plan.launch "linear_add"(read @decode.h : f32[1, 64], read @{{.*}} : f32[64, 64] panel64, read @decode.r : f32[1, 128], update @decode.y : f32[1, 128]) ints [0, 0, 0] name "o"
// CHECK: plan.launch "linear_add"({{.*}}, read @decode.r : f32[1, 128], update @decode.y : f32[1, 128]) ints [0, 0, 64] name "o"
