// RUN: llmc-opt %s --plan-place=budget=172032 | FileCheck %s
// RUN: llmc-opt %s --plan-place=budget=172032 --plan-liveness --plan-assign-addresses --verify-plan | FileCheck %s --check-prefix=PLACED

// Two matrices of 131072 bytes. The second one stays; the first one streams in
// eight pieces of 16384 bytes over a slow link. While the second product runs
// the link would idle, so the prefetch wraps around: the first two pieces are
// there when a run starts, and as soon as the window of two has room again at
// its end they are copied for the next one, to the same two places.

module attributes {plan.rates = {cached_file_bytes = 0.0, small_copy_bytes = 0.0, link = 1.0e9, copy_seconds = 0.0}} {
plan.segment @segment.w size 131072 {kind = "panel64", layout = "nk", n = 512, k = 64, dtype = "f32"} from [@w]
plan.segment @segment.v size 131072 {kind = "panel64", layout = "nk", n = 512, k = 64, dtype = "f32"} from [@v]
plan.buffer @weight.w weight device size 131072 from @segment.w
plan.buffer @weight.v weight device size 131072 from @segment.v
plan.buffer @decode.x input device size 256 in @decode
plan.buffer @decode.y activation device size 2048 in @decode
plan.buffer @decode.z output device size 2048 in @decode
plan.entry @decode symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @decode.x, dims = [1, 64]}] outputs [] derived {} {
  plan.launch "linear"(read @decode.x : f32[1, 64], read @weight.w : f32[512, 64] panel64, write @decode.y : f32[1, 512]) ints [0, 0] name "up"
  plan.launch "linear"(read @decode.x : f32[1, 64], read @weight.v : f32[512, 64] panel64, write @decode.z : f32[1, 512]) ints [0, 0] name "down"
}
}

// CHECK: plan.carried @carried.0 16384 from @segment.w + 0
// CHECK: plan.carried @carried.1 16384 from @segment.w + 16384
// CHECK: plan.buffer @decode.stream.w staging device size 16384 live [0, 1) in @decode
// CHECK: plan.buffer @decode.stream.w.1 staging device size 16384 live [0, 6) in @decode
// CHECK: plan.buffer @decode.stream.w.2 staging device size 16384 live [3, 12) in @decode
// CHECK: plan.buffer @decode.stream.w.8 staging device size 16384 live [38, 45) in @decode
// CHECK: plan.buffer @decode.stream.w.9 staging device size 16384 live [43, 45) in @decode
// CHECK: plan.carry @carried.0 in @decode first @decode.stream.w last @decode.stream.w.8
// CHECK: plan.carry @carried.1 in @decode first @decode.stream.w.1 last @decode.stream.w.9
// CHECK: plan.launch {{.*}} read @decode.stream.w : {{.*}} ints [0, 0, 0]
// CHECK: plan.copy 16384 from @segment.w + 32768 to @decode.stream.w.2
// CHECK: plan.launch {{.*}} read @decode.stream.w.1 : {{.*}} ints [0, 0, 64]
// CHECK: plan.copy 16384 from @segment.w + 0 to @decode.stream.w.8
// CHECK: plan.launch {{.*}} ints [0, 0, 448]
// CHECK: plan.copy 16384 from @segment.w + 16384 to @decode.stream.w.9
// CHECK: plan.launch {{.*}} read @weight.v

// The slots lie at the beginning of the region, behind the weight that stays.
// PLACED: plan.carried @carried.0 16384 from @segment.w + 0 at 131072
// PLACED: plan.carried @carried.1 16384 from @segment.w + 16384 at 147456
// PLACED: plan.buffer @decode.stream.w staging device size 16384 at 131072 live
// PLACED: plan.buffer @decode.stream.w.1 staging device size 16384 at 147456 live
// PLACED: plan.buffer @decode.stream.w.8 staging device size 16384 at 131072 live
// PLACED: plan.buffer @decode.stream.w.9 staging device size 16384 at 147456 live
