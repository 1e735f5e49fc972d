// RUN: llmc-opt %s --split-input-file --lower-to-plan | FileCheck %s

// Constants of one value everywhere are weights: @a and @b of the same bytes
// share one, @c has another value. 8 x 4 x 8 x 8 x 4 bytes = 8192.
// CHECK-DAG: plan.segment @segment.splat.f32.3F000000.2048 {{.*}}size 8192{{.*}}dense<5.000000e-01> : tensor<2048xf32>
// CHECK-DAG: plan.segment @segment.splat.f32.3E800000.2048 {{.*}}size 8192{{.*}}dense<2.500000e-01> : tensor<2048xf32>
// A matrix of a linear is packed: 100 outputs are two panels of 64, 128 * 32 *
// 4 bytes. Both layouts are the same bytes.
// CHECK-DAG: plan.segment @segment.splat.f32.3F800000.100x32.panel64 {{.*}}size 16384{{.*}}dense<1.000000e+00> : tensor<100x32xf32>
// CHECK-DAG: plan.buffer @weight.splat.f32.3F000000.2048 weight device size 8192 from @segment.splat.f32.3F000000.2048
// CHECK-NOT: plan.launch "fill"
// CHECK: plan.launch "conv"(read @main.x : f32[1, 4, 8, 8], read @weight.splat.f32.3F000000.2048 : f32[8, 4, 8, 8], write
// CHECK: plan.launch "conv"(read @main.x : f32[1, 4, 8, 8], read @weight.splat.f32.3F000000.2048 : f32[32, 4, 4, 4], write
// CHECK: plan.launch "conv"(read @main.x : f32[1, 4, 8, 8], read @weight.splat.f32.3E800000.2048 : f32[8, 4, 8, 8], write
// CHECK: plan.launch "linear"(read @main.y : f32[2, 32], read @weight.splat.f32.3F800000.100x32.panel64 : f32[100, 32] panel64, write
// CHECK: plan.launch "linear"(read @main.y : f32[2, 32], read @weight.splat.f32.3F800000.100x32.panel64 : f32[100, 32] panel64, write
func.func @main(%x: tensor<1x4x8x8xf32> {graph.port = {name = "x", role = "generic"}}, %y: tensor<2x32xf32> {graph.port = {name = "y", role = "generic"}})
    -> (tensor<1x8x1x1xf32>, tensor<1x32x5x5xf32>, tensor<1x8x1x1xf32>, tensor<2x100xf32>, tensor<2x100xf32>) attributes {graph.entry} {
  %a = graph.constant dense<0.5> : tensor<8x4x8x8xf32>
  %b = graph.constant dense<0.5> : tensor<32x4x4x4xf32>
  %c = graph.constant dense<0.25> : tensor<8x4x8x8xf32>
  %nk = graph.constant dense<1.0> : tensor<100x32xf32>
  %kn = graph.constant dense<1.0> : tensor<32x100xf32>
  %0 = graph.conv %x, %a {groups = 1 : i64, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 0>, graph.name = "a"} : tensor<1x4x8x8xf32>, tensor<8x4x8x8xf32> -> tensor<1x8x1x1xf32>
  %1 = graph.conv %x, %b {groups = 1 : i64, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 0>, graph.name = "b"} : tensor<1x4x8x8xf32>, tensor<32x4x4x4xf32> -> tensor<1x32x5x5xf32>
  %2 = graph.conv %x, %c {groups = 1 : i64, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 0>, graph.name = "c"} : tensor<1x4x8x8xf32>, tensor<8x4x8x8xf32> -> tensor<1x8x1x1xf32>
  %3 = graph.linear %y, %nk {weight_layout = "nk", graph.name = "nk"} : tensor<2x32xf32>, tensor<100x32xf32> -> tensor<2x100xf32>
  %4 = graph.linear %y, %kn {weight_layout = "kn", graph.name = "kn"} : tensor<2x32xf32>, tensor<32x100xf32> -> tensor<2x100xf32>
  return %0, %1, %2, %3, %4 : tensor<1x8x1x1xf32>, tensor<1x32x5x5xf32>, tensor<1x8x1x1xf32>, tensor<2x100xf32>, tensor<2x100xf32>
}
