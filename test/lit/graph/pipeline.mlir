// The whole pipeline on the example model: what is left of its 250 nodes.
// REQUIRES: llmc-import
// RUN: llmc-import %S/../../../examples/shakespeare/model.onnx | llmc-opt --llmc-graph | FileCheck %s
// RUN: llmc-import %S/../../../examples/shakespeare/model.onnx | llmc-opt --llmc-graph | not grep -E 'graph.(matmul|softmax|select|kv_read|concat 3)'

// CHECK-COUNT-10: graph.state
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: -> (tensor<1x1x{{[0-9]+}}xf32> {graph.port = {name = "{{.*}}", role = "logits"}})
// CHECK: graph.gather
// CHECK: graph.rms_norm
// CHECK: graph.split_linear
// CHECK: graph.rope
// CHECK: graph.kv_append
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}q_layout = "bshd", {{.*}}total = "past + seq", window = 0 : i64} {{.*}} !graph.cache, !graph.cache
// CHECK: graph.linear {{.*}} residual(
// CHECK: graph.gated_linear {{.*}} {activation = "silu"
// The last layer's query, and all that follows, is one row.
// CHECK: graph.slice {{.*}} ["0", "seq - 1", "0"]
// CHECK: graph.attention {{.*}} -> tensor<1x1x{{[0-9]+}}x{{[0-9]+}}xf32>

// CHECK-LABEL: func.func @decode
// CHECK-NOT: graph.transpose
// CHECK: graph.attention {{.*}} {causal = false, {{.*}}total = "past + 1"
// CHECK: return
