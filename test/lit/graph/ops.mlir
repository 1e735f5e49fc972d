// Every op parses, verifies and prints as it was written.
// RUN: llmc-opt %s | llmc-opt | FileCheck %s

// CHECK: graph.weight @layers.0.wq : tensor<64x32xf32> {
graph.weight @layers.0.wq : tensor<64x32xf32> {file = "m.data", offset = 0 : i64, length = 8192 : i64, hash = "00"}
graph.weight @codes : tensor<64x1x16xui8> {file = "", offset = 0 : i64, length = 1024 : i64, hash = "01"}
graph.weight @scales : tensor<64xf32> {file = "", offset = 0 : i64, length = 256 : i64, hash = "02"}
// CHECK: graph.state @k0 : tensor<1x4x512x8xf32>
graph.state @k0 : tensor<1x4x512x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "past.0", output_name = "present.0"}

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x?x32xf32> {graph.dims = ["batch", "seq", 32], graph.port = {name = "x", role = "generic"}})
    -> (tensor<?x?x64xf32> {graph.port = {name = "y", role = "logits"}})
    attributes {graph.entry, graph.symbols = {batch = [1, 1], seq = [1, 128]}} {
  %w = graph.load_weight @layers.0.wq : tensor<64x32xf32>
  %b = graph.load_weight @scales : tensor<64xf32>
  // CHECK: graph.linear %{{.*}}, %{{.*}} bias(%{{.*}} : tensor<64xf32>) {activation = "silu",
  %y = graph.linear %x, %w bias(%b : tensor<64xf32>) {weight_layout = "nk", activation = "silu", dims = [["batch", "seq", 64]]}
      : tensor<?x?x32xf32>, tensor<64x32xf32> -> tensor<?x?x64xf32>
  return %y : tensor<?x?x64xf32>
}

// CHECK-LABEL: func.func @elementwise
func.func @elementwise(%x: tensor<4x8xf32>, %i: tensor<3xi64>) {
  // CHECK: graph.constant dense<2.000000e+00> : tensor<f32>
  %c = graph.constant dense<2.0> : tensor<f32>
  // CHECK: graph.unary "exp" %{{.*}} : tensor<4x8xf32> -> tensor<4x8xf32>
  %0 = graph.unary "exp" %x : tensor<4x8xf32> -> tensor<4x8xf32>
  // CHECK: graph.binary "lt" %{{.*}}, %{{.*}} : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xi1>
  %1 = graph.binary "lt" %0, %c : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xi1>
  %2 = graph.select %1, %x, %c : (tensor<4x8xi1>, tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32>
  %3 = graph.cast %2 : tensor<4x8xf32> -> tensor<4x8xf16>
  // CHECK: graph.fused(%{{.*}}, %{{.*}}) : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32> {
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<f32>, %{{.*}}: tensor<f32>):
  %4 = graph.fused(%x, %c) : (tensor<4x8xf32>, tensor<f32>) -> tensor<4x8xf32> {
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = graph.binary "mul" %a, %b : (tensor<f32>, tensor<f32>) -> tensor<f32>
    graph.yield %s : tensor<f32>
  }
  %5 = graph.reshape %x : tensor<4x8xf32> -> tensor<32xf32>
  // CHECK: graph.transpose %{{.*}} [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
  %6 = graph.transpose %x [1, 0] : tensor<4x8xf32> -> tensor<8x4xf32>
  // CHECK: graph.slice %{{.*}} ["0", "2"] [1, 2] : tensor<4x8xf32> -> tensor<4x3xf32>
  %7 = graph.slice %x ["0", "2"] [1, 2] : tensor<4x8xf32> -> tensor<4x3xf32>
  // CHECK: graph.concat 1, %{{.*}}, %{{.*}} : (tensor<4x8xf32>, tensor<4x3xf32>) -> tensor<4x11xf32>
  %8 = graph.concat 1, %x, %7 : (tensor<4x8xf32>, tensor<4x3xf32>) -> tensor<4x11xf32>
  %9 = graph.gather %x, %i {axis = 0 : i64} : (tensor<4x8xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  // CHECK: graph.reduce "mean" %{{.*}} [1] {keepdims = true} : tensor<4x8xf32> -> tensor<4x1xf32>
  %10 = graph.reduce "mean" %x [1] {keepdims = true} : tensor<4x8xf32> -> tensor<4x1xf32>
  %11 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %12 = graph.dim_value ["past + seq", 3] : tensor<2xi64>
  %13 = graph.broadcast %10 : tensor<4x1xf32> -> tensor<4x5xf32>
  return
}

// CHECK-LABEL: func.func @blocks
func.func @blocks(%q: tensor<1x8x4x8xf32>, %k: tensor<1x4x4x8xf32>, %t: tensor<4x4xf32>, %i: tensor<3xi64>) {
  // CHECK: graph.rope %{{.*}}, %{{.*}}, %{{.*}} {interleaved = false, layout = "bhsd", rotary_dim = 8 : i64}
  %r = graph.rope %q, %t, %t {layout = "bhsd", interleaved = false, rotary_dim = 8 : i64}
      : (tensor<1x8x4x8xf32>, tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<1x8x4x8xf32>
  // CHECK: graph.kv_append @k0, %{{.*}} at "past" : tensor<1x4x4x8xf32>
  %c = graph.kv_append @k0, %k at "past" : tensor<1x4x4x8xf32>
  // CHECK: graph.attention %{{.*}}, %{{.*}}, %{{.*}} {causal = true
  // CHECK-SAME: : tensor<1x8x4x8xf32>, !graph.cache, !graph.cache -> tensor<1x8x4x8xf32>
  %a = graph.attention %r, %c, %c {q_layout = "bhsd", total = "past + seq", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x8x4x8xf32>, !graph.cache, !graph.cache -> tensor<1x8x4x8xf32>
  // CHECK: graph.attention {{.*}} graph.slices = array<i64: 1, 0>
  %b = graph.attention %r, %c, %c {q_layout = "bhsd", total = "past + seq", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 1, 0>}
      : tensor<1x8x4x8xf32>, !graph.cache, !graph.cache -> tensor<1x8x4x8xf32>
  // CHECK: graph.kv_read %{{.*}} "past + seq" {dims =
  %d = graph.kv_read %c "past + seq" {dims = [[1, 4, "past + seq", 8]]} : tensor<1x4x?x8xf32>
  %w = graph.load_weight @codes : tensor<64x1x16xui8>
  %s = graph.load_weight @scales : tensor<64xf32>
  // CHECK: graph.quant_gather %{{.*}}, %{{.*}} scales(%{{.*}} : tensor<64xf32>) {bits = 4
  %g = graph.quant_gather %w, %i scales(%s : tensor<64xf32>) {n = 64 : i64, k = 32 : i64, bits = 4 : i64, block_size = 32 : i64, format = "nbits"}
      : tensor<64x1x16xui8>, tensor<3xi64> -> tensor<3x32xf32>
  // CHECK: graph.quant_linear %{{.*}}, %{{.*}} scales(
  %l = graph.quant_linear %g, %w scales(%s : tensor<64xf32>) {n = 64 : i64, k = 32 : i64, bits = 4 : i64, block_size = 32 : i64, format = "nbits"}
      : tensor<3x32xf32>, tensor<64x1x16xui8> -> tensor<3x64xf32>
  return
}

// CHECK-LABEL: func.func @windows
func.func @windows(%x: tensor<1x2x9x?xf32> {graph.dims = [1, 2, 9, "w"]}) {
  // Rows of 9: two windows of 4 at every 4th, a third one with ceil_mode.
  // CHECK: graph.pool "max" %{{.*}} {ceil_mode = true, dilations = array<i64: 1, 1>, {{.*}}kernel = array<i64: 4, 2>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 1>, strides = array<i64: 4, 1>} : tensor<1x2x9x?xf32> -> tensor<1x2x3x?xf32>
  %0 = graph.pool "max" %x {kernel = array<i64: 4, 2>, strides = array<i64: 4, 1>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 1>, ceil_mode = true, dims = [[1, 2, 3, "w"]]} : tensor<1x2x9x?xf32> -> tensor<1x2x3x?xf32>
  // CHECK: graph.lrn %{{.*}} {alpha = {{.*}}, beta = 7.500000e-01 : f64, bias = 1.000000e+00 : f64, dims = {{.*}}, size = 5 : i64} : tensor<1x2x9x?xf32>
  %1 = graph.lrn %x {size = 5 : i64, alpha = 1.0e-4 : f64, beta = 0.75 : f64, bias = 1.0 : f64, dims = [[1, 2, 9, "w"]]} : tensor<1x2x9x?xf32>
  return
}
