// RUN: llmc-opt %s --limit-state='window=20' --split-input-file --verify-diagnostics

graph.state @k : tensor<1x1x256x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "past.0", output_name = "new_k"}
func.func @decode(%n: tensor<1x1x1x8xf32>) -> (tensor<1x1x?x8xf32> {graph.dims = [1, 1, "past + 1", 8], graph.port = {name = "y", role = "generic"}})
    attributes {graph.entry, graph.symbols = {past = [0, 255]}} {
  %c = graph.kv_append @k, %n at "past" : tensor<1x1x1x8xf32>
  // expected-error @below {{reads all of the cache 'past.0' (node 'node7'): --kv-window needs caches that only attention reads}}
  %y = graph.kv_read %c "past + 1" {graph.name = "node7", dims = [[1, 1, "past + 1", 8]]} : tensor<1x1x?x8xf32>
  return %y : tensor<1x1x?x8xf32>
}

// -----
// expected-error @below {{--kv-window: the model has no KV cache that grows in place}}
module {
}

// -----
// expected-error @below {{'graph.ring' must be array<i64: BLOCKS, RING>, found array<i64: 1, 0>}}
graph.state @k : tensor<1x1x256x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "a", output_name = "b", graph.ring = array<i64: 1, 0>}

// -----
func.func @f(%n: tensor<1x1x1x8xf32>) -> tensor<1x1x1x8xf32> {
  // expected-error @below {{'graph.limit' is an attribute of a graph.attention over caches with a window}}
  %0 = graph.unary "neg" %n {graph.limit = array<i64: 1, 1>} : tensor<1x1x1x8xf32> -> tensor<1x1x1x8xf32>
  return %0 : tensor<1x1x1x8xf32>
}
