// RUN: llmc-opt %s --limit-state='window=70 sink=5' --split-input-file | FileCheck %s
// RUN: llmc-opt %s --limit-state='window=500' --split-input-file | FileCheck %s --check-prefix=LONG
// RUN: llmc-opt %s --limit-state --split-input-file | FileCheck %s --check-prefix=NONE
// RUN: llmc-opt %s --limit-state='window=70 sink=5' --lower-to-plan --split-input-file | FileCheck %s --check-prefix=PLAN

// The sinks take one block of 16; the window and the 31 further tokens that the
// prefill may add are 101 tokens, 7 blocks. The state has 16 (256 tokens).
// CHECK: graph.state @k {{.*}}graph.ring = array<i64: 1, 7>
// CHECK-LABEL: func.func @prefill
// CHECK: graph.attention {{.*}}graph.limit = array<i64: 5, 1>{{.*}}window = 70
// CHECK-LABEL: func.func @decode
// CHECK: graph.attention {{.*}}graph.limit = array<i64: 5, 1>{{.*}}window = 70
// A window as long as the state changes nothing.
// LONG-NOT: graph.limit
// LONG-NOT: graph.ring
// LONG: return
// LONG: return
// NONE-NOT: graph.limit
// NONE-NOT: graph.ring
// 8 blocks of 16 tokens of 8 floats.
// PLAN-DAG: plan.buffer @state.k state device size 4096
// PLAN-DAG: plan.state @kv.k {{.*}}capacity 256 by 16 {{.*}}ring [1, 7]
// PLAN: "kv_append"({{.*}}update @state.k : f32[1, 1, 128, 8]) params ["past"] ints [16, 2, 0, 1]
// PLAN: "attention"({{.*}}read @state.k : f32[1, 1, 128, 8]{{.*}} ints [0, 1, 1, 70, 0, 0, 16, 0, 0, 0, 5, 1]
graph.state @k : tensor<1x1x256x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "k", output_name = "new_k"}
func.func @prefill(%n: tensor<1x1x?x8xf32> {graph.dims = [1, 1, "seq", 8], graph.port = {name = "n", role = "generic"}})
    -> (tensor<1x1x?x8xf32> {graph.port = {name = "y", role = "generic"}})
    attributes {graph.entry, graph.symbols = {past = [0, 255], seq = [1, 32]}} {
  %c = graph.kv_append @k, %n at "past" : tensor<1x1x?x8xf32>
  %y = graph.attention %n, %c, %c {q_layout = "bhsd", total = "past + seq", causal = true, window = 0 : i64, scale = 0.5 : f64, dims = [[1, 1, "seq", 8]]}
      : tensor<1x1x?x8xf32>, !graph.cache, !graph.cache -> tensor<1x1x?x8xf32>
  return %y : tensor<1x1x?x8xf32>
}
func.func @decode(%n: tensor<1x1x1x8xf32> {graph.port = {name = "n", role = "generic"}})
    -> (tensor<1x1x1x8xf32> {graph.port = {name = "y", role = "generic"}})
    attributes {graph.entry, graph.symbols = {past = [0, 255]}} {
  %c = graph.kv_append @k, %n at "past" : tensor<1x1x1x8xf32>
  %y = graph.attention %n, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x1x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x1x1x8xf32>
  return %y : tensor<1x1x1x8xf32>
}

// -----
// A window of the model's own that is smaller stays, without sinks: 40 tokens
// are 3 blocks. What is too large for a ring still gets its mask.
// CHECK: graph.state @own {{.*}}graph.ring = array<i64: 0, 3>
// CHECK: graph.state @small
// CHECK-NOT: graph.ring
// LONG: graph.state @own {{.*}}graph.ring = array<i64: 0, 3>
// CHECK-LABEL: func.func @decode
// CHECK: graph.attention {{.*}}graph.limit = array<i64: 0, 0>{{.*}}window = 40
// CHECK: graph.attention {{.*}}graph.limit = array<i64: 5, 1>{{.*}}window = 70
graph.state @own : tensor<1x1x256x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "a", output_name = "new_a"}
graph.state @small : tensor<1x1x96x8xf32> {axis = 2 : i64, block_tokens = 16 : i64, input_name = "b", output_name = "new_b"}
func.func @decode(%n: tensor<1x1x1x8xf32> {graph.port = {name = "n", role = "generic"}})
    -> (tensor<1x1x1x8xf32> {graph.port = {name = "y", role = "generic"}}, tensor<1x1x1x8xf32> {graph.port = {name = "z", role = "generic"}})
    attributes {graph.entry, graph.symbols = {past = [0, 95]}} {
  %c = graph.kv_append @own, %n at "past" : tensor<1x1x1x8xf32>
  %y = graph.attention %n, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 40 : i64, scale = 0.5 : f64}
      : tensor<1x1x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x1x1x8xf32>
  %d = graph.kv_append @small, %n at "past" : tensor<1x1x1x8xf32>
  %z = graph.attention %n, %d, %d {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64}
      : tensor<1x1x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x1x1x8xf32>
  return %y, %z : tensor<1x1x1x8xf32>, tensor<1x1x1x8xf32>
}
