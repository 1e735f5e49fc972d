// RUN: llmc-opt %s --verify-graph --split-input-file --verify-diagnostics

func.func @bounded(%x: tensor<?x4xf32> {graph.dims = ["seq", 4]}) attributes {graph.entry, graph.symbols = {seq = [1, 128]}} {
  %0 = graph.unary "exp" %x {dims = [["seq", 4]]} : tensor<?x4xf32> -> tensor<?x4xf32>
  return
}

// -----
// expected-error @below {{dimension 0 of argument 0 has no upper bound: seq}}
func.func @argument(%x: tensor<?x4xf32> {graph.dims = ["seq", 4]}) attributes {graph.entry} {
  return
}

// -----
func.func @result() attributes {graph.entry, graph.symbols = {seq = [1, 128]}} {
  // expected-error @below {{dimension 0 of 'node_1' has no upper bound: other + seq}}
  %0 = graph.fill dense<0.0> : tensor<1xf32> {graph.name = "node_1", dims = [["seq + other"]]} : tensor<?xf32>
  return
}

// -----
// expected-error @below {{argument 0 has dimensions that no attribute names}}
func.func @unnamed(%x: tensor<?x4xf32>) attributes {graph.entry} {
  return
}

// -----
// expected-error @below {{past 'k' has no present}}
func.func @no_present(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  return
}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "k", output_name = "new_k"}
func.func @prefill(%n: tensor<1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %0 = graph.kv_append @k, %n at "past" : tensor<1x4x1x8xf32>
  return
}
// expected-error @below {{entry 'decode' appends 0 times to state 'k', expected once}}
func.func @decode(%n: tensor<1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  return
}
