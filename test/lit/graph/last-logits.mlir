// RUN: llmc-opt %s --last-logits --split-input-file | FileCheck %s

graph.weight @w : tensor<512x64xf32> {file = "", offset = 0 : i64, length = 131072 : i64, hash = "00"}
graph.weight @u : tensor<64x64xf32> {file = "", offset = 0 : i64, length = 16384 : i64, hash = "01"}

// The head, the norm, the residual and the query of the attention are computed
// for one row; its keys for all.
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: -> (tensor<1x1x512xf32>
func.func @prefill(%x: tensor<1x?x64xf32> {graph.dims = [1, "seq", 64]}) -> (tensor<1x?x512xf32> {graph.port = {name = "logits", role = "logits"}})
    attributes {graph.entry, graph.symbols = {seq = [1, 128]}} {
  // CHECK: %[[LAST:.*]] = graph.slice %arg0 ["0", "seq - 1", "0"] [1, 1, 1] : tensor<1x?x64xf32> -> tensor<1x1x64xf32>
  // CHECK: %[[Q:.*]] = graph.linear %[[LAST]], %{{.*}} : tensor<1x1x64xf32>, tensor<64x64xf32> -> tensor<1x1x64xf32>
  // CHECK: %[[K:.*]] = graph.linear %arg0, %{{.*}} -> tensor<1x?x64xf32>
  // CHECK: %[[QH:.*]] = graph.reshape %[[Q]] : tensor<1x1x64xf32> -> tensor<1x1x8x8xf32>
  // CHECK: graph.attention %[[QH]], {{.*}} {causal = true, {{.*}} -> tensor<1x1x8x8xf32>
  // CHECK: graph.binary "add" %[[LAST]], %{{.*}} : (tensor<1x1x64xf32>, tensor<1x1x64xf32>) -> tensor<1x1x64xf32>
  // CHECK: graph.rms_norm {{.*}} : tensor<1x1x64xf32> -> tensor<1x1x64xf32>
  // CHECK: %[[Y:.*]] = graph.linear {{.*}} -> tensor<1x1x512xf32>
  // CHECK: return %[[Y]]
  %u = graph.load_weight @u : tensor<64x64xf32>
  %w = graph.load_weight @w : tensor<512x64xf32>
  %q = graph.linear %x, %u {weight_layout = "nk", dims = [[1, "seq", 64]]} : tensor<1x?x64xf32>, tensor<64x64xf32> -> tensor<1x?x64xf32>
  %k = graph.linear %x, %u {weight_layout = "kn", dims = [[1, "seq", 64]]} : tensor<1x?x64xf32>, tensor<64x64xf32> -> tensor<1x?x64xf32>
  %qh = graph.reshape %q {dims = [[1, "seq", 8, 8]]} : tensor<1x?x64xf32> -> tensor<1x?x8x8xf32>
  %kh = graph.reshape %k {dims = [[1, "seq", 8, 8]]} : tensor<1x?x64xf32> -> tensor<1x?x8x8xf32>
  %kt = graph.transpose %kh [0, 2, 1, 3] {dims = [[1, 8, "seq", 8]]} : tensor<1x?x8x8xf32> -> tensor<1x8x?x8xf32>
  %a = graph.attention %qh, %kt, %kt {q_layout = "bshd", total = "seq", causal = true, window = 0 : i64, scale = 0.5 : f64, dims = [[1, "seq", 8, 8]]}
      : tensor<1x?x8x8xf32>, tensor<1x8x?x8xf32>, tensor<1x8x?x8xf32> -> tensor<1x?x8x8xf32>
  %m = graph.reshape %a {dims = [[1, "seq", 64]]} : tensor<1x?x8x8xf32> -> tensor<1x?x64xf32>
  %r = graph.binary "add" %x, %m {dims = [[1, "seq", 64]]} : (tensor<1x?x64xf32>, tensor<1x?x64xf32>) -> tensor<1x?x64xf32>
  %n = graph.rms_norm %r {trailing = 1 : i64, epsilon = 1.0e-5 : f64, dims = [[1, "seq", 64]]} : tensor<1x?x64xf32> -> tensor<1x?x64xf32>
  %y = graph.linear %n, %w {weight_layout = "nk", dims = [[1, "seq", 512]]} : tensor<1x?x64xf32>, tensor<512x64xf32> -> tensor<1x?x512xf32>
  return %y : tensor<1x?x512xf32>
}

// -----
// A sum over the tokens needs all of them: only what follows is one row.
// CHECK-LABEL: func.func @barrier
func.func @barrier(%x: tensor<1x?x4xf32> {graph.dims = [1, "seq", 4]}) -> (tensor<1x?x4xf32> {graph.port = {name = "logits", role = "logits"}})
    attributes {graph.entry, graph.symbols = {seq = [1, 128]}} {
  // CHECK: %[[C:.*]] = graph.cumsum %arg0
  // CHECK: %[[L:.*]] = graph.slice %[[C]] ["0", "seq - 1", "0"]
  // CHECK: graph.unary "exp" %[[L]] : tensor<1x1x4xf32> -> tensor<1x1x4xf32>
  %c = graph.cumsum %x {axis = 1 : i64, exclusive = false, reverse = false, dims = [[1, "seq", 4]]} : tensor<1x?x4xf32> -> tensor<1x?x4xf32>
  %e = graph.unary "exp" %c {dims = [[1, "seq", 4]]} : tensor<1x?x4xf32> -> tensor<1x?x4xf32>
  return %e : tensor<1x?x4xf32>
}

// -----
// Another result needs every row of the hidden state.
// CHECK-LABEL: func.func @two_readers
// CHECK-SAME: -> (tensor<1x1x4xf32> {{.*}}, tensor<1x?x4xf32>)
func.func @two_readers(%x: tensor<1x?x4xf32> {graph.dims = [1, "seq", 4]}) -> (tensor<1x?x4xf32> {graph.port = {name = "logits", role = "logits"}}, tensor<1x?x4xf32>)
    attributes {graph.entry, graph.symbols = {seq = [1, 128]}} {
  // CHECK: %[[H:.*]] = graph.unary "exp" %arg0 {{.*}} -> tensor<1x?x4xf32>
  // CHECK: %[[L:.*]] = graph.slice %[[H]]
  // CHECK: %[[Y:.*]] = graph.unary "neg" %[[L]] : tensor<1x1x4xf32>
  // CHECK: return %[[Y]], %[[H]]
  %h = graph.unary "exp" %x {dims = [[1, "seq", 4]]} : tensor<1x?x4xf32> -> tensor<1x?x4xf32>
  %y = graph.unary "neg" %h {dims = [[1, "seq", 4]]} : tensor<1x?x4xf32> -> tensor<1x?x4xf32>
  return %y, %h : tensor<1x?x4xf32>, tensor<1x?x4xf32>
}
