// RUN: llmc-opt %s --split-input-file --verify-diagnostics

func.func @no_dims() {
  // expected-error @below {{has a result that is not static, 'tensor<?xf32>', and no 'dims' attribute}}
  %0 = graph.fill dense<0.0> : tensor<1xf32> : tensor<?xf32>
  return
}

// -----
func.func @dims_against_type() {
  // expected-error @below {{'dims'[0][1] is 5, the type says 'tensor<?x4xf32>'}}
  %0 = graph.fill dense<0.0> : tensor<1xf32> {dims = [["seq", 5]]} : tensor<?x4xf32>
  return
}

// -----
func.func @dims_rank() {
  // expected-error @below {{'dims'[0] has 1 dimensions, the type 'tensor<?x4xf32>' has 2}}
  %0 = graph.fill dense<0.0> : tensor<1xf32> {dims = [["seq"]]} : tensor<?x4xf32>
  return
}

// -----
func.func @dims_text() {
  // expected-error @below {{'dims'[0] is not a list of integers and dimension expressions}}
  %0 = graph.fill dense<0.0> : tensor<1xf32> {dims = [["seq +"]]} : tensor<?xf32>
  return
}

// -----
func.func @unary_kind(%x: tensor<4xf32>) {
  // expected-error @below {{unknown kind 'expp'}}
  %0 = graph.unary "expp" %x : tensor<4xf32> -> tensor<4xf32>
  return
}

// -----
func.func @binary_broadcast(%x: tensor<4xf32>, %y: tensor<3xf32>) {
  // expected-error @below {{operand 'tensor<3xf32>' does not broadcast to the result 'tensor<4xf32>'}}
  %0 = graph.binary "add" %x, %y : (tensor<4xf32>, tensor<3xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @comparison(%x: tensor<4xf32>) {
  // expected-error @below {{a comparison gives i1, found 'tensor<4xf32>'}}
  %0 = graph.binary "lt" %x, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @types(%x: tensor<4xf32>, %y: tensor<4xi64>) {
  // expected-error @below {{element types differ: 'tensor<4xf32>' and 'tensor<4xi64>'}}
  %0 = graph.binary "add" %x, %y : (tensor<4xf32>, tensor<4xi64>) -> tensor<4xf32>
  return
}

// -----
func.func @perm(%x: tensor<4x5xf32>) {
  // expected-error @below {{'perm' is not a permutation}}
  %0 = graph.transpose %x [0, 0] : tensor<4x5xf32> -> tensor<4x5xf32>
  return
}

// -----
func.func @elements(%x: tensor<4x5xf32>) {
  // expected-error @below {{changes the number of elements}}
  %0 = graph.reshape %x : tensor<4x5xf32> -> tensor<4x4xf32>
  return
}

// -----
func.func @no_weight() {
  // expected-error @below {{no graph.weight @w}}
  %0 = graph.load_weight @w : tensor<4xf32>
  return
}

// -----
func.func @not_a_weight(%x: tensor<2x4xf32>, %w: tensor<3x4xf32>) {
  // expected-error @below {{the weight must be a graph.load_weight}}
  %0 = graph.linear %x, %w {weight_layout = "nk"} : tensor<2x4xf32>, tensor<3x4xf32> -> tensor<2x3xf32>
  return
}

// -----
// expected-error @below {{capacity 100 is not a whole number of blocks of 64 tokens}}
graph.state @k : tensor<1x4x100x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}

// -----
graph.state @k : tensor<1x4x64x8xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @append(%x: tensor<1x4x1x16xf32>) {
  // expected-error @below {{does not fit into @k}}
  %0 = graph.kv_append @k, %x at "past" : tensor<1x4x1x16xf32>
  return
}

// -----
func.func @matmul(%x: tensor<2x4xf32>, %y: tensor<3x4xf32>) {
  // expected-error @below {{inner dimensions differ: 4 and 3}}
  %0 = graph.matmul %x, %y : (tensor<2x4xf32>, tensor<3x4xf32>) -> tensor<2x4xf32>
  return
}

// -----
// expected-error @below {{unknown role 'weights' of an argument}}
func.func @port(%x: tensor<2xf32> {graph.port = {name = "x", role = "weights"}}) {
  return
}

// -----
// expected-error @below {{role 'past' needs the integers 'state' and 'axis'}}
func.func @past(%x: tensor<2xf32> {graph.port = {name = "x", role = "past"}}) {
  return
}

// -----
// expected-error @below {{bounds of symbol 'seq' must be [lower, upper] with lower <= upper}}
func.func @symbols() attributes {graph.entry, graph.symbols = {seq = [4, 1]}} {
  return
}

// -----
func.func @gather_layout(%x: tensor<8x4xf32>, %i: tensor<3xi64>) {
  // expected-error @below {{weight_layout 'kn' needs axis 0 of a graph.load_weight of rank 2}}
  %0 = graph.gather %x, %i {axis = 0 : i64, weight_layout = "kn"} : (tensor<8x4xf32>, tensor<3xi64>) -> tensor<3x8xf32>
  return
}

// -----
func.func @pool_kind(%x: tensor<1x2x8xf32>) {
  // expected-error @below {{unknown kind 'median'}}
  %0 = graph.pool "median" %x {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>} : tensor<1x2x8xf32> -> tensor<1x2x4xf32>
  return
}

// -----
func.func @pool_size(%x: tensor<1x2x9xf32>) {
  // expected-error @below {{axis 2 of the result is 5, expected 4}}
  %0 = graph.pool "max" %x {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>} : tensor<1x2x9xf32> -> tensor<1x2x5xf32>
  return
}

// -----
func.func @pool_lengths(%x: tensor<1x2x9x9xf32>) {
  // expected-error @below {{kernel, strides, dilations and pads must have one length}}
  %0 = graph.pool "max" %x {kernel = array<i64: 2, 2>, strides = array<i64: 2>, dilations = array<i64: 1, 1>, pads_begin = array<i64: 0, 0>, pads_end = array<i64: 0, 0>} : tensor<1x2x9x9xf32> -> tensor<1x2x4x4xf32>
  return
}

// -----
func.func @pool_rank(%x: tensor<1x2x9x9xf32>) {
  // expected-error @below {{kernel has 1 extents, x is 'tensor<1x2x9x9xf32>'}}
  %0 = graph.pool "max" %x {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>} : tensor<1x2x9x9xf32> -> tensor<1x2x4x4xf32>
  return
}

// -----
func.func @pool_mean_of_integers(%x: tensor<1x2x8xi64>) {
  // expected-error @below {{means need floats, found 'tensor<1x2x8xi64>'}}
  %0 = graph.pool "average" %x {kernel = array<i64: 2>, strides = array<i64: 2>, dilations = array<i64: 1>, pads_begin = array<i64: 0>, pads_end = array<i64: 0>} : tensor<1x2x8xi64> -> tensor<1x2x4xi64>
  return
}

// -----
func.func @lrn_size(%x: tensor<1x2x8xf32>) {
  // expected-error @below {{size must be positive, found 0}}
  %0 = graph.lrn %x {size = 0 : i64, alpha = 1.0e-4 : f64, beta = 0.75 : f64, bias = 1.0 : f64} : tensor<1x2x8xf32>
  return
}

// -----
func.func @linear_weight(%x: tensor<2x4xf32>) {
  %w = graph.constant dense<[[1.0, 2.0, 3.0, 4.0]]> : tensor<1x4xf32>
  // expected-error @below {{the weight must be a graph.load_weight or a splat constant}}
  %0 = graph.linear %x, %w {weight_layout = "nk"} : tensor<2x4xf32>, tensor<1x4xf32> -> tensor<2x1xf32>
  return
}

// -----
func.func @slices(%q: tensor<1x4x1x8xf32>, %k: tensor<1x4x3x8xf32>) {
  // expected-error @below {{'graph.slices' is an attribute of a graph.attention over caches}}
  %0 = graph.attention %q, %k, %k {q_layout = "bhsd", total = "3", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 0, 1>}
      : tensor<1x4x1x8xf32>, tensor<1x4x3x8xf32>, tensor<1x4x3x8xf32> -> tensor<1x4x1x8xf32>
  return
}

// -----
graph.state @kv : tensor<2x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @slices(%q: tensor<1x4x1x8xf32>, %n: tensor<2x1x4x1x8xf32>) {
  %c = graph.kv_append @kv, %n at "past" : tensor<2x1x4x1x8xf32>
  // expected-error @below {{'graph.slices' must be array<i64: K, V>, the indices of k and v, found array<i64: -1, 1>}}
  %0 = graph.attention %q, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: -1, 1>}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return
}
