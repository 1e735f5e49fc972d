// RUN: llmc-opt %s --split-input-file --lower-to-plan --verify-diagnostics

// expected-error @below {{'func.func' op dimension '2 * n' has no upper bound; give --dim n=LO..HI}}
func.func @main(%x: tensor<?xf32> {graph.dims = ["2 * n"]}) attributes {graph.entry} {
  return
}

// -----
func.func @main(%x: tensor<?xf32> {graph.dims = ["n"]}) attributes {graph.entry, graph.symbols = {n = [0, 72057594037927936]}} {
  // expected-error @below {{a tensor exceeds 64 bits of bytes}}
  %0 = graph.broadcast %x {dims = [[16, "n"]]} : tensor<?xf32> -> tensor<16x?xf32>
  return
}

// -----
// expected-error @below {{'func.func' op is not an entry (no 'graph.entry')}}
func.func @main() {
  return
}

// -----
// expected-error @below {{'func.func' op argument 0 has type 'tensor<4xcomplex<f32>>', which a plan cannot hold}}
func.func @main(%x: tensor<4xcomplex<f32>>) attributes {graph.entry} {
  return
}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @main(%x: tensor<1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %0 = graph.kv_append @k, %x at "past" : tensor<1x4x1x8xf32>
  %1 = graph.kv_append @k, %x at "past" : tensor<1x4x1x8xf32>
  // expected-error @below {{reads @k as it was before a later append}}
  %2 = graph.kv_read %0 "past + 1" {dims = [[1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32>
  return
}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @main(%x: tensor<1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  // expected-error @below {{position 'past + 1' is neither a symbol nor a constant}}
  %0 = graph.kv_append @k, %x at "past + 1" : tensor<1x4x1x8xf32>
  return
}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
graph.state @v : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "r", output_name = "s"}
func.func @main(%x: tensor<1x4x1x8xf32>, %y: tensor<1x4x2x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 62]}} {
  %0 = graph.kv_append @k, %x at "past" : tensor<1x4x1x8xf32>
  // expected-error @below {{appends 2 tokens, another state 1}}
  %1 = graph.kv_append @v, %y at "past" : tensor<1x4x2x8xf32>
  return
}

// -----
graph.weight @w : tensor<64x64xi8> {file = "m.data", offset = 0 : i64, length = 4096 : i64, hash = "00000000000000000000000000000001"}
func.func @main(%x: tensor<2x64xi8>) attributes {graph.entry} {
  %w = graph.load_weight @w : tensor<64x64xi8>
  // expected-error @below {{cannot pack weight @w of type 'tensor<64x64xi8>': a static matrix of f32, f16 or bf16 is needed}}
  %0 = graph.linear %x, %w {weight_layout = "nk"} : tensor<2x64xi8>, tensor<64x64xi8> -> tensor<2x64xi8>
  return
}

// -----
graph.state @kv : tensor<2x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @main(%q: tensor<1x4x1x8xf32>, %n: tensor<2x1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %c = graph.kv_append @kv, %n at "past" : tensor<2x1x4x1x8xf32>
  // expected-error @below {{reads slice 2 of @kv, which has 2}}
  %0 = graph.attention %q, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 0, 2>}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return
}

// -----
graph.state @kv : tensor<2x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @main(%q: tensor<1x4x1x8xf32>, %n: tensor<2x1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %c = graph.kv_append @kv, %n at "past" : tensor<2x1x4x1x8xf32>
  // expected-error @below {{needs caches [B, H, tokens, D] that grow along axis 2}}
  %0 = graph.attention %q, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return
}

// -----
graph.state @kv : tensor<2x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
graph.state @three : tensor<3x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "r", output_name = "s"}
func.func @main(%q: tensor<1x4x1x8xf32>, %n: tensor<2x1x4x1x8xf32>, %m: tensor<3x1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %c = graph.kv_append @kv, %n at "past" : tensor<2x1x4x1x8xf32>
  %d = graph.kv_append @three, %m at "past" : tensor<3x1x4x1x8xf32>
  // expected-error @below {{k is one of 2 slices, v of 3}}
  %0 = graph.attention %q, %c, %d {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 0, 1>}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return
}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @main(%q: tensor<1x4x1x8xf32>, %n: tensor<1x4x1x8xf32>) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %c = graph.kv_append @k, %n at "past" : tensor<1x4x1x8xf32>
  // expected-error @below {{needs caches [n, B, H, tokens, D] that grow along axis 3}}
  %0 = graph.attention %q, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 0, 0>}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return
}
