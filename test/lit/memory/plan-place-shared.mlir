// RUN: llmc-opt %s --plan-place=budget=24576 | FileCheck %s

// Uses with no other streamed weight between them share one copy; a later use
// streams again. At the minimum (the matrix 16384, the scales 2048, activations
// of 2304: in pages 24576) a product is cut into panels of 64 outputs: 4096
// bytes of codes, and the scales of these outputs, 256 bytes of the resident.

plan.segment @segment.t size 16384 {kind = "panel64", layout = "nk", n = 64, k = 64, dtype = "f32"} from [@t]
plan.segment @segment.q size 32768 {kind = "q_codes", format = "int8", n = 512, k = 64, bits = 8, block_size = 64, layout = "nk", dtype = "f32"} from [@q]
plan.segment @segment.s size 2048 {kind = "q_scales", format = "int8", n = 512, k = 64, bits = 8, block_size = 64, layout = "nk", dtype = "f32"} from [@q]
plan.buffer @weight.t weight device size 16384 from @segment.t
plan.buffer @weight.q weight device size 32768 from @segment.q
plan.buffer @weight.s weight device size 2048 from @segment.s
plan.buffer @main.x input device size 256 in @main
plan.buffer @main.a activation device size 256 in @main
plan.buffer @main.b activation device size 256 in @main
plan.buffer @main.c activation device size 2048 in @main
plan.buffer @main.y output device size 256 in @main

// The scales are small and stay.
// CHECK: plan.buffer @weight.s weight
// CHECK-NOT: weight device
// CHECK: plan.buffer @main.stream.t staging device size 16384 live [2, 7) in @main
// CHECK: plan.buffer @main.stream.q staging device size 4096 live [9, 13) in @main
// CHECK: plan.buffer @main.stream.q.7 staging device size 4096 live [51, 55) in @main
// CHECK: plan.buffer @main.stream.t.1 staging device size 16384 live [57, 61) in @main
// CHECK: plan.entry @main
// CHECK: plan.copy 16384 from @segment.t + 0 to @main.stream.t + 0
// CHECK-NEXT: plan.signal 1 on copy
// CHECK-NEXT: plan.wait 1 on compute
// CHECK-NEXT: plan.launch {{.*}}read @main.stream.t :{{.*}}name "0"
// CHECK-NEXT: plan.launch {{.*}}read @main.stream.t :{{.*}}name "1"
// CHECK: plan.copy 4096 from @segment.q + 0 to @main.stream.q + 0
// CHECK: plan.launch "linear_quant"(read @main.b : f32[1, 64], read @main.stream.q : u8[64, 64], read @weight.s : f32[64, 1], update @main.c : f32[1, 512]) ints [64, 64, 8, 64, 0, 0, 0, 0, 128, 0] name "2"
// CHECK: plan.copy 4096 from @segment.q + 28672 to @main.stream.q.7 + 0
// CHECK: plan.launch "linear_quant"({{.*}}, read @main.stream.q.7 : u8[64, 64], read @weight.s + 1792 : f32[64, 1], update @main.c : f32[1, 512]) ints [64, 64, 8, 64, 0, 0, 0, 0, 128, 448] name "2"
// CHECK: plan.copy 16384 from @segment.t + 0 to @main.stream.t.1 + 0
// CHECK: plan.launch {{.*}}read @main.stream.t.1 :{{.*}}name "3"
plan.entry @main symbols {} inputs [] outputs [] derived {} {
  plan.launch "linear"(read @main.x : f32[1, 64], read @weight.t : f32[64, 64] panel64, write @main.a : f32[1, 64]) ints [0, 0] name "0"
  plan.launch "linear"(read @main.a : f32[1, 64], read @weight.t : f32[64, 64] panel64, write @main.b : f32[1, 64]) ints [0, 0] name "1"
  plan.launch "linear_quant"(read @main.b : f32[1, 64], read @weight.q : u8[512, 64], read @weight.s : f32[512, 1], write @main.c : f32[1, 512]) ints [512, 64, 8, 64, 0, 0, 0, 0, 128] name "2"
  plan.launch "linear"(read @main.c : f32[1, 64], read @weight.t : f32[64, 64] panel64, write @main.y : f32[1, 64]) ints [0, 0] name "3"
}
