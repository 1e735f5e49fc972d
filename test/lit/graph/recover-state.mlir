// RUN: llmc-opt %s --recover-state='context=100 block-tokens=16' --split-input-file | FileCheck %s
// RUN: llmc-opt %s --recover-state --split-input-file | FileCheck %s --check-prefix=BOUND
// RUN: llmc-opt %s --recover-state='type=f16' --split-input-file | FileCheck %s --check-prefix=HALF

// Both entries share the states. 100 tokens are 7 blocks of 16; without a
// context the bounds say 384 + 128 = 512 tokens, 8 blocks of 64.
// CHECK: graph.state @k : tensor<1x4x112x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "k", output_name = "new_k"}
// CHECK: graph.state @v : tensor<1x4x112x8xf32>
// CHECK-NOT: graph.state
// HALF: graph.state @k : tensor<1x4x512x8xf16>
// BOUND: graph.state @k : tensor<1x4x512x8xf32> {axis = 2 : i64, block_tokens = 64 : i64,
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: (%[[Q:[^:]*]]: tensor<1x8x?x8xf32> {{[^)]*}}, %[[N:[^:]*]]: tensor<1x4x?x8xf32> {{[^)]*}}) -> (tensor<1x8x?x8xf32> {graph.port = {name = "y", role = "generic"}})
// CHECK-NEXT: %[[K:.*]] = graph.kv_append @k, %[[N]] at "past"
// CHECK-NEXT: %[[V:.*]] = graph.kv_append @v, %[[N]] at "past"
// CHECK-NEXT: %[[A:.*]] = graph.attention %[[Q]], %[[K]], %[[V]] {{.*}}!graph.cache, !graph.cache
// CHECK-NEXT: return %[[A]]
func.func @prefill(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}},
                   %q: tensor<1x8x?x8xf32> {graph.dims = [1, 8, "seq", 8]}, %n: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]},
                   %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "v", role = "past", state = 1 : i64, axis = 2 : i64}})
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}},
        tensor<1x8x?x8xf32> {graph.port = {name = "y", role = "generic"}},
        tensor<1x4x?x8xf32> {graph.port = {name = "new_v", role = "present", state = 1 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %0 = graph.concat 2, %k, %n {dims = [[1, 4, "past + seq", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  %1 = graph.concat 2, %v, %n {dims = [[1, 4, "past + seq", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  %2 = graph.attention %q, %0, %1 {q_layout = "bhsd", total = "past + seq", causal = true, window = 0 : i64, scale = 0.5 : f64, dims = [[1, 8, "seq", 8]]}
      : tensor<1x8x?x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x8x?x8xf32>
  return %0, %2, %1 : tensor<1x4x?x8xf32>, tensor<1x8x?x8xf32>, tensor<1x4x?x8xf32>
}
// A reader that is no attention gets the tokens dense.
// CHECK-LABEL: func.func @decode
// CHECK: %[[K:.*]] = graph.kv_append @k, %{{.*}} at "past"
// CHECK-NEXT: %[[D:.*]] = graph.kv_read %[[K]] "past + 1" {dims = {{\[\[}}1, 4, "past + 1", 8]]}
// CHECK: graph.unary "abs" %[[D]]
func.func @decode(%k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "k", role = "past", state = 0 : i64, axis = 2 : i64}},
                  %n: tensor<1x4x1x8xf32>,
                  %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past", 8], graph.port = {name = "v", role = "past", state = 1 : i64, axis = 2 : i64}})
    -> (tensor<1x4x?x8xf32> {graph.port = {name = "new_k", role = "present", state = 0 : i64, axis = 2 : i64}},
        tensor<1x4x?x8xf32> {graph.port = {name = "y", role = "generic"}},
        tensor<1x4x?x8xf32> {graph.port = {name = "new_v", role = "present", state = 1 : i64, axis = 2 : i64}})
    attributes {graph.entry, graph.symbols = {past = [0, 511]}} {
  %0 = graph.concat 2, %k, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %1 = graph.concat 2, %v, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %2 = graph.unary "abs" %0 {dims = [[1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  return %0, %2, %1 : tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>
}

// -----
// Keys and values in one tensor, as in the GPT-2 of onnxruntime: one state. The
// reader of the keys stood before the new values were made.
// CHECK: graph.state @past_0 : tensor<2x1x4x112x8xf32> {axis = 3 : i64
// CHECK-LABEL: func.func @combined
// CHECK: %[[N:.*]] = graph.concat 0, %{{.*}}, %{{.*}} : (tensor<1x1x4x1x8xf32>, tensor<1x1x4x1x8xf32>) -> tensor<2x1x4x1x8xf32>
// CHECK: %[[C:.*]] = graph.kv_append @past_0, %[[N]] at "past"
// CHECK: %[[D:.*]] = graph.kv_read %[[C]] "past + 1"
// CHECK: %[[S:.*]] = graph.slice %[[D]] ["0", "0", "0", "0", "0"]
// CHECK: %[[R:.*]] = graph.reshape %[[S]]
// CHECK: graph.unary "neg" %[[R]]
func.func @combined(%p: tensor<2x1x4x?x8xf32> {graph.dims = [2, 1, 4, "past", 8], graph.port = {name = "past_0", role = "past", state = 0 : i64, axis = 3 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<2x1x4x?x8xf32> {graph.port = {name = "present_0", role = "present", state = 0 : i64, axis = 3 : i64}}, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.slice %p ["0", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %1 = graph.reshape %0 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %2 = graph.concat 2, %1, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %3 = graph.unary "neg" %2 {dims = [[1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %m = graph.unary "abs" %n : tensor<1x4x1x8xf32> -> tensor<1x4x1x8xf32>
  %4 = graph.slice %p ["1", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %5 = graph.reshape %4 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %6 = graph.concat 2, %5, %m {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %7 = graph.reshape %2 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %8 = graph.reshape %6 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %9 = graph.concat 0, %7, %8 {dims = [[2, 1, 4, "past + 1", 8]]} : (tensor<1x1x4x?x8xf32>, tensor<1x1x4x?x8xf32>) -> tensor<2x1x4x?x8xf32>
  return %9, %3, %6 : tensor<2x1x4x?x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>
}

// -----
// Attention reads its keys and values out of the combined state itself; nothing
// is copied out of it, also where attention stood before the values were made.
// CHECK: graph.state @past_0 : tensor<2x1x4x112x8xf32> {axis = 3 : i64
// CHECK-LABEL: func.func @slices
// CHECK-NOT: graph.kv_read
// CHECK: %[[C:.*]] = graph.kv_append @past_0, %{{.*}} at "past"
// CHECK-NEXT: graph.attention %{{.*}}, %[[C]], %[[C]] {{.*}}graph.slices = array<i64: 0, 1>{{.*}}total = "past + 1"{{.*}}!graph.cache, !graph.cache
// CHECK-NEXT: return
func.func @slices(%p: tensor<2x1x4x?x8xf32> {graph.dims = [2, 1, 4, "past", 8], graph.port = {name = "past_0", role = "past", state = 0 : i64, axis = 3 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<2x1x4x?x8xf32> {graph.port = {name = "present_0", role = "present", state = 0 : i64, axis = 3 : i64}}, tensor<1x4x1x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.slice %p ["0", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %1 = graph.reshape %0 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %2 = graph.concat 2, %1, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %3 = graph.slice %p ["1", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %4 = graph.reshape %3 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %5 = graph.concat 2, %4, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %6 = graph.attention %n, %2, %5 {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x4x1x8xf32>
  %7 = graph.reshape %2 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %8 = graph.reshape %5 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %9 = graph.concat 0, %7, %8 {dims = [[2, 1, 4, "past + 1", 8]]} : (tensor<1x1x4x?x8xf32>, tensor<1x1x4x?x8xf32>) -> tensor<2x1x4x?x8xf32>
  return %9, %6 : tensor<2x1x4x?x8xf32>, tensor<1x4x1x8xf32>
}

// -----
// The same where past and new tokens are joined before they are taken apart, as
// the GptAttention of onnxruntime comes in: values first here.
// CHECK: graph.state @past_0 : tensor<2x1x4x112x8xf32> {axis = 3 : i64
// CHECK-LABEL: func.func @joined
// CHECK-NEXT: %[[C:.*]] = graph.kv_append @past_0, %{{.*}} at "past"
// CHECK-NEXT: graph.attention %{{.*}}, %[[C]], %[[C]] {{.*}}graph.slices = array<i64: 1, 0>{{.*}}!graph.cache, !graph.cache
// CHECK-NEXT: return
func.func @joined(%p: tensor<2x1x4x?x8xf32> {graph.dims = [2, 1, 4, "past", 8], graph.port = {name = "past_0", role = "past", state = 0 : i64, axis = 3 : i64}}, %n: tensor<2x1x4x1x8xf32>, %q: tensor<1x4x1x8xf32>)
    -> (tensor<2x1x4x?x8xf32> {graph.port = {name = "present_0", role = "present", state = 0 : i64, axis = 3 : i64}}, tensor<1x4x1x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.concat 3, %p, %n {dims = [[2, 1, 4, "past + 1", 8]]} : (tensor<2x1x4x?x8xf32>, tensor<2x1x4x1x8xf32>) -> tensor<2x1x4x?x8xf32>
  %1 = graph.slice %0 ["1", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %2 = graph.reshape %1 {dims = [[1, 4, "past + 1", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %3 = graph.slice %0 ["0", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %4 = graph.reshape %3 {dims = [[1, 4, "past + 1", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %5 = graph.attention %q, %2, %4 {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x4x1x8xf32>
  return %0, %5 : tensor<2x1x4x?x8xf32>, tensor<1x4x1x8xf32>
}

// -----
// Tokens cut off at the front are no slice of the state: a dense copy is read.
// CHECK-LABEL: func.func @cut
// CHECK: graph.kv_read %{{.*}} "past + 1"
// CHECK: graph.attention {{.*}} : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>
func.func @cut(%p: tensor<2x1x4x?x8xf32> {graph.dims = [2, 1, 4, "past", 8], graph.port = {name = "past_0", role = "past", state = 0 : i64, axis = 3 : i64}}, %n: tensor<2x1x4x1x8xf32>, %q: tensor<1x4x1x8xf32>)
    -> (tensor<2x1x4x?x8xf32> {graph.port = {name = "present_0", role = "present", state = 0 : i64, axis = 3 : i64}}, tensor<1x4x1x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.concat 3, %p, %n {dims = [[2, 1, 4, "past + 1", 8]]} : (tensor<2x1x4x?x8xf32>, tensor<2x1x4x1x8xf32>) -> tensor<2x1x4x?x8xf32>
  %1 = graph.slice %0 ["1", "0", "0", "1", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %2 = graph.reshape %1 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %5 = graph.attention %q, %2, %2 {q_layout = "bhsd", total = "past", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x4x1x8xf32>
  return %0, %5 : tensor<2x1x4x?x8xf32>, tensor<1x4x1x8xf32>
}

// -----
// The keys go through another op: attention reads both dense, not a tensor
// beside a cache.
// CHECK-LABEL: func.func @mixed
// CHECK: %[[D:.*]] = graph.kv_read %{{.*}} "past + 1"
// CHECK: graph.attention %{{.*}}, %{{.*}}, %{{.*}} {causal = true, q_layout = "bhsd", scale = 5.000000e-01 : f64, total = "past + 1", window = 0 : i64} : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>
func.func @mixed(%p: tensor<2x1x4x?x8xf32> {graph.dims = [2, 1, 4, "past", 8], graph.port = {name = "past_0", role = "past", state = 0 : i64, axis = 3 : i64}}, %n: tensor<1x4x1x8xf32>)
    -> (tensor<2x1x4x?x8xf32> {graph.port = {name = "present_0", role = "present", state = 0 : i64, axis = 3 : i64}}, tensor<1x4x1x8xf32>)
    attributes {graph.entry, graph.symbols = {past = [0, 99]}} {
  %0 = graph.slice %p ["0", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %1 = graph.reshape %0 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %2 = graph.concat 2, %1, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %3 = graph.slice %p ["1", "0", "0", "0", "0"] [1, 1, 1, 1, 1] {dims = [[1, 1, 4, "past", 8]]} : tensor<2x1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %4 = graph.reshape %3 {dims = [[1, 4, "past", 8]]} : tensor<1x1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %5 = graph.concat 2, %4, %n {dims = [[1, 4, "past + 1", 8]]} : (tensor<1x4x?x8xf32>, tensor<1x4x1x8xf32>) -> tensor<1x4x?x8xf32>
  %k = graph.unary "neg" %2 {dims = [[1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  %6 = graph.attention %n, %k, %5 {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x4x1x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x4x1x8xf32>
  %7 = graph.reshape %2 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %8 = graph.reshape %5 {dims = [[1, 1, 4, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x1x4x?x8xf32>
  %9 = graph.concat 0, %7, %8 {dims = [[2, 1, 4, "past + 1", 8]]} : (tensor<1x1x4x?x8xf32>, tensor<1x1x4x?x8xf32>) -> tensor<2x1x4x?x8xf32>
  return %9, %6 : tensor<2x1x4x?x8xf32>, tensor<1x4x1x8xf32>
}
