// RUN: llmc-opt %s --plan-in-place=decisions-only | FileCheck %s

// Every candidate is answered and nothing is rewritten.

plan.segment @segment.w size 64 {kind = "raw"} from [@w]
plan.buffer @weight.w weight device size 64 from @segment.w
plan.buffer @e.in input device size 64 in @e
plan.buffer @e.row activation device size 16 in @e
plan.buffer @e.a activation device size 64 in @e
plan.buffer @e.b activation device size 64 in @e
plan.buffer @e.half activation device size 32 in @e
plan.buffer @e.c activation device size 64 in @e
plan.buffer @e.d activation device size 64 in @e
plan.buffer @e.big activation device size 1024 in @e
plan.buffer @e.part activation device size 64 in @e
plan.buffer @e.out output device size 64 in @e

// CHECK-LABEL: plan.entry @e
plan.entry @e symbols {seq = [1, 4]} inputs [{name = "in", role = "generic", dtype = "f32", buffer = @e.in, dims = [4, 4]}]
    outputs [{name = "out", role = "generic", dtype = "f32", buffer = @e.out, dims = [4, 4]}] derived {} {
  plan.launch "reduce"(read @e.in : f32[4, 4], write @e.row : f32[4]) ints [0, 1] name "row"
  // CHECK: in_place = ["over @e.in: no, step 1 'a' would write over @e.in, which is needed by step 2 'b'", "over @e.row: no, it is broadcast"]
  plan.launch "pointwise"(read @e.in : f32[4, 4], read @e.row : f32[4], write @e.a : f32[4, 4]) ints [2, 1, 50, 0, 0, 1, 0] name "a"
  // CHECK: in_place = ["over @weight.w: no, @weight.w is a weight", "over @e.in: yes"]
  plan.launch "pointwise"(read @weight.w : f32[4, 4], read @e.in : f32[4, 4], write @e.b : f32[4, 4]) ints [2, 1, 50, 0, 0, 1, 0] name "b"
  // CHECK: in_place = ["over @e.b: no, its elements have 32 bits, those of the result 16"]
  plan.launch "cast"(read @e.b : f32[16], write @e.half : f16[16]) name "half"
  // The kernel reads @e.c as a matrix while it writes it: not a candidate.
  // CHECK: "matmul"({{.*}}) ints [0, 0] floats [1.000000e+00] name "c"{{$}}
  plan.launch "matmul"(read @e.a : f32[4, 4], read @e.b : f32[4, 4], write @e.c : f32[4, 4]) ints [0, 0] floats [1.0] name "c"
  // CHECK: in_place = ["no copy of @e.c: no, it does not move one contiguous piece"]
  plan.launch "strided_copy"(read @e.c : f32[4, 4], write @e.d : f32[4, 4]) params [0, 0, 4, 4, 1, 4, 4, 1] ints [2] name "turn"
  // CHECK: in_place = ["no copy of @e.d: no, its place depends on run-time sizes"]
  plan.launch "strided_copy"(read @e.d : f32[16], update @e.big : f32[256]) params [0, "4*seq", 16, 1, 1] ints [1] name "somewhere"
  // The slice would keep all 1024 bytes to the end, beside @e.out.
  // CHECK: in_place = ["no copy of @e.big: yes"]
  plan.launch "strided_copy"(read @e.big : f32[256], write @e.part : f32[16]) params [0, 0, 16, 1, 1] ints [1] name "part"
  // CHECK: in_place = ["over @e.part: no, output @e.out must keep its 64 bytes"
  plan.launch "pointwise"(read @e.part : f32[4, 4], read @e.half : f16[4, 4], write @e.out : f32[4, 4]) ints [2, 1, 50, 0, 0, 1, 0] name "end"
}
