// RUN: llmc-opt %s --split-input-file --plan-order | FileCheck %s
// RUN: llmc-opt %s --split-input-file --plan-order=in-place=false | FileCheck %s --check-prefix=PLAIN

// Two branches, each makes 1024 bytes and reduces them to 64. In the model's
// order both large ones live at once: 1024 + 1024 + 64 (the second reduction
// beside the first's result) is 2112, with the input's 64 while they are made:
// 64 + 1024 + 1024 = 2112. One branch after the other: 64 + 1024 + 64 = 1152.

// CHECK-LABEL: plan.entry @branches
// CHECK-SAME: plan.peak = {model = 2112 : i64, ordered = 1152 : i64}
// CHECK-NEXT: name "big0"
// CHECK-NEXT: name "small0"
// CHECK-NEXT: name "big1"
// CHECK-NEXT: name "small1"
// CHECK-NEXT: name "join"
plan.buffer @branches.in input device size 64 in @branches
plan.buffer @branches.big0 activation device size 1024 in @branches
plan.buffer @branches.big1 activation device size 1024 in @branches
plan.buffer @branches.small0 activation device size 64 in @branches
plan.buffer @branches.small1 activation device size 64 in @branches
plan.buffer @branches.out output device size 64 in @branches
plan.entry @branches symbols {} inputs [] outputs [] derived {} {
  plan.launch "gather"(read @branches.in : f32[16], read @branches.in : i32[16], write @branches.big0 : f32[256]) ints [0] name "big0"
  plan.launch "gather"(read @branches.in : f32[16], read @branches.in : i32[16], write @branches.big1 : f32[256]) ints [0] name "big1"
  plan.launch "reduce"(read @branches.big0 : f32[16, 16], write @branches.small0 : f32[16]) ints [0, 1] name "small0"
  plan.launch "reduce"(read @branches.big1 : f32[16, 16], write @branches.small1 : f32[16]) ints [0, 1] name "small1"
  plan.launch "matmul"(read @branches.small0 : f32[4, 4], read @branches.small1 : f32[4, 4], write @branches.out : f32[4, 4]) ints [0, 0] floats [1.0] name "join"
}

// -----

// A state is read before and after it is appended to: these three stay in
// order, whatever memory they take; and where nothing is gained nothing moves.

// CHECK-LABEL: plan.entry @state
// CHECK-NOT: plan.peak
// CHECK: name "before"
// CHECK-NEXT: name "append"
// CHECK-NEXT: name "after"
// CHECK-NEXT: name "sum"
plan.buffer @kv state device size 1024
plan.buffer @state.new input device size 64 in @state
plan.buffer @state.a activation device size 1024 in @state
plan.buffer @state.b activation device size 1024 in @state
plan.buffer @state.out output device size 1024 in @state
plan.entry @state symbols {} inputs [] outputs [] derived {} {
  plan.launch "kv_read"(read @kv : f32[16, 16], write @state.a : f32[16, 16]) params [16] ints [16, 0] name "before"
  plan.launch "kv_append"(read @state.new : f32[1, 16], update @kv : f32[16, 16]) params [3] ints [16, 0] name "append"
  plan.launch "kv_read"(read @kv : f32[16, 16], write @state.b : f32[16, 16]) params [16] ints [16, 0] name "after"
  plan.launch "matmul"(read @state.a : f32[16, 16], read @state.b : f32[16, 16], write @state.out : f32[16, 16]) ints [0, 0] floats [1.0] name "sum"
}

// -----

// What plan-in-place will do counts. "relu0" may write over "big0", so beside
// it nothing more is needed, and the model's order (input 64, big0 and big1:
// 2112) is as good as any. Without in-place, "relu0" would need a third 1024
// beside big0 and big1 (3072): it moves up.

// CHECK-LABEL: plan.entry @over
// CHECK-NOT: plan.peak
// CHECK: name "big0"
// CHECK-NEXT: name "big1"
// CHECK-NEXT: name "relu0"
// PLAIN-LABEL: plan.entry @over
// PLAIN-SAME: plan.peak
// PLAIN-NEXT: name "big0"
// PLAIN-NEXT: name "relu0"
// PLAIN-NEXT: name "big1"
// PLAIN-NEXT: name "small0"
plan.buffer @over.in input device size 64 in @over
plan.buffer @over.big0 activation device size 1024 in @over
plan.buffer @over.big1 activation device size 1024 in @over
plan.buffer @over.relu0 activation device size 1024 in @over
plan.buffer @over.small0 activation device size 64 in @over
plan.buffer @over.out output device size 64 in @over
plan.entry @over symbols {} inputs [] outputs [] derived {} {
  plan.launch "gather"(read @over.in : f32[16], read @over.in : i32[16], write @over.big0 : f32[256]) ints [0] name "big0"
  plan.launch "gather"(read @over.in : f32[16], read @over.in : i32[16], write @over.big1 : f32[256]) ints [0] name "big1"
  plan.launch "pointwise"(read @over.big0 : f32[256], write @over.relu0 : f32[256]) ints [1, 1, 21, 0, 0, 0, 0] name "relu0"
  plan.launch "matmul"(read @over.relu0 : f32[16, 16], read @over.big1 : f32[16, 16], write @over.small0 : f32[4, 4]) ints [0, 0] floats [1.0] name "small0"
  plan.launch "softmax"(read @over.small0 : f32[16], write @over.out : f32[16]) ints [0, 0] name "join"
}
