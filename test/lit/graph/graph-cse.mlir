// RUN: llmc-opt %s --graph-cse | FileCheck %s

graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}

// The same value under the names of two nodes.
// CHECK-LABEL: func.func @names
func.func @names(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  // CHECK-NEXT: %[[C:.*]] = graph.unary "cos" %arg0 {graph.name = "layer_0"}
  // CHECK-NEXT: return %[[C]], %[[C]]
  %0 = graph.unary "cos" %x {graph.name = "layer_0"} : tensor<4xf32> -> tensor<4xf32>
  %1 = graph.unary "cos" %x {graph.name = "layer_1"} : tensor<4xf32> -> tensor<4xf32>
  return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// Another kind, other dims: other values.
// CHECK-LABEL: func.func @different
func.func @different(%x: tensor<?x?xf32> {graph.dims = ["a", "b"]}) -> (tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>) {
  // CHECK-COUNT-4: graph.reshape
  %0 = graph.reshape %x {dims = [["b", "a"]]} : tensor<?x?xf32> -> tensor<?x?xf32>
  %1 = graph.reshape %x {dims = [[1, "a * b"]]} : tensor<?x?xf32> -> tensor<1x?xf32>
  %2 = graph.reshape %1 {dims = [["b", "a"]]} : tensor<1x?xf32> -> tensor<?x?xf32>
  %3 = graph.reshape %1 {dims = [["2 * b", "a"]]} : tensor<1x?xf32> -> tensor<?x?xf32>
  return %0, %2, %3 : tensor<?x?xf32>, tensor<?x?xf32>, tensor<?x?xf32>
}

// An append is an effect, each time.
// CHECK-LABEL: func.func @appends
func.func @appends(%x: tensor<1x4x1x8xf32>) {
  // CHECK-COUNT-2: graph.kv_append
  %0 = graph.kv_append @k, %x at "past" : tensor<1x4x1x8xf32>
  %1 = graph.kv_append @k, %x at "past" : tensor<1x4x1x8xf32>
  return
}
