// RUN: llmc-opt %s --plan-place=budget=167936 | FileCheck %s

// 100 outputs of 3x3 windows over 64 channels: 100 * 64 * 9 * 4 = 230400 bytes
// of weights, which are cut into the first 64 outputs, 147456 bytes, and the
// other 36, 82944. With x 4096, y 6400 and x2 2048 that is 160000, behind the
// bias from the next page on, since large slots begin at pages: 164096, in pages
// 167936.
// Of two images the outputs do not lie together: those weights stream whole.

plan.segment @segment.w size 230400 {kind = "raw"} from [@w]
plan.segment @segment.b size 400 {kind = "raw"} from [@b]
plan.segment @segment.two size 73728 {kind = "raw"} from [@two]
plan.buffer @weight.w weight device size 230400 from @segment.w
plan.buffer @weight.b weight device size 400 from @segment.b
plan.buffer @weight.two weight device size 73728 from @segment.two
plan.buffer @main.x input device size 4096 in @main
plan.buffer @main.y output device size 6400 in @main
plan.buffer @main.x2 input device size 2048 in @main
plan.buffer @main.y2 output device size 16384 in @main
plan.entry @main symbols {} inputs [] outputs [] derived {} {
  plan.launch "conv"(read @main.x : f32[1, 64, 4, 4], read @weight.w : f32[100, 64, 3, 3], read @weight.b : f32[100], write @main.y : f32[1, 100, 4, 4]) ints [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] name "one"
  plan.launch "conv"(read @main.x2 : f32[2, 16, 4, 4], read @weight.two : f32[128, 16, 3, 3], write @main.y2 : f32[2, 128, 4, 4]) ints [2, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1] name "two images"
}

// CHECK: minimum = 167936
// CHECK: plan.copy 147456 from @segment.w + 0 to @main.stream.w + 0
// CHECK: plan.launch "conv"(read @main.x : f32[1, 64, 4, 4], read @main.stream.w : f32[64, 64, 3, 3], read @weight.b : f32[64], write @main.y : f32[1, 64, 4, 4]) ints [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] name "one"
// CHECK: plan.copy 82944 from @segment.w + 147456 to @main.stream.w.1 + 0
// CHECK: plan.launch "conv"(read @main.x : f32[1, 64, 4, 4], read @main.stream.w.1 : f32[36, 64, 3, 3], read @weight.b + 256 : f32[36], write @main.y + 4096 : f32[1, 36, 4, 4])
// CHECK: plan.copy 73728 from @segment.two + 0 to @main.stream.two + 0
// CHECK: plan.launch "conv"(read @main.x2 : f32[2, 16, 4, 4], read @main.stream.two : f32[128, 16, 3, 3], write @main.y2 : f32[2, 128, 4, 4])
