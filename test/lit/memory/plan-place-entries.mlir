// RUN: llmc-opt %s --plan-place=budget=600000 | FileCheck %s

// Two matrices of 524288 bytes, of which nothing but pieces fits. Decode waits
// for the link and takes the smallest pieces, as many ahead as there is room
// for beside its small activations; a chunk of the prompt computes longer than
// its copies take, so larger pieces hold nothing up.

module attributes {plan.rates = {cached_file_bytes = 0.0, small_copy_bytes = 0.0, link = 1.0e9, copy_seconds = 0.0, f32 = [7.5e10, 8.0e9]}} {
plan.segment @segment.w size 524288 {kind = "panel64", layout = "nk", n = 2048, k = 64, dtype = "f32"} from [@w]
plan.segment @segment.v size 524288 {kind = "panel64", layout = "nk", n = 2048, k = 64, dtype = "f32"} from [@v]
plan.buffer @weight.w weight device size 524288 from @segment.w
plan.buffer @weight.v weight device size 524288 from @segment.v
plan.buffer @prefill.x input device size 8192 in @prefill
plan.buffer @prefill.y activation device size 262144 in @prefill
plan.buffer @prefill.z output device size 262144 in @prefill
plan.buffer @decode.x input device size 256 in @decode
plan.buffer @decode.y activation device size 8192 in @decode
plan.buffer @decode.z output device size 8192 in @decode
plan.entry @prefill symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @prefill.x, dims = [32, 64]}] outputs [] derived {} {
  plan.launch "linear"(read @prefill.x : f32[32, 64], read @weight.w : f32[2048, 64] panel64, write @prefill.y : f32[32, 2048]) ints [0, 0] name "up"
  plan.launch "linear"(read @prefill.x : f32[32, 64], read @weight.v : f32[2048, 64] panel64, write @prefill.z : f32[32, 2048]) ints [0, 0] name "down"
}
plan.entry @decode symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @decode.x, dims = [1, 64]}] outputs [] derived {} {
  plan.launch "linear"(read @decode.x : f32[1, 64], read @weight.w : f32[2048, 64] panel64, write @decode.y : f32[1, 2048]) ints [0, 0] name "up"
  plan.launch "linear"(read @decode.x : f32[1, 64], read @weight.v : f32[2048, 64] panel64, write @decode.z : f32[1, 2048]) ints [0, 0] name "down"
}
}

// CHECK-COUNT-16: plan.buffer @prefill.stream.{{[wv.0-9]+}} staging device size 65536
// CHECK-NOT: @prefill.stream
// CHECK-COUNT-64: plan.buffer @decode.stream.{{[wv.0-9]+}} staging device size 16384
// CHECK-NOT: size {{.*}} in @decode
