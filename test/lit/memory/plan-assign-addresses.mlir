// RUN: llmc-opt %s --plan-liveness --plan-assign-addresses --verify-plan | FileCheck %s

// Shared by all entries: state 0, weight at 128, constant at 256 (100 bytes
// take 128); the region starts at 384.
//
// Entry a: x [0, 1) 64, p [0, 2) 256, q [1, 3) 128, y [2, 3) 64.
//   Largest live sum: p + q = 384 at step 1. p is placed first (largest), at
//   0; q beside it at 256; x lives with p only: at 256, under q; y lives with
//   q: below it, at 0. The extent is 384.
// Entry b is smaller: x 64, y 64, together 128. It starts at 384 too.

// CHECK: plan.totals = {activation_peak = 384 : i64, arena = 768 : i64, budget = -1 : i64, constants = 128 : i64, lower_bound = 384 : i64, minimum = 0 : i64, reserve = 0 : i64, resident_weights = 128 : i64, staging = 0 : i64, state = 128 : i64}

// CHECK: plan.buffer @constant.0 constant device size 100 at 256
// CHECK: plan.buffer @weight.w weight device size 128 at 128
// CHECK: plan.buffer @state.k state device size 128 at 0
// CHECK: plan.buffer @a.x input device size 64 at 640 live [0, 1) in @a
// CHECK: plan.buffer @a.p activation device size 256 at 384 live [0, 2) in @a
// CHECK: plan.buffer @a.q activation device size 128 at 640 live [1, 3) in @a
// CHECK: plan.buffer @a.y output device size 64 at 384 live [2, 3) in @a
// CHECK: plan.buffer @b.x input device size 64 at {{384|448}} live [0, 1) in @b
// CHECK: plan.buffer @b.y output device size 64 at {{384|448}} live [0, 1) in @b
plan.segment @segment.w size 128 {kind = "raw"} from [@w]
plan.buffer @constant.0 constant device size 100 data dense<1.0> : tensor<25xf32>
plan.buffer @weight.w weight device size 128 from @segment.w
plan.buffer @state.k state device size 128
plan.buffer @a.x input device size 64 in @a
plan.buffer @a.p activation device size 256 in @a
plan.buffer @a.q activation device size 128 in @a
plan.buffer @a.y output device size 64 in @a
plan.buffer @b.x input device size 64 in @b
plan.buffer @b.y output device size 64 in @b
plan.entry @a symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @a.x, dims = [16]}] outputs [{name = "y", role = "generic", dtype = "f32", buffer = @a.y, dims = [16]}] derived {} {
  plan.launch "softmax"(read @a.x : f32[16], write @a.p : f32[64]) ints [0, 0] name "0"
  plan.launch "softmax"(read @a.p : f32[64], write @a.q : f32[32]) ints [0, 0] name "1"
  plan.launch "softmax"(read @a.q : f32[32], write @a.y : f32[16]) ints [0, 0] name "2"
}
plan.entry @b symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @b.x, dims = [16]}] outputs [{name = "y", role = "generic", dtype = "f32", buffer = @b.y, dims = [16]}] derived {} {
  plan.launch "softmax"(read @b.x : f32[16], write @b.y : f32[16]) ints [0, 0] name "0"
}
