// RUN: llmc-opt %s --fuse | FileCheck %s

// A tree with a constant inside and an operand that broadcasts.
// CHECK-LABEL: func.func @tree
func.func @tree(%x: tensor<?x8xf32> {graph.dims = ["seq", 8]}, %y: tensor<8xf32>) -> tensor<?x8xf32> {
  // CHECK: %[[F:.*]] = graph.fused(%arg0, %arg1) attributes {dims = {{\[\[}}"seq", 8]]} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  // CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<f32>, %[[B:.*]]: tensor<f32>):
  // CHECK-DAG: %[[M:.*]] = graph.binary "mul" %[[A]], %[[B]] : (tensor<f32>, tensor<f32>) -> tensor<f32>
  // CHECK-DAG: %[[C:.*]] = graph.constant dense<2.000000e+00> : tensor<f32>
  // CHECK: %[[S:.*]] = graph.binary "add" %[[M]], %[[C]]
  // CHECK: %[[E:.*]] = graph.unary "exp" %[[S]]
  // CHECK: %[[R:.*]] = graph.binary "sub" %[[E]], %[[M]]
  // CHECK: graph.yield %[[R]]
  // CHECK: return %[[F]]
  %c = graph.constant dense<2.0> : tensor<f32>
  %0 = graph.binary "mul" %x, %y {dims = [["seq", 8]]} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %1 = graph.binary "add" %0, %c {dims = [["seq", 8]]} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %2 = graph.unary "exp" %1 {dims = [["seq", 8]]} : tensor<?x8xf32> -> tensor<?x8xf32>
  %3 = graph.binary "sub" %2, %0 {dims = [["seq", 8]]} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %3 : tensor<?x8xf32>
}

// What another op reads as well is not computed twice; what is smaller than
// the result is not computed again for each row.
// CHECK-LABEL: func.func @limits
func.func @limits(%x: tensor<4x8xf32>, %y: tensor<8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
  // CHECK: %[[E:.*]] = graph.unary "exp" %arg0
  // CHECK: %[[S:.*]] = graph.unary "sqrt" %arg1 : tensor<8xf32> -> tensor<8xf32>
  // CHECK: graph.fused(%[[E]], %[[S]])
  // CHECK: graph.unary "neg"
  // CHECK-NEXT: graph.binary "mul"
  %0 = graph.unary "exp" %x : tensor<4x8xf32> -> tensor<4x8xf32>
  %1 = graph.unary "sqrt" %y : tensor<8xf32> -> tensor<8xf32>
  %2 = graph.unary "neg" %0 : tensor<4x8xf32> -> tensor<4x8xf32>
  %3 = graph.binary "mul" %2, %1 : (tensor<4x8xf32>, tensor<8xf32>) -> tensor<4x8xf32>
  return %0, %3 : tensor<4x8xf32>, tensor<4x8xf32>
}
