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
