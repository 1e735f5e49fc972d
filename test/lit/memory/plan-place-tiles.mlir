// RUN: llmc-opt %s --plan-place=budget=24576 | FileCheck %s --check-prefix=MIN
// RUN: llmc-opt %s --plan-place=budget=57344 | FileCheck %s --check-prefix=AHEAD
// RUN: llmc-opt %s --plan-place=budget=135424 | FileCheck %s --check-prefix=ALL

// One matrix of 512 x 64 floats, 131072 bytes, in eight panels of 64 outputs,
// 16384 bytes each. The bias of 2048 bytes stays; x takes 256 bytes, y 2048.
//   minimum: 16384 + 2048 + 256 + 2048 = 20736, in pages 24576
//   everything: 131072 + 4352 = 135424
// A piece writes its 64 columns of y, with its 64 elements of the bias.

plan.segment @segment.w size 131072 {kind = "panel64", layout = "nk", n = 512, k = 64, dtype = "f32"} from [@w]
plan.segment @segment.b size 2048 {kind = "raw"} from [@b]
plan.buffer @weight.w weight device size 131072 from @segment.w
plan.buffer @weight.b weight device size 2048 from @segment.b
plan.buffer @decode.x input device size 256 in @decode
plan.buffer @decode.y output device size 2048 in @decode
plan.entry @decode symbols {} inputs [] outputs [] derived {} {
  plan.launch "linear"(read @decode.x : f32[1, 64], read @weight.w : f32[512, 64] panel64, read @weight.b : f32[512], write @decode.y : f32[1, 512]) ints [1, 0] name "up"
}

// MIN: plan.buffer @decode.y output device size 2048 live [5, 48) in @decode
// MIN: plan.buffer @decode.stream.w staging device size 16384 live [2, 6) in @decode
// MIN: plan.buffer @decode.stream.w.1 staging device size 16384 live [8, 12) in @decode
// MIN: plan.buffer @decode.stream.w.7 staging device size 16384 live [44, 48) in @decode
// MIN-NOT: staging
// MIN: plan.copy 16384 from @segment.w + 0 to @decode.stream.w + 0
// MIN: plan.launch "linear"(read @decode.x : f32[1, 64], read @decode.stream.w : f32[64, 64] panel64, read @weight.b : f32[64], update @decode.y : f32[1, 512]) ints [1, 0, 0] name "up"
// MIN: plan.copy 16384 from @segment.w + 114688 to @decode.stream.w.7 + 0
// MIN: read @weight.b + 1792 : f32[64], update @decode.y : f32[1, 512]) ints [1, 0, 448] name "up"

// Room for a second slot: each piece arrives while the one before it computes.
// AHEAD: plan.buffer @decode.stream.w staging device size 16384 live [2, 10) in @decode
// AHEAD: plan.buffer @decode.stream.w.1 staging device size 16384 live [6, 16) in @decode
// AHEAD: plan.copy 16384 from @segment.w + 0 to
// AHEAD: plan.copy 16384 from @segment.w + 16384 to
// AHEAD: plan.launch {{.*}} ints [1, 0, 0]
// AHEAD: plan.copy 16384 from @segment.w + 32768 to
// AHEAD: plan.launch {{.*}} ints [1, 0, 64]

// ALL: plan.buffer @weight.w weight
// ALL-NOT: staging device
// ALL: read @weight.w : f32[512, 64] panel64, read @weight.b : f32[512], write @decode.y : f32[1, 512]) ints [1, 0]
