// RUN: llmc-opt %s --canonicalize --split-input-file | FileCheck %s

// CHECK-LABEL: func.func @reshapes
// CHECK-SAME: %[[X:.*]]: tensor<4x8xf32>
func.func @reshapes(%x: tensor<4x8xf32>) -> (tensor<2x16xf32>, tensor<4x8xf32>) {
  // CHECK: %[[R:.*]] = graph.reshape %[[X]] : tensor<4x8xf32> -> tensor<2x16xf32>
  // CHECK-NEXT: return %[[R]], %[[X]]
  %0 = graph.reshape %x : tensor<4x8xf32> -> tensor<32xf32>
  %1 = graph.reshape %0 : tensor<32xf32> -> tensor<2x16xf32>
  %2 = graph.reshape %0 : tensor<32xf32> -> tensor<4x8xf32>
  return %1, %2 : tensor<2x16xf32>, tensor<4x8xf32>
}

// -----
// Same type, other dimensions: not the same tensor.
// CHECK-LABEL: func.func @reshape_dynamic
func.func @reshape_dynamic(%x: tensor<?x?xf32> {graph.dims = ["a", "b"]}) -> tensor<?x?xf32> {
  // CHECK: graph.reshape
  %0 = graph.reshape %x {dims = [["b", "a"]]} : tensor<?x?xf32> -> tensor<?x?xf32>
  return %0 : tensor<?x?xf32>
}

// -----
// CHECK-LABEL: func.func @transposes
// CHECK-SAME: %[[X:.*]]: tensor<2x3x4xf32>
func.func @transposes(%x: tensor<2x3x4xf32>) -> (tensor<4x2x3xf32>, tensor<2x3x4xf32>) {
  // CHECK: %[[T:.*]] = graph.transpose %[[X]] [2, 0, 1]
  // CHECK-NEXT: return %[[T]], %[[X]]
  %0 = graph.transpose %x [1, 0, 2] : tensor<2x3x4xf32> -> tensor<3x2x4xf32>
  %1 = graph.transpose %0 [2, 1, 0] : tensor<3x2x4xf32> -> tensor<4x2x3xf32>
  %2 = graph.transpose %0 [1, 0, 2] : tensor<3x2x4xf32> -> tensor<2x3x4xf32>
  return %1, %2 : tensor<4x2x3xf32>, tensor<2x3x4xf32>
}

// -----
// CHECK-LABEL: func.func @neutral
// CHECK-SAME: %[[X:.*]]: tensor<4xf32>
func.func @neutral(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  // CHECK: %[[S:.*]] = graph.unary "square" %[[X]]
  // CHECK: %[[R:.*]] = graph.unary "reciprocal" %[[X]]
  // CHECK: return %[[X]], %[[X]], %[[S]], %[[R]]
  %zero = graph.constant dense<0.0> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<1xf32>
  %two = graph.constant dense<2.0> : tensor<f32>
  %0 = graph.binary "add" %zero, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = graph.binary "mul" %x, %one : (tensor<4xf32>, tensor<1xf32>) -> tensor<4xf32>
  %2 = graph.binary "pow" %x, %two : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = graph.binary "div" %one, %x : (tensor<1xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %0, %1, %2, %3 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// -----
// CHECK-LABEL: func.func @folds
func.func @folds() -> (tensor<2x3xi64>, tensor<3xi64>, tensor<2x2xf32>, tensor<3xi1>) {
  // CHECK-DAG: dense<{{\[\[}}11, 12, 13], [21, 22, 23]]> : tensor<2x3xi64>
  // CHECK-DAG: dense<[3, 1, 3]> : tensor<3xi64>
  // CHECK-DAG: dense<{{\[\[}}1.000000e+00, 3.000000e+00], [2.000000e+00, 4.000000e+00]]> : tensor<2x2xf32>
  // CHECK-DAG: dense<[true, false, false]> : tensor<3xi1>
  // CHECK-NOT: graph.binary
  %a = graph.constant dense<[[10], [20]]> : tensor<2x1xi64>
  %b = graph.constant dense<[1, 2, 3]> : tensor<3xi64>
  %i = graph.constant dense<[-1, 0, 2]> : tensor<3xi64>
  %c = graph.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %two = graph.constant dense<2> : tensor<i64>
  %0 = graph.binary "add" %a, %b : (tensor<2x1xi64>, tensor<3xi64>) -> tensor<2x3xi64>
  %1 = graph.gather %b, %i {axis = 0 : i64} : (tensor<3xi64>, tensor<3xi64>) -> tensor<3xi64>
  %2 = graph.transpose %c [1, 0] : tensor<2x2xf32> -> tensor<2x2xf32>
  %3 = graph.binary "lt" %b, %two : (tensor<3xi64>, tensor<i64>) -> tensor<3xi1>
  return %0, %1, %2, %3 : tensor<2x3xi64>, tensor<3xi64>, tensor<2x2xf32>, tensor<3xi1>
}

// -----
// CHECK-LABEL: func.func @through_broadcast
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>
func.func @through_broadcast(%x: tensor<?x4xf32> {graph.dims = ["seq", 4]}, %y: tensor<4xf32>) -> tensor<?x4xf32> {
  // CHECK: %[[C:.*]] = graph.constant dense<3.000000e+00> : tensor<f32>
  // CHECK: %[[A:.*]] = graph.binary "add" %[[X]], %{{.*}} : (tensor<?x4xf32>, tensor<4xf32>)
  // CHECK: graph.binary "mul" %[[A]], %[[C]] {{.*}} : (tensor<?x4xf32>, tensor<f32>)
  %0 = graph.broadcast %y {dims = [["seq", 4]]} : tensor<4xf32> -> tensor<?x4xf32>
  %1 = graph.binary "add" %x, %0 {dims = [["seq", 4]]} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %2 = graph.fill dense<3.0> : tensor<1xf32> {dims = [["seq", 4]]} : tensor<?x4xf32>
  %3 = graph.binary "mul" %1, %2 {dims = [["seq", 4]]} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %3 : tensor<?x4xf32>
}

// -----
// A rearranged splat is a splat, so a mask of ones vanishes.
// CHECK-LABEL: func.func @splats
// CHECK-SAME: %[[C:.*]]: tensor<?x?xi1>
func.func @splats(%c: tensor<?x?xi1> {graph.dims = ["seq", "past + seq"]}, %i: tensor<?x2xi64> {graph.dims = ["past + seq", 2]}) -> tensor<?x?xi1> {
  // CHECK-NEXT: return %[[C]]
  %0 = graph.fill dense<1> : tensor<1xi64> {dims = [[1, "past + seq"]]} : tensor<1x?xi64>
  %1 = graph.cast %0 {dims = [[1, "past + seq"]]} : tensor<1x?xi64> -> tensor<1x?xi1>
  %2 = graph.gather_nd %1, %i {batch_dims = 0 : i64, dims = [["past + seq"]]} : (tensor<1x?xi1>, tensor<?x2xi64>) -> tensor<?xi1>
  %3 = graph.binary "and" %2, %c {dims = [["seq", "past + seq"]]} : (tensor<?xi1>, tensor<?x?xi1>) -> tensor<?x?xi1>
  return %3 : tensor<?x?xi1>
}

// -----
// CHECK-LABEL: func.func @slices
// CHECK-SAME: %[[X:[^:]*]]: tensor<4x10xf32>, %[[Y:[^:]*]]: tensor<4x2xf32>
func.func @slices(%x: tensor<4x10xf32>, %y: tensor<4x2xf32>) -> (tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x10xf32>) {
  // CHECK: %[[S:.*]] = graph.slice %[[X]] ["0", "5"] [1, 4]
  // CHECK-NEXT: return %[[S]], %[[Y]], %[[X]]
  %0 = graph.slice %x ["0", "1"] [1, 2] : tensor<4x10xf32> -> tensor<4x4xf32>
  %1 = graph.slice %0 ["0", "2"] [1, 2] : tensor<4x4xf32> -> tensor<4x2xf32>
  %2 = graph.concat 1, %x, %y : (tensor<4x10xf32>, tensor<4x2xf32>) -> tensor<4x12xf32>
  %3 = graph.slice %2 ["0", "10"] [1, 1] : tensor<4x12xf32> -> tensor<4x2xf32>
  %4 = graph.slice %x ["0", "0"] [1, 1] : tensor<4x10xf32> -> tensor<4x10xf32>
  return %1, %3, %4 : tensor<4x2xf32>, tensor<4x2xf32>, tensor<4x10xf32>
}

// -----
// CHECK-LABEL: func.func @gather_scalar
func.func @gather_scalar(%x: tensor<2x3x4xf32>) -> tensor<3x4xf32> {
  // CHECK: %[[S:.*]] = graph.slice %{{.*}} ["1", "0", "0"] [1, 1, 1] : tensor<2x3x4xf32> -> tensor<1x3x4xf32>
  // CHECK: graph.reshape %[[S]] : tensor<1x3x4xf32> -> tensor<3x4xf32>
  %i = graph.constant dense<-1> : tensor<i64>
  %0 = graph.gather %x, %i {axis = 0 : i64} : (tensor<2x3x4xf32>, tensor<i64>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// -----
// CHECK-LABEL: func.func @casts
// CHECK-SAME: %[[X:.*]]: tensor<4xf16>
func.func @casts(%x: tensor<4xf16>) -> (tensor<4xf16>, tensor<4xi8>) {
  // CHECK: %[[I:.*]] = graph.cast %[[X]] : tensor<4xf16> -> tensor<4xi8>
  // CHECK: return %[[X]], %[[I]]
  %0 = graph.cast %x : tensor<4xf16> -> tensor<4xf32>
  %1 = graph.cast %0 : tensor<4xf32> -> tensor<4xf16>
  %2 = graph.cast %0 : tensor<4xf32> -> tensor<4xi8>
  return %1, %2 : tensor<4xf16>, tensor<4xi8>
}

// -----
// PyTorch's exporter transposes the last two dimensions of a tensor of rank 4.
// CHECK-LABEL: func.func @merged_transpose
// CHECK-SAME: %[[X:[^:]*]]: tensor<2x4x?x8xf32>
func.func @merged_transpose(%x: tensor<2x4x?x8xf32> {graph.dims = [2, 4, "past + seq", 8]}) -> (tensor<2x4x8x?xf32>, tensor<4x2x8x?xf32>) {
  // CHECK: %[[T:.*]] = graph.transpose %[[X]] [0, 1, 3, 2] {dims = {{\[\[}}2, 4, 8, "past + seq"]]}
  // Another split of the merged dimensions is no transpose.
  // CHECK: %[[R:.*]] = graph.reshape %{{.*}} {dims = {{\[\[}}4, 2, 8, "past + seq"]]}
  // CHECK: return %[[T]], %[[R]]
  %0 = graph.reshape %x {dims = [[8, "past + seq", 8]]} : tensor<2x4x?x8xf32> -> tensor<8x?x8xf32>
  %1 = graph.transpose %0 [0, 2, 1] {dims = [[8, 8, "past + seq"]]} : tensor<8x?x8xf32> -> tensor<8x8x?xf32>
  %2 = graph.reshape %1 {dims = [[2, 4, 8, "past + seq"]]} : tensor<8x8x?xf32> -> tensor<2x4x8x?xf32>
  %3 = graph.reshape %1 {dims = [[4, 2, 8, "past + seq"]]} : tensor<8x8x?xf32> -> tensor<4x2x8x?xf32>
  return %2, %3 : tensor<2x4x8x?xf32>, tensor<4x2x8x?xf32>
}
