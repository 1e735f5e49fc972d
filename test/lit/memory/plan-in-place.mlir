// RUN: llmc-opt %s --plan-in-place --plan-liveness | FileCheck %s

// A chain: relu writes over its operand, which dies there; the add writes over
// the product. The softmax may not write over @chain.d, which is read again.
// What remains lives as long as the buffers that it stands for.

// CHECK-DAG: plan.buffer @chain.in input device size 64 live [0, 1) in @chain
// CHECK-DAG: plan.buffer @chain.a activation device size 64 live [0, 3) in @chain
// CHECK-DAG: plan.buffer @chain.c activation device size 64 live [2, 5) in @chain
// CHECK-DAG: plan.buffer @chain.out output device size 64 live [3, 5) in @chain
// CHECK-NOT: @chain.b activation
// CHECK-NOT: @chain.e activation
plan.buffer @chain.in input device size 64 in @chain
plan.buffer @chain.a activation device size 64 in @chain
plan.buffer @chain.b activation device size 64 in @chain
plan.buffer @chain.c activation device size 64 in @chain
plan.buffer @chain.out output device size 64 in @chain

// CHECK-LABEL: plan.entry @chain
plan.entry @chain symbols {} inputs [{name = "in", role = "generic", dtype = "f32", buffer = @chain.in, dims = [16]}]
    outputs [{name = "out", role = "generic", dtype = "f32", buffer = @chain.out, dims = [16]}] derived {} {
  // CHECK-NEXT: "reduce"(read @chain.in : f32[16], write @chain.a : f32[16])
  plan.launch "reduce"(read @chain.in : f32[16], write @chain.a : f32[16]) ints [0, 0] name "a"
  // CHECK-NEXT: "pointwise"(read @chain.a : f32[16], write @chain.a : f32[16])
  plan.launch "pointwise"(read @chain.a : f32[16], write @chain.b : f32[16]) ints [1, 1, 21, 0, 0, 0, 0] name "b"
  // CHECK-NEXT: "matmul"(read @chain.a : f32[4, 4], read @chain.a : f32[4, 4], write @chain.c : f32[4, 4])
  plan.launch "matmul"(read @chain.b : f32[4, 4], read @chain.b : f32[4, 4], write @chain.c : f32[4, 4]) ints [0, 0] floats [1.0] name "c"
  // CHECK-NEXT: "softmax"(read @chain.c : f32[4, 4], write @chain.out : f32[4, 4])
  plan.launch "softmax"(read @chain.c : f32[4, 4], write @chain.out : f32[4, 4]) ints [1, 0] name "d"
  // CHECK-NEXT: "pointwise"(read @chain.out : f32[16], read @chain.c : f32[16], write @chain.out : f32[16])
  plan.launch "pointwise"(read @chain.out : f32[16], read @chain.c : f32[16], write @chain.out : f32[16]) ints [2, 1, 50, 0, 0, 1, 0] name "e"
}

// Two producers write straight into the concatenation, 32 bytes each; the
// copies go. The reader of the slice reads bytes 16 to 48 of the result. The
// copy that turns a matrix around stays.

// CHECK-DAG: plan.buffer @cat.c activation device size 64 live [0, 4) in @cat
// CHECK-NOT: @cat.l activation
// CHECK-NOT: @cat.r activation
// CHECK-NOT: @cat.s activation
plan.buffer @cat.in input device size 64 in @cat
plan.buffer @cat.l activation device size 32 in @cat
plan.buffer @cat.r activation device size 32 in @cat
plan.buffer @cat.c activation device size 64 in @cat
plan.buffer @cat.s activation device size 32 in @cat
plan.buffer @cat.out output device size 32 in @cat
plan.buffer @cat.t output device size 64 in @cat

// CHECK-LABEL: plan.entry @cat
plan.entry @cat symbols {} inputs [{name = "in", role = "generic", dtype = "f32", buffer = @cat.in, dims = [16]}]
    outputs [{name = "out", role = "generic", dtype = "f32", buffer = @cat.out, dims = [8]}] derived {} {
  // CHECK-NEXT: "reduce"(read @cat.in : f32[16], write @cat.c : f32[8])
  plan.launch "reduce"(read @cat.in : f32[16], write @cat.l : f32[8]) ints [0, 1] name "l"
  // CHECK-NEXT: "reduce"(read @cat.in : f32[16], write @cat.c + 32 : f32[8])
  plan.launch "reduce"(read @cat.in : f32[16], write @cat.r : f32[8]) ints [0, 1] name "r"
  plan.launch "strided_copy"(read @cat.l : f32[8], update @cat.c : f32[16]) params [0, 0, 8, 1, 1] ints [1] name "left"
  plan.launch "strided_copy"(read @cat.r : f32[8], update @cat.c : f32[16]) params [0, 8, 8, 1, 1] ints [1] name "right"
  plan.launch "strided_copy"(read @cat.c : f32[16], write @cat.s : f32[8]) params [4, 0, 8, 1, 1] ints [1] name "slice"
  // CHECK-NEXT: "reduce"(read @cat.c + 16 : f32[8], write @cat.out : f32[8])
  plan.launch "reduce"(read @cat.s : f32[8], write @cat.out : f32[8]) ints [0, 0] name "read"
  // CHECK-NEXT: "strided_copy"(read @cat.c : f32[4, 4], write @cat.t : f32[4, 4])
  plan.launch "strided_copy"(read @cat.c : f32[4, 4], write @cat.t : f32[4, 4]) params [0, 0, 4, 4, 1, 4, 4, 1] ints [2] name "turn"
}

// Two halves of one buffer, copied side by side into another: only together do
// they fit, and then neither copy is needed.

// CHECK-DAG: plan.buffer @both.qkv activation device size 96
// CHECK-NOT: @both.kv activation
plan.buffer @both.in input device size 96 in @both
plan.buffer @both.qkv activation device size 96 in @both
plan.buffer @both.kv activation device size 64 in @both
plan.buffer @both.out output device size 64 in @both

// CHECK-LABEL: plan.entry @both
plan.entry @both symbols {} inputs [{name = "in", role = "generic", dtype = "f32", buffer = @both.in, dims = [24]}]
    outputs [{name = "out", role = "generic", dtype = "f32", buffer = @both.out, dims = [16]}] derived {} {
  plan.launch "reduce"(read @both.in : f32[24], write @both.qkv : f32[24]) ints [0, 0] name "qkv"
  plan.launch "strided_copy"(read @both.qkv : f32[24], update @both.kv : f32[16]) params [8, 0, 8, 1, 1] ints [1] name "k"
  plan.launch "strided_copy"(read @both.qkv : f32[24], update @both.kv : f32[16]) params [16, 8, 8, 1, 1] ints [1] name "v"
  // CHECK-NEXT: name "qkv"
  // CHECK-NEXT: "reduce"(read @both.qkv + 32 : f32[16]
  plan.launch "reduce"(read @both.kv : f32[16], write @both.out : f32[16]) ints [0, 0] name "read"
}
