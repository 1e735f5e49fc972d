// What is not a growing state stays as it is, and the warning names the node.
// RUN: llmc-opt %s --recover-state --split-input-file --verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @other_reader
// CHECK-SAME: %arg0: tensor<1x4x?x8xf32>
// CHECK: graph.concat 2, %arg0
// expected-warning @below {{state 'k' of entry 'other_reader' stays a dense input and output: its present is not the past with the new tokens behind it, or something else reads the past (node 'cat_7')}}
func.func @other_reader(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}}, tensor<1x4x?x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.concat 2, %k, %n {graph.name = "cat_7", dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %1 = graph.unary "abs" %k {dims = [[1, 4, "past", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  return %0, %1 : tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>
}

// -----
// The new tokens in front: another order, no append.
// expected-warning @below {{(node 'cat')}}
func.func @prepends(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.concat 2, %n, %k {graph.name = "cat", dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %0 : tensor<1x4x?x8xf32>
}

// -----
// expected-warning @below {{no result is its present}}
func.func @no_present(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  return
}

// -----
// expected-warning @below {{its length has no bound: past + 1}}
func.func @unbounded(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry} {
  %0 = graph.concat 2, %k, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  return %0 : tensor<1x4x?x8xf32>
}

// -----
// One entry cannot: then neither may the other.
// CHECK-LABEL: func.func @good
// CHECK-NOT: graph.kv_append
func.func @good(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.concat 2, %k, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  return %0 : tensor<1x4x?x8xf32>
}
// expected-warning @below {{stays a dense input and output}}
func.func @bad(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}})
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  return %k : tensor<1x4x?x8xf32>
}
