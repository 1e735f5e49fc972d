// RUN: llmc-opt %s --plan-place=budget=1069056 | FileCheck %s --check-prefix=MIN
// RUN: llmc-opt %s --plan-place=budget=3162367 | FileCheck %s --check-prefix=HALF
// RUN: llmc-opt %s --plan-place=budget=3162368 | FileCheck %s --check-prefix=ALL
// RUN: llmc-opt %s --plan-place | FileCheck %s --check-prefix=ALL
// RUN: llmc-opt %s --plan-place="budget=3162367 policy=naive" | FileCheck %s --check-prefix=NAIVE

// Three matrices of 64 * 4096 * 4 = 1048576 bytes, one panel each. The input of
// 16384 bytes lives throughout, and one result of 256 bytes at a time.
//   everything resident: 3 * 1048576 + 16640 = 3162368
//   everything streamed: 1048576 + 16640 = 1065216, in pages 1069056
// A norm of 256 bytes would count in both: small weights always stay.

plan.segment @segment.w0 size 1048576 {kind = "panel64", layout = "nk", n = 64, k = 4096, dtype = "f32"} from [@w0]
plan.segment @segment.w1 size 1048576 {kind = "panel64", layout = "nk", n = 64, k = 4096, dtype = "f32"} from [@w1]
plan.segment @segment.w2 size 1048576 {kind = "panel64", layout = "nk", n = 64, k = 4096, dtype = "f32"} from [@w2]
plan.buffer @weight.w0 weight device size 1048576 from @segment.w0
plan.buffer @weight.w1 weight device size 1048576 from @segment.w1
plan.buffer @weight.w2 weight device size 1048576 from @segment.w2
plan.buffer @decode.x input device size 16384 in @decode
plan.buffer @decode.a activation device size 256 in @decode
plan.buffer @decode.b activation device size 256 in @decode
plan.buffer @decode.y output device size 256 in @decode
plan.entry @decode symbols {} inputs [] outputs [] derived {} {
  plan.launch "linear"(read @decode.x : f32[1, 4096], read @weight.w0 : f32[64, 4096] panel64, write @decode.a : f32[1, 64]) ints [0, 0] name "0"
  plan.launch "linear"(read @decode.x : f32[1, 4096], read @weight.w1 : f32[64, 4096] panel64, write @decode.b : f32[1, 64]) ints [0, 0] name "1"
  plan.launch "linear"(read @decode.x : f32[1, 4096], read @weight.w2 : f32[64, 4096] panel64, write @decode.y : f32[1, 64]) ints [0, 0] name "2"
}

// ALL-NOT: plan.copy
// ALL: plan.buffer @weight.w0 weight
// ALL-NOT: staging
// ALL-NOT: plan.copy

// Each matrix arrives right before its use, after all that came before.
// MIN: plan.totals = {{.*}}minimum = 1069056
// MIN-NOT: weight device
// Step 2 is the copy of w0, step 5 its reader; step 8 the copy of w1, ...
// MIN: plan.buffer @decode.stream.w0 staging device size 1048576 live [2, 6) in @decode
// MIN: plan.buffer @decode.stream.w1 staging device size 1048576 live [8, 12) in @decode
// MIN: plan.buffer @decode.stream.w2 staging device size 1048576 live [14, 18) in @decode
// MIN: plan.entry @decode
// MIN-NEXT: plan.signal 0 on compute
// MIN-NEXT: plan.wait 0 on copy
// MIN-NEXT: plan.copy 1048576 from @segment.w0 + 0 to @decode.stream.w0 + 0
// MIN-NEXT: plan.signal 1 on copy
// MIN-NEXT: plan.wait 1 on compute
// MIN-NEXT: plan.launch "linear"(read @decode.x : f32[1, 4096], read @decode.stream.w0 : f32[64, 4096] panel64, write @decode.a : f32[1, 64])
// MIN-NEXT: plan.signal 2 on compute
// MIN-NEXT: plan.wait 2 on copy
// MIN-NEXT: plan.copy 1048576 from @segment.w1
// MIN-NEXT: plan.signal 3 on copy
// MIN-NEXT: plan.wait 3 on compute
// MIN-NEXT: plan.launch
// MIN-NEXT: plan.signal 4 on compute

// One byte less than everything: one matrix stays (1048576 + 1065216 = 2113792),
// a second one would not fit beside a slot. Two slots without a resident matrix
// would fit as well, but two copies take less time than three. Which one stays:
// spread evenly, half of the room is due only after the second matrix.
// HALF: plan.buffer @weight.w1 weight
// HALF-NOT: weight device
// HALF: plan.buffer @decode.stream.w0
// HALF: plan.buffer @decode.stream.w2
// HALF: plan.entry @decode
// HALF: plan.copy 1048576 from @segment.w0
// HALF: plan.launch {{.*}}name "0"
// HALF-NEXT: plan.launch {{.*}} read @weight.w1 {{.*}}name "1"
// HALF: plan.copy 1048576 from @segment.w2

// The naive policy keeps the first ones.
// NAIVE: plan.buffer @weight.w0 weight
// NAIVE-NOT: weight device
// NAIVE: plan.entry @decode
// NAIVE-NEXT: plan.launch
// NAIVE: plan.copy 1048576 from @segment.w1
// NAIVE: plan.copy 1048576 from @segment.w2
