// RUN: llmc-opt %s --split-input-file --plan-liveness --plan-swap | FileCheck %s --check-prefix=FREE
// RUN: llmc-opt %s --split-input-file --plan-liveness --plan-swap=budget=135168 | FileCheck %s
// RUN: llmc-opt %s --split-input-file --plan-liveness --plan-swap=budget=458752 | FileCheck %s --check-prefix=FREE
// RUN: llmc-opt %s --split-input-file --plan-liveness --plan-swap=budget=131072 | FileCheck %s --check-prefix=LEAST

// A skip of 65536 bytes over two steps. At "b" there are 3 * 65536 = 196608
// bytes with it and 131072 without; "a" has 131072 of its own. So that is the
// least, whatever the budget is, and 196608 bytes need nothing (the largest of
// these examples needs 459264).

// FREE: module attributes {plan.least = 131072 : i64} {
// FREE-NOT: plan.swap_
// CHECK: module attributes {plan.least = 131072 : i64, plan.swaps = {recomputed = 0 : i64, seconds = {{.*}}, swapped = 1 : i64}}
// CHECK-DAG: plan.buffer @skip.skip activation device size 65536 live [0, 3) in @skip
// CHECK-DAG: plan.buffer @skip.skip.back staging device size 65536 live [6, 11) in @skip
// CHECK-DAG: plan.buffer @skip.skip.below activation disk size 65536 at 0 live [2, 7) in @skip
plan.buffer @skip.in input device size 64 in @skip
plan.buffer @skip.skip activation device size 65536 in @skip
plan.buffer @skip.a activation device size 65536 in @skip
plan.buffer @skip.b activation device size 65536 in @skip
plan.buffer @skip.c activation device size 512 in @skip
plan.buffer @skip.out output device size 512 in @skip
// CHECK-LABEL: plan.entry @skip
// LEAST-LABEL: plan.entry @skip
plan.entry @skip symbols {} inputs [] outputs [] derived {} {
  // CHECK-NEXT: name "skip"
  // CHECK-NEXT: name "a"
  // CHECK-NEXT: plan.swap_out 65536 of @skip.skip + 0 to @skip.skip.below
  // CHECK-NEXT: name "b"
  // A page more than the least: the copy back runs beside "c".
  // CHECK-NEXT: plan.signal 1 on compute
  // CHECK-NEXT: plan.wait 1 on copy
  // CHECK-NEXT: plan.swap_in 65536 of @skip.skip.back + 0 from @skip.skip.below
  // CHECK-NEXT: plan.signal 0 on copy
  // CHECK-NEXT: name "c"
  // CHECK-NEXT: plan.wait 0 on compute
  // CHECK-NEXT: "matmul"(read @skip.c : f32[1, 128], read @skip.skip.back : f32[128, 128], write @skip.out : f32[1, 128])
  // LEAST: name "c"
  // LEAST-NEXT: plan.signal 1 on compute
  // LEAST: plan.wait 0 on compute
  // LEAST-NEXT: "matmul"
  plan.launch "gather"(read @skip.in : f32[16], read @skip.in : i32[16], write @skip.skip : f32[128, 128]) ints [0] name "skip"
  plan.launch "softmax"(read @skip.skip : f32[128, 128], write @skip.a : f32[128, 128]) ints [1, 0] name "a"
  plan.launch "softmax"(read @skip.a : f32[128, 128], write @skip.b : f32[128, 128]) ints [1, 0] name "b"
  plan.launch "reduce"(read @skip.b : f32[128, 128], write @skip.c : f32[128]) ints [0, 1] name "c"
  plan.launch "matmul"(read @skip.c : f32[1, 128], read @skip.skip : f32[128, 128], write @skip.out : f32[1, 128]) ints [0, 0] floats [1.0] name "join"
}

// -----

// The same, but what the skip was made of is still there at the end: it is made
// again, which takes less than two copies of 64 KiB.

// CHECK: module attributes {plan.least = {{[0-9]+}} : i64, plan.swaps = {recomputed = 1 : i64, seconds = {{.*}}, swapped = 0 : i64}}
// CHECK: plan.buffer @again.skip.back activation device size 65536
plan.buffer @again.in input device size 64 in @again
plan.buffer @again.skip activation device size 65536 in @again
plan.buffer @again.a activation device size 65536 in @again
plan.buffer @again.b activation device size 65536 in @again
plan.buffer @again.c activation device size 512 in @again
plan.buffer @again.out output device size 512 in @again
plan.buffer @again.sum output device size 4 in @again
// CHECK-LABEL: plan.entry @again
// CHECK-NOT: plan.swap_
// CHECK: name "c"
// CHECK-NEXT: "gather"(read @again.in : f32[16], read @again.in : i32[16], write @again.skip.back : f32[128, 128]) {{.*}}name "skip"
// CHECK-NEXT: "matmul"(read @again.c : f32[1, 128], read @again.skip.back : f32[128, 128]
plan.entry @again symbols {} inputs [] outputs [] derived {} {
  plan.launch "gather"(read @again.in : f32[16], read @again.in : i32[16], write @again.skip : f32[128, 128]) ints [0] name "skip"
  plan.launch "softmax"(read @again.skip : f32[128, 128], write @again.a : f32[128, 128]) ints [1, 0] name "a"
  plan.launch "softmax"(read @again.a : f32[128, 128], write @again.b : f32[128, 128]) ints [1, 0] name "b"
  plan.launch "reduce"(read @again.b : f32[128, 128], write @again.c : f32[128]) ints [0, 1] name "c"
  plan.launch "matmul"(read @again.c : f32[1, 128], read @again.skip : f32[128, 128], write @again.out : f32[1, 128]) ints [0, 0] floats [1.0] name "join"
  plan.launch "reduce"(read @again.in : f32[16], write @again.sum : f32[1]) ints [0, 1] name "sum"
}

// -----

// Away twice, unchanged in between: it is written once. Of the buffer, bytes
// 0 to 65536 are written before it leaves, and only these move.

// LEAST-DAG: plan.buffer @twice.skip.below activation disk size 65536 at 0
// LEAST-DAG: plan.buffer @twice.skip.back staging device size 131072
// LEAST-DAG: plan.buffer @twice.skip.back.1 staging device size 131072
// LEAST-LABEL: plan.entry @twice
// LEAST: plan.swap_out 65536 of @twice.skip + 0 to @twice.skip.below
// LEAST-NOT: plan.swap_out
// LEAST: plan.swap_in 65536 of @twice.skip.back + 0 from @twice.skip.below
// LEAST: name "middle"
// LEAST-NOT: plan.swap_out
// LEAST: plan.swap_in 65536 of @twice.skip.back.1 + 0 from @twice.skip.below
// LEAST: name "end"
plan.buffer @twice.in input device size 64 in @twice
plan.buffer @twice.skip activation device size 131072 in @twice
plan.buffer @twice.a activation device size 131072 in @twice
plan.buffer @twice.b activation device size 131072 in @twice
plan.buffer @twice.c activation device size 512 in @twice
plan.buffer @twice.d activation device size 131072 in @twice
plan.buffer @twice.e activation device size 131072 in @twice
plan.buffer @twice.f activation device size 512 in @twice
plan.buffer @twice.out output device size 512 in @twice
plan.entry @twice symbols {} inputs [] outputs [] derived {} {
  plan.launch "gather"(read @twice.in : f32[16], read @twice.in : i32[16], write @twice.skip : f32[128, 128]) ints [0] name "skip"
  plan.launch "gather"(read @twice.skip : f32[128, 128], read @twice.in : i32[2], write @twice.a : f32[256, 128]) ints [0] name "a"
  plan.launch "softmax"(read @twice.a : f32[256, 128], write @twice.b : f32[256, 128]) ints [1, 0] name "b"
  plan.launch "reduce"(read @twice.b : f32[256, 128], write @twice.c : f32[128]) ints [0, 1] name "c"
  plan.launch "matmul"(read @twice.c : f32[1, 128], read @twice.skip : f32[128, 128], write @twice.f : f32[1, 128]) ints [0, 0] floats [1.0] name "middle"
  plan.launch "gather"(read @twice.f : f32[128], read @twice.f : i32[2], write @twice.d : f32[256, 128]) ints [0] name "d"
  plan.launch "softmax"(read @twice.d : f32[256, 128], write @twice.e : f32[256, 128]) ints [1, 0] name "e"
  plan.launch "reduce"(read @twice.e : f32[256, 128], write @twice.c : f32[128]) ints [0, 1] name "g"
  plan.launch "matmul"(read @twice.c : f32[1, 128], read @twice.skip : f32[128, 128], write @twice.out : f32[1, 128]) ints [0, 0] floats [1.0] name "end"
}
