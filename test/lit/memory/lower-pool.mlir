// RUN: llmc-opt %s --split-input-file --lower-to-plan | FileCheck %s

// ints: kind, spatial rank, ceil_mode, count_include_pad, then kernel, strides,
// dilations, pads before and behind.
// CHECK-LABEL: plan.entry @pools
// CHECK-NEXT: plan.launch "pool"(read @pools.x : f32[1, 2, "h", 8], write @pools.max : f32[1, 2, "floordiv(h - 1, 2) + 1", 7]) ints [0, 2, 0, 0, 3, 2, 2, 1, 1, 1, 1, 0, 1, 0] name "max"
// CHECK-NEXT: plan.launch "pool"(read @pools.max : f32[1, 2, "floordiv(h - 1, 2) + 1", 7], write @pools.mean : f32[1, 2, "floordiv(h - 1, 2) + 1", 4]) ints [1, 2, 1, 1, 1, 2, 1, 2, 1, 1, 0, 0, 0, 0] name "mean"
// CHECK-NEXT: plan.launch "lrn"(read @pools.mean : {{.*}}, write @pools.lrn : {{.*}}) ints [5] floats [1.000000e-04, 7.500000e-01, 2.000000e+00] name "lrn"
func.func @pools(%x: tensor<1x2x?x8xf32> {graph.dims = [1, 2, "h", 8], graph.port = {name = "x", role = "generic"}})
    -> (tensor<1x2x?x4xf32> {graph.dims = [1, 2, "floordiv(h - 1, 2) + 1", 4], graph.port = {name = "y", role = "generic"}}) attributes {graph.entry, graph.symbols = {h = [4, 9]}} {
  %0 = graph.pool "max" %x {kernel = array<i64: 3, 2>, strides = array<i64: 2, 1>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 1, 0>, pads_end = array<i64: 1, 0>, dims = [[1, 2, "floordiv(h - 1, 2) + 1", 7]], graph.name = "max"} : tensor<1x2x?x8xf32> -> tensor<1x2x?x7xf32>
  %1 = graph.pool "average" %0 {kernel = array<i64: 1, 2>, strides = array<i64: 1, 2>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 0>, ceil_mode = true, count_include_pad = true, dims = [[1, 2, "floordiv(h - 1, 2) + 1", 4]], graph.name = "mean"} : tensor<1x2x?x7xf32> -> tensor<1x2x?x4xf32>
  %2 = graph.lrn %1 {size = 5 : i64, alpha = 1.0e-4 : f64, beta = 0.75 : f64, bias = 2.0 : f64, dims = [[1, 2, "floordiv(h - 1, 2) + 1", 4]], graph.name = "lrn"} : tensor<1x2x?x4xf32>
  return %2 : tensor<1x2x?x4xf32>
}

// -----
// The largest of halves is a half; their mean is kept in f32.
// CHECK-LABEL: plan.entry @halves
// CHECK-NEXT: plan.launch "pool"(read @halves.x : f16[1, 2, 8], write @halves.max : f16[1, 2, 4])
// CHECK-NEXT: plan.launch "pool"(read @halves.max : f16[1, 2, 4], write @halves.mean : f32[1, 2, 2])
func.func @halves(%x: tensor<1x2x8xf16> {graph.port = {name = "x", role = "generic"}})
    -> (tensor<1x2x2xf16> {graph.port = {name = "y", role = "generic"}}) attributes {graph.entry} {
  %0 = graph.pool "max" %x {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>, graph.name = "max"} : tensor<1x2x8xf16> -> tensor<1x2x4xf16>
  %1 = graph.pool "average" %0 {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>, graph.name = "mean"} : tensor<1x2x4xf16> -> tensor<1x2x2xf16>
  return %1 : tensor<1x2x2xf16>
}
