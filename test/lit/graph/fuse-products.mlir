// RUN: llmc-opt %s --fuse-products --split-input-file | FileCheck %s
// RUN: llmc-opt %s --fuse-products=explain --split-input-file --verify-diagnostics

graph.weight @w : tensor<32x16xf32> {file = "", offset = 0 : i64, length = 2048 : i64, hash = "00"}
graph.weight @b : tensor<32xf32> {file = "", offset = 0 : i64, length = 128 : i64, hash = "01"}

// CHECK-LABEL: func.func @bias_activation
func.func @bias_activation(%x: tensor<3x16xf32>) -> tensor<3x32xf32> {
  // CHECK: %[[L:.*]] = graph.linear %arg0, %{{.*}} bias(%{{.*}} : tensor<32xf32>) {activation = "gelu_tanh", weight_layout = "nk"}
  // CHECK-NEXT: return %[[L]]
  %w = graph.load_weight @w : tensor<32x16xf32>
  %b = graph.load_weight @b : tensor<32xf32>
  %0 = graph.linear %x, %w {weight_layout = "nk"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  %1 = graph.binary "add" %b, %0 : (tensor<32xf32>, tensor<3x32xf32>) -> tensor<3x32xf32>
  %2 = graph.unary "gelu_tanh" %1 : tensor<3x32xf32> -> tensor<3x32xf32>
  return %2 : tensor<3x32xf32>
}

// The product is read twice: it keeps its own value.
// CHECK-LABEL: func.func @shared_product
func.func @shared_product(%x: tensor<3x16xf32>) -> (tensor<3x32xf32>, tensor<3x32xf32>) {
  // CHECK: graph.linear %arg0, %{{.*}} {weight_layout = "nk"}
  // CHECK: graph.unary "relu"
  %w = graph.load_weight @w : tensor<32x16xf32>
  %0 = graph.linear %x, %w {weight_layout = "nk"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  %1 = graph.unary "relu" %0 : tensor<3x32xf32> -> tensor<3x32xf32>
  return %0, %1 : tensor<3x32xf32>, tensor<3x32xf32>
}

// The later of two products takes up the sum; one that broadcasts does not.
// CHECK-LABEL: func.func @residual
func.func @residual(%x: tensor<3x16xf32>, %r: tensor<1x32xf32>) -> tensor<3x32xf32> {
  // CHECK: %[[A:.*]] = graph.linear %arg0, %{{.*}} {activation = "relu"
  // CHECK: %[[B:.*]] = graph.linear %arg0, %{{.*}} residual(%[[A]] : tensor<3x32xf32>) {weight_layout = "nk"}
  // CHECK: graph.binary "add" %[[B]], %arg1
  %w = graph.load_weight @w : tensor<32x16xf32>
  %0 = graph.linear %x, %w {weight_layout = "nk", activation = "relu"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  %1 = graph.linear %x, %w {weight_layout = "nk"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  %2 = graph.binary "add" %0, %1 : (tensor<3x32xf32>, tensor<3x32xf32>) -> tensor<3x32xf32>
  %3 = graph.binary "add" %2, %r : (tensor<3x32xf32>, tensor<1x32xf32>) -> tensor<3x32xf32>
  return %3 : tensor<3x32xf32>
}

// -----

graph.weight @g : tensor<32x16xf32> {file = "", offset = 0 : i64, length = 2048 : i64, hash = "00"}
graph.weight @u : tensor<16x32xf32> {file = "", offset = 0 : i64, length = 2048 : i64, hash = "01"}
graph.weight @q : tensor<16x16xf32> {file = "", offset = 0 : i64, length = 1024 : i64, hash = "02"}
graph.weight @k : tensor<8x16xf32> {file = "", offset = 0 : i64, length = 512 : i64, hash = "03"}
graph.weight @v : tensor<8x16xf32> {file = "", offset = 0 : i64, length = 512 : i64, hash = "04"}

// CHECK-LABEL: func.func @gate
func.func @gate(%x: tensor<3x16xf32>) -> tensor<3x32xf32> {
  // CHECK: %[[R:.*]] = graph.gated_linear %arg0, %{{.*}}, %{{.*}} {activation = "silu", gate_layout = "nk", up_layout = "kn"}
  // CHECK-NEXT: return %[[R]]
  %g = graph.load_weight @g : tensor<32x16xf32>
  %u = graph.load_weight @u : tensor<16x32xf32>
  %0 = graph.linear %x, %g {weight_layout = "nk"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  %1 = graph.unary "silu" %0 : tensor<3x32xf32> -> tensor<3x32xf32>
  %2 = graph.linear %x, %u {weight_layout = "kn"} : tensor<3x16xf32>, tensor<16x32xf32> -> tensor<3x32xf32>
  %3 = graph.binary "mul" %1, %2 : (tensor<3x32xf32>, tensor<3x32xf32>) -> tensor<3x32xf32>
  return %3 : tensor<3x32xf32>
}

// Both entries use the three together; the parts come by name in both.
// CHECK-LABEL: func.func @prefill
func.func @prefill(%x: tensor<3x16xf32>) -> (tensor<3x16xf32>, tensor<3x8xf32>, tensor<3x8xf32>) {
  // CHECK: %[[R:.*]]:3 = graph.split_linear %arg0, %[[K:.*]], %[[Q:.*]], %[[V:.*]] {layouts = ["nk", "nk", "nk"]}
  // CHECK-NEXT: return %[[R]]#1, %[[R]]#0, %[[R]]#2
  %q = graph.load_weight @q : tensor<16x16xf32>
  %k = graph.load_weight @k : tensor<8x16xf32>
  %v = graph.load_weight @v : tensor<8x16xf32>
  %0 = graph.linear %x, %q {weight_layout = "nk"} : tensor<3x16xf32>, tensor<16x16xf32> -> tensor<3x16xf32>
  %1 = graph.linear %x, %k {weight_layout = "nk"} : tensor<3x16xf32>, tensor<8x16xf32> -> tensor<3x8xf32>
  %2 = graph.linear %x, %v {weight_layout = "nk"} : tensor<3x16xf32>, tensor<8x16xf32> -> tensor<3x8xf32>
  return %0, %1, %2 : tensor<3x16xf32>, tensor<3x8xf32>, tensor<3x8xf32>
}

// CHECK-LABEL: func.func @decode
func.func @decode(%x: tensor<1x16xf32>) -> (tensor<1x16xf32>, tensor<1x8xf32>, tensor<1x8xf32>) {
  // CHECK: %[[R:.*]]:3 = graph.split_linear %arg0, %[[K:.*]], %[[Q:.*]], %[[V:.*]] {layouts = ["nk", "nk", "nk"]}
  // CHECK-NEXT: return %[[R]]#1, %[[R]]#0, %[[R]]#2
  %v = graph.load_weight @v : tensor<8x16xf32>
  %2 = graph.linear %x, %v {weight_layout = "nk"} : tensor<1x16xf32>, tensor<8x16xf32> -> tensor<1x8xf32>
  %q = graph.load_weight @q : tensor<16x16xf32>
  %k = graph.load_weight @k : tensor<8x16xf32>
  %0 = graph.linear %x, %q {weight_layout = "nk"} : tensor<1x16xf32>, tensor<16x16xf32> -> tensor<1x16xf32>
  %1 = graph.linear %x, %k {weight_layout = "nk"} : tensor<1x16xf32>, tensor<8x16xf32> -> tensor<1x8xf32>
  return %0, %1, %2 : tensor<1x16xf32>, tensor<1x8xf32>, tensor<1x8xf32>
}

// -----

// One entry needs q of other rows: only k and v are joined, in both.
graph.weight @q : tensor<16x16xf32> {file = "", offset = 0 : i64, length = 1024 : i64, hash = "02"}
graph.weight @k : tensor<8x16xf32> {file = "", offset = 0 : i64, length = 512 : i64, hash = "03"}
graph.weight @v : tensor<8x16xf32> {file = "", offset = 0 : i64, length = 512 : i64, hash = "04"}

// CHECK-LABEL: func.func @last_row
func.func @last_row(%x: tensor<3x16xf32>, %y: tensor<1x16xf32>) -> (tensor<1x16xf32>, tensor<3x8xf32>, tensor<3x8xf32>) {
  // CHECK: graph.linear %arg1
  // CHECK: graph.split_linear %arg0, %{{.*}}, %{{.*}} {layouts = ["nk", "nk"]}
  %q = graph.load_weight @q : tensor<16x16xf32>
  %k = graph.load_weight @k : tensor<8x16xf32>
  %v = graph.load_weight @v : tensor<8x16xf32>
  %0 = graph.linear %y, %q {weight_layout = "nk"} : tensor<1x16xf32>, tensor<16x16xf32> -> tensor<1x16xf32>
  %1 = graph.linear %x, %k {weight_layout = "nk"} : tensor<3x16xf32>, tensor<8x16xf32> -> tensor<3x8xf32>
  %2 = graph.linear %x, %v {weight_layout = "nk"} : tensor<3x16xf32>, tensor<8x16xf32> -> tensor<3x8xf32>
  return %0, %1, %2 : tensor<1x16xf32>, tensor<3x8xf32>, tensor<3x8xf32>
}

// CHECK-LABEL: func.func @one_row
func.func @one_row(%x: tensor<1x16xf32>) -> (tensor<1x16xf32>, tensor<1x8xf32>, tensor<1x8xf32>) {
  // CHECK: graph.linear %arg0
  // CHECK: graph.split_linear %arg0, %{{.*}}, %{{.*}} {layouts = ["nk", "nk"]}
  %q = graph.load_weight @q : tensor<16x16xf32>
  %k = graph.load_weight @k : tensor<8x16xf32>
  %v = graph.load_weight @v : tensor<8x16xf32>
  %0 = graph.linear %x, %q {weight_layout = "nk"} : tensor<1x16xf32>, tensor<16x16xf32> -> tensor<1x16xf32>
  %1 = graph.linear %x, %k {weight_layout = "nk"} : tensor<1x16xf32>, tensor<8x16xf32> -> tensor<1x8xf32>
  %2 = graph.linear %x, %v {weight_layout = "nk"} : tensor<1x16xf32>, tensor<8x16xf32> -> tensor<1x8xf32>
  return %0, %1, %2 : tensor<1x16xf32>, tensor<1x8xf32>, tensor<1x8xf32>
}

// -----

// What is refused: a table that is gathered from, and results that are large.
graph.weight @t : tensor<32x16xf32> {file = "", offset = 0 : i64, length = 2048 : i64, hash = "00"}
graph.weight @a : tensor<64x16xf32> {file = "", offset = 0 : i64, length = 4096 : i64, hash = "01"}
graph.weight @b : tensor<64x16xf32> {file = "", offset = 0 : i64, length = 4096 : i64, hash = "02"}

// CHECK-LABEL: func.func @refused
func.func @refused(%x: tensor<3x16xf32>, %i: tensor<3xi64>) -> (tensor<3x32xf32>, tensor<3x64xf32>, tensor<3x64xf32>, tensor<3x16xf32>) {
  // CHECK-NOT: split_linear
  // CHECK: return
  %t = graph.load_weight @t : tensor<32x16xf32>
  %a = graph.load_weight @a : tensor<64x16xf32>
  %b = graph.load_weight @b : tensor<64x16xf32>
  // expected-remark @below {{not joined: its weight is used elsewhere too}}
  %0 = graph.linear %x, %t {weight_layout = "nk"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  // expected-remark @below {{not joined: the results are more than four times as large as the input}}
  %1 = graph.linear %x, %a {weight_layout = "nk"} : tensor<3x16xf32>, tensor<64x16xf32> -> tensor<3x64xf32>
  %2 = graph.linear %x, %b {weight_layout = "nk"} : tensor<3x16xf32>, tensor<64x16xf32> -> tensor<3x64xf32>
  %3 = graph.gather %t, %i {axis = 0 : i64} : (tensor<32x16xf32>, tensor<3xi64>) -> tensor<3x16xf32>
  return %0, %1, %2, %3 : tensor<3x32xf32>, tensor<3x64xf32>, tensor<3x64xf32>, tensor<3x16xf32>
}
