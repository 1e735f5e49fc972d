// RUN: llmc-opt %s --lower-to-plan | FileCheck %s

// A layer of a Llama in both entries: embedding (tied), norm, projection,
// rotary embedding, append, attention, residual.

module {
  graph.weight @emb : tensor<100x64xf32> {file = "m.data", offset = 0 : i64, length = 25600 : i64, hash = "00000000000000000000000000000001"}
  graph.weight @norm : tensor<64xf32> {file = "m.data", offset = 25600 : i64, length = 256 : i64, hash = "00000000000000000000000000000002"}
  graph.weight @wq : tensor<64x64xf32> {file = "m.data", offset = 25856 : i64, length = 16384 : i64, hash = "00000000000000000000000000000003"}
  graph.weight @cos : tensor<512x8xf32> {file = "m.data", offset = 42240 : i64, length = 16384 : i64, hash = "00000000000000000000000000000004"}
  graph.state @k : tensor<1x4x512x16xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "past.0.key", output_name = "present.0.key"}
  graph.state @v : tensor<1x4x512x16xf32> {axis = 2 : i64, block_tokens = 64 : i64, input_name = "past.0.value", output_name = "present.0.value"}

  func.func @prefill(%ids: tensor<1x?xi64> {graph.dims = [1, "seq"], graph.port = {name = "input_ids", role = "tokens"}},
                     %mask: tensor<1x?xi64> {graph.dims = [1, "past + seq"], graph.port = {name = "attention_mask", role = "generic", derived = "ones"}})
      -> (tensor<1x?x100xf32> {graph.dims = [1, "seq", 100], graph.port = {name = "logits", role = "logits"}})
      attributes {graph.entry, graph.symbols = {past = [0, 511], seq = [1, 128]}} {
    %emb = graph.load_weight @emb : tensor<100x64xf32>
    %norm = graph.load_weight @norm : tensor<64xf32>
    %wq = graph.load_weight @wq : tensor<64x64xf32>
    %cos = graph.load_weight @cos : tensor<512x8xf32>
    %x = graph.gather %emb, %ids {axis = 0 : i64, dims = [[1, "seq", 64]], graph.name = "embed"} : (tensor<100x64xf32>, tensor<1x?xi64>) -> tensor<1x?x64xf32>
    %h = graph.rms_norm %x scale(%norm : tensor<64xf32>) {trailing = 1 : i64, epsilon = 1.0e-05 : f64, dims = [[1, "seq", 64]], graph.name = "norm"} : tensor<1x?x64xf32> -> tensor<1x?x64xf32>
    %q0 = graph.linear %h, %wq {weight_layout = "kn", dims = [[1, "seq", 64]], graph.name = "q"} : tensor<1x?x64xf32>, tensor<64x64xf32> -> tensor<1x?x64xf32>
    %q1 = graph.reshape %q0 {dims = [[1, "seq", 4, 16]]} : tensor<1x?x64xf32> -> tensor<1x?x4x16xf32>
    %c = graph.slice %cos ["past", "0"] [1, 1] {dims = [["seq", 8]], graph.name = "cos"} : tensor<512x8xf32> -> tensor<?x8xf32>
    %q = graph.rope %q1, %c, %c {layout = "bshd", interleaved = false, rotary_dim = 16 : i64, dims = [[1, "seq", 4, 16]], graph.name = "rope"} : (tensor<1x?x4x16xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<1x?x4x16xf32>
    %k = graph.transpose %q [0, 2, 1, 3] {dims = [[1, 4, "seq", 16]], graph.name = "kt"} : tensor<1x?x4x16xf32> -> tensor<1x4x?x16xf32>
    %kc = graph.kv_append @k, %k at "past" {graph.name = "k.append"} : tensor<1x4x?x16xf32>
    %vc = graph.kv_append @v, %k at "past" {graph.name = "v.append"} : tensor<1x4x?x16xf32>
    %a = "graph.attention"(%q, %kc, %vc) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, q_layout = "bshd", total = "past + seq", causal = true, window = 0 : i64, scale = 2.500000e-01 : f64, dims = [[1, "seq", 4, 16]], graph.name = "attn"} : (tensor<1x?x4x16xf32>, !graph.cache, !graph.cache) -> tensor<1x?x4x16xf32>
    %a1 = graph.reshape %a {dims = [[1, "seq", 64]]} : tensor<1x?x4x16xf32> -> tensor<1x?x64xf32>
    %r = "graph.fused"(%x, %a1) ({
    ^bb0(%0: tensor<f32>, %1: tensor<f32>):
      %two = graph.constant dense<2.0> : tensor<f32>
      %2 = graph.binary "mul" %1, %two : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %3 = graph.binary "add" %0, %2 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      graph.yield %3 : tensor<f32>
    }) {dims = [[1, "seq", 64]], graph.name = "residual"} : (tensor<1x?x64xf32>, tensor<1x?x64xf32>) -> tensor<1x?x64xf32>
    %l = graph.linear %r, %emb {weight_layout = "nk", dims = [[1, "seq", 100]], graph.name = "lm_head"} : tensor<1x?x64xf32>, tensor<100x64xf32> -> tensor<1x?x100xf32>
    return %l : tensor<1x?x100xf32>
  }
}

// 100 rows are two panels of 64: 128 * 64 * 4 bytes. Gather and lm_head share
// it.
// CHECK: plan.segment @segment.emb.panel64 size 32768 {dtype = "f32", k = 64 : i64, kind = "panel64", layout = "nk", n = 100 : i64} from [@emb]
// CHECK: plan.segment @segment.norm size 256 {kind = "raw"} from [@norm]
// CHECK: plan.segment @segment.wq.panel64 size 16384 {dtype = "f32", k = 64 : i64, kind = "panel64", layout = "kn", n = 64 : i64} from [@wq]
// CHECK-NOT: plan.segment @segment.emb
// CHECK: plan.state @kv.k buffer @state.k "f32" outer [1, 4] capacity 512 by 64 inner [16] input "past.0.key" output "present.0.key"
// CHECK: plan.buffer @weight.emb.panel64 weight device size 32768 from @segment.emb.panel64
// 4 * 512 * 16 * 4
// CHECK: plan.buffer @state.k state device size 131072
// seq <= 128: 128 * 8
// CHECK: plan.buffer @prefill.input_ids input device size 1024 in @prefill
// past + seq <= 639: 639 * 8
// CHECK: plan.buffer @prefill.attention_mask input device size 5112 in @prefill
// 128 * 64 * 4
// CHECK: plan.buffer @prefill.embed activation device size 32768 in @prefill
// CHECK: plan.buffer @prefill.lm_head output device size 51200 in @prefill

// CHECK: plan.entry @prefill symbols {past = [0, 511], seq = [1, 128]} past "past" new_tokens "seq"
// CHECK-SAME: inputs [{buffer = @prefill.input_ids, dims = [1, "seq"], dtype = "i64", name = "input_ids", role = "tokens"},
// CHECK-SAME: outputs [{buffer = @prefill.lm_head, dims = [1, "seq", 100], dtype = "f32", name = "logits", role = "logits"}, {dims = [1, 4, "past + seq", 16], dtype = "f32", name = "present.0.key", role = "state", state = @kv.k}
// CHECK-SAME: derived {attention_mask = "ones"}
// CHECK-NEXT: plan.launch "gather"(read @weight.emb.panel64 : f32[100, 64] panel64, read @prefill.input_ids : i64[1, "seq"], write @prefill.embed : f32[1, "seq", 64]) ints [0] name "embed"
// CHECK-NEXT: plan.launch "rms_norm"(read @prefill.embed : f32[1, "seq", 64], read @weight.norm : f32[64], write @prefill.norm : f32[1, "seq", 64]) ints [1, 1] floats [1.000000e-05] name "norm"
// CHECK-NEXT: plan.launch "linear"(read @prefill.norm : f32[1, "seq", 64], read @weight.wq.panel64 : f32[64, 64] panel64, write @prefill.q : f32[1, "seq", 64]) ints [0, 0] name "q"
// Rows past .. past + seq of the table are one range: 8 * seq elements.
// CHECK-NEXT: plan.launch "strided_copy"(read @weight.cos : f32[512, 8], write @prefill.cos : f32["seq", 8]) params ["8 * past", 0, "8 * seq", 1, 1] ints [1] name "cos"
// The reshape of q is a view of the same buffer.
// CHECK-NEXT: plan.launch "rope"(read @prefill.q : f32[1, "seq", 4, 16], {{.*}} write @prefill.rope : f32[1, "seq", 4, 16]) ints [1, 0, 16] name "rope"
// [1, seq, 4, 16] -> [1, 4, seq, 16]: extents 4, seq, 16.
// CHECK-NEXT: plan.launch "strided_copy"(read @prefill.rope : f32[1, "seq", 4, 16], write @prefill.kt : f32[1, 4, "seq", 16]) params [0, 0, 4, "seq", 16, 16, 64, 1, "16 * seq", 16, 1] ints [3] name "kt"
// CHECK-NEXT: plan.launch "kv_append"(read @prefill.kt : f32[1, 4, "seq", 16], update @state.k : f32[1, 4, 512, 16]) params ["past"] ints [64, 2] name "k.append"
// CHECK-NEXT: plan.launch "kv_append"
// CHECK-NEXT: plan.launch "attention"(read @prefill.rope : f32[1, "seq", 4, 16], read @state.k : f32[1, 4, 512, 16], read @state.v : f32[1, 4, 512, 16], write @prefill.attn : f32[1, "seq", 4, 16]) params ["past + seq"] ints [1, 1, 1, 0, 0, 0, 64] floats [2.500000e-01, 0.000000e+00] name "attn"
// Two inputs, three instructions: const 2.0 (register 2), mul 1 2, add 0 3.
// CHECK-NEXT: plan.launch "pointwise"(read @prefill.embed : f32[1, "seq", 64], read @prefill.attn : f32[1, "seq", 64], write @prefill.residual : f32[1, "seq", 64]) ints [2, 3, 0, 0, 0, 0, 0, 52, 0, 1, 2, 0, 50, 0, 0, 3, 0] floats [2.000000e+00] name "residual"
// CHECK-NEXT: plan.launch "linear"(read @prefill.residual : f32[1, "seq", 64], read @weight.emb.panel64 : f32[100, 64] panel64, write @prefill.lm_head : f32[1, "seq", 100]) ints [0, 0] name "lm_head"
