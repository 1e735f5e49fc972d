// RUN: llmc-opt %s --plan-liveness | FileCheck %s

// Steps: 0 writes a, 1 reads a and writes b, 2 reads a and b and writes the
// output, 3 updates c. Half-open, so a and b end at 3.

// CHECK: plan.buffer @e.in input device size 64 live [0, 1) in @e
// CHECK: plan.buffer @e.unused input device size 64 live [0, 1) in @e
// CHECK: plan.buffer @e.a activation device size 64 live [0, 3) in @e
// CHECK: plan.buffer @e.b activation device size 64 live [1, 3) in @e
// CHECK: plan.buffer @e.c activation device size 64 live [3, 4) in @e
// CHECK: plan.buffer @e.out output device size 64 live [2, 4) in @e
// CHECK: plan.buffer @s state device size 64{{$}}
plan.buffer @e.in input device size 64 in @e
plan.buffer @e.unused input device size 64 in @e
plan.buffer @e.a activation device size 64 in @e
plan.buffer @e.b activation device size 64 in @e
plan.buffer @e.c activation device size 64 in @e
plan.buffer @e.out output device size 64 in @e
plan.buffer @s state device size 64
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  plan.launch "cast"(read @e.in : f32[16], write @e.a : f32[16]) name "0"
  plan.launch "cast"(read @e.a : f32[16], write @e.b : f32[16]) name "1"
  plan.launch "matmul"(read @e.a : f32[4, 4], read @e.b : f32[4, 4], write @e.out : f32[4, 4]) ints [0, 0] floats [1.0] name "2"
  plan.launch "fill"(update @e.c : f32[16]) floats [0.0] name "3"
}
