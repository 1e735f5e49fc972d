// RUN: llmc-opt %s --graph-canonicalize --split-input-file | FileCheck %s

graph.weight @kn : tensor<8x16xf32> {file = "", offset = 0 : i64, length = 512 : i64, hash = "00"}
graph.weight @half : tensor<16x8xf16> {file = "", offset = 0 : i64, length = 256 : i64, hash = "01"}

// CHECK-LABEL: func.func @linear
// CHECK-SAME: %[[X:.*]]: tensor<?x8xf32>
func.func @linear(%x: tensor<?x8xf32> {graph.dims = ["seq", 8]}) -> (tensor<?x16xf32>, tensor<?x16xf32>) {
  // CHECK-DAG: %[[KN:.*]] = graph.load_weight @kn
  // CHECK-DAG: %[[NK:.*]] = graph.load_weight @half : tensor<16x8xf16>
  // CHECK-DAG: graph.linear %[[X]], %[[KN]] {dims = {{.*}}"seq", 16]], weight_layout = "kn"}
  // CHECK-DAG: graph.linear %[[X]], %[[NK]] {dims = {{.*}}, weight_layout = "nk"} : tensor<?x8xf32>, tensor<16x8xf16> -> tensor<?x16xf32>
  %w = graph.load_weight @kn : tensor<8x16xf32>
  %0 = graph.matmul %x, %w {dims = [["seq", 16]]} : (tensor<?x8xf32>, tensor<8x16xf32>) -> tensor<?x16xf32>
  %h = graph.load_weight @half : tensor<16x8xf16>
  %c = graph.cast %h : tensor<16x8xf16> -> tensor<16x8xf32>
  %t = graph.transpose %c [1, 0] : tensor<16x8xf32> -> tensor<8x16xf32>
  %1 = graph.matmul %x, %t {dims = [["seq", 16]]} : (tensor<?x8xf32>, tensor<8x16xf32>) -> tensor<?x16xf32>
  return %0, %1 : tensor<?x16xf32>, tensor<?x16xf32>
}

// -----
// A product of two activations stays.
// CHECK-LABEL: func.func @not_linear
func.func @not_linear(%x: tensor<4x8xf32>, %y: tensor<8x8xf32>) -> tensor<4x8xf32> {
  // CHECK: graph.matmul
  %0 = graph.matmul %x, %y : (tensor<4x8xf32>, tensor<8x8xf32>) -> tensor<4x8xf32>
  return %0 : tensor<4x8xf32>
}

// -----
graph.weight @q4 : tensor<16x64xui4> {file = "", offset = 0 : i64, length = 512 : i64, hash = "00"}
graph.weight @s4 : tensor<16x2xf32> {file = "", offset = 0 : i64, length = 128 : i64, hash = "01"}
graph.weight @q8 : tensor<64x16xi8> {file = "", offset = 0 : i64, length = 1024 : i64, hash = "02"}
graph.weight @s8 : tensor<16xf32> {file = "", offset = 0 : i64, length = 64 : i64, hash = "03"}
graph.weight @sk : tensor<64xf32> {file = "", offset = 0 : i64, length = 256 : i64, hash = "03"}

// CHECK-LABEL: func.func @quantized
func.func @quantized(%x: tensor<3x64xf32>, %i: tensor<5xi64>) -> (tensor<3x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>, tensor<5x64xf32>) {
  %q4 = graph.load_weight @q4 : tensor<16x64xui4>
  %s4 = graph.load_weight @s4 : tensor<16x2xf32>
  %d4 = graph.dequantize %q4, %s4 {axis = 1 : i64, block_size = 32 : i64} : tensor<16x64xui4>, tensor<16x2xf32> -> tensor<16x64xf32>
  %t4 = graph.transpose %d4 [1, 0] : tensor<16x64xf32> -> tensor<64x16xf32>
  // CHECK-DAG: graph.quant_linear %{{.*}} {bits = 4 : i64, block_size = 32 : i64, format = "qdq_nk", k = 64 : i64, n = 16 : i64}
  %0 = graph.matmul %x, %t4 : (tensor<3x64xf32>, tensor<64x16xf32>) -> tensor<3x16xf32>

  %q8 = graph.load_weight @q8 : tensor<64x16xi8>
  %s8 = graph.load_weight @s8 : tensor<16xf32>
  %d8 = graph.dequantize %q8, %s8 {axis = 1 : i64, block_size = 0 : i64} : tensor<64x16xi8>, tensor<16xf32> -> tensor<64x16xf32>
  // CHECK-DAG: graph.quant_linear %{{.*}} {bits = 8 : i64, block_size = 64 : i64, format = "qdq_kn", k = 64 : i64, n = 16 : i64}
  %1 = graph.matmul %x, %d8 : (tensor<3x64xf32>, tensor<64x16xf32>) -> tensor<3x16xf32>

  // A scale for each k is no scale per output: this stays a product.
  %sk = graph.load_weight @sk : tensor<64xf32>
  %dk = graph.dequantize %q8, %sk {axis = 0 : i64, block_size = 0 : i64} : tensor<64x16xi8>, tensor<64xf32> -> tensor<64x16xf32>
  // CHECK-DAG: graph.matmul
  %2 = graph.matmul %x, %dk : (tensor<3x64xf32>, tensor<64x16xf32>) -> tensor<3x16xf32>

  // CHECK-DAG: graph.quant_gather %{{.*}} {bits = 4 : i64, block_size = 32 : i64, format = "qdq_nk", k = 64 : i64, n = 16 : i64}
  %3 = graph.gather %d4, %i {axis = 0 : i64} : (tensor<16x64xf32>, tensor<5xi64>) -> tensor<5x64xf32>
  return %0, %1, %2, %3 : tensor<3x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>, tensor<5x64xf32>
}

// -----
graph.weight @head : tensor<8x512xf32> {file = "", offset = 0 : i64, length = 16384 : i64, hash = "00"}

// An embedding tied to a head stored as [K, N]: the same weight, no transpose.
// CHECK-LABEL: func.func @tied
func.func @tied(%i: tensor<3xi64>) -> (tensor<3x8xf32>, tensor<3x512xf32>) {
  // CHECK: %[[W:.*]] = graph.load_weight @head
  // CHECK: %[[X:.*]] = graph.gather %[[W]], %arg0 {axis = 0 : i64, weight_layout = "kn"} : (tensor<8x512xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  // CHECK: graph.linear %[[X]], %[[W]] {weight_layout = "kn"}
  %w = graph.load_weight @head : tensor<8x512xf32>
  %t = graph.transpose %w [1, 0] : tensor<8x512xf32> -> tensor<512x8xf32>
  %x = graph.gather %t, %i {axis = 0 : i64} : (tensor<512x8xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  %y = graph.matmul %x, %w : (tensor<3x8xf32>, tensor<8x512xf32>) -> tensor<3x512xf32>
  return %x, %y : tensor<3x8xf32>, tensor<3x512xf32>
}

// -----
// Keys cached transposed: the cache itself grows along its tokens.
// CHECK-LABEL: func.func @transposed_past
func.func @transposed_past(%p: tensor<1x2x?x4xf32> {graph.dims = [1, 2, "past", 4]}, %n: tensor<1x2x4x3xf32>) -> tensor<1x2x4x?xf32> {
  // CHECK: %[[N:.*]] = graph.transpose %arg1 [0, 1, 3, 2] : tensor<1x2x4x3xf32> -> tensor<1x2x3x4xf32>
  // CHECK: %[[C:.*]] = graph.concat 2, %arg0, %[[N]] {dims = {{\[\[}}1, 2, "past + 3", 4]]}
  // CHECK: graph.transpose %[[C]] [0, 1, 3, 2]
  %t = graph.transpose %p [0, 1, 3, 2] {dims = [[1, 2, 4, "past"]]} : tensor<1x2x?x4xf32> -> tensor<1x2x4x?xf32>
  %c = graph.concat 3, %t, %n {dims = [[1, 2, 4, "past + 3"]]} : (tensor<1x2x4x?xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x4x?xf32>
  return %c : tensor<1x2x4x?xf32>
}
