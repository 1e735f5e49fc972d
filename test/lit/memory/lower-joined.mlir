// RUN: llmc-opt %s --lower-to-plan | FileCheck %s
// RUN: llmc-opt %s --lower-to-plan | llmc-opt | FileCheck %s

// Products that were joined: panels of q, then those of k; a panel of g and one
// of u in turn, [32, 2 * 16]; the residual before the bias.
graph.weight @q : tensor<96x16xf32> {file = "m", offset = 0 : i64, length = 6144 : i64, hash = "00000000000000000000000000000001"}
graph.weight @k : tensor<16x32xf32> {file = "m", offset = 0 : i64, length = 2048 : i64, hash = "00000000000000000000000000000002"}
graph.weight @g : tensor<32x16xf32> {file = "m", offset = 0 : i64, length = 2048 : i64, hash = "00000000000000000000000000000003"}
graph.weight @u : tensor<16x32xf32> {file = "m", offset = 0 : i64, length = 2048 : i64, hash = "00000000000000000000000000000004"}
graph.weight @o : tensor<32x16xf32> {file = "m", offset = 0 : i64, length = 2048 : i64, hash = "00000000000000000000000000000005"}
graph.weight @b : tensor<32xf32> {file = "m", offset = 0 : i64, length = 128 : i64, hash = "00000000000000000000000000000006"}
// CHECK-DAG: plan.segment @"segment.q+k.panel64" size 12288 {dtype = "f32", kind = "panel64_joined", parts = [{k = 16 : i64, layout = "nk", n = 96 : i64}, {k = 16 : i64, layout = "kn", n = 32 : i64}]} from [@q, @k]
// CHECK-DAG: plan.segment @"segment.g+u.panel64" size 8192 {dtype = "f32", kind = "panel64_interleaved", parts = [{{.*}}]} from [@g, @u]
// CHECK-LABEL: plan.entry @joined
// CHECK-NEXT: plan.launch "linear_split"(read @joined.x : f32[3, 16], read @"weight.q+k.panel64" : f32[192, 16] panel64, write @joined.qk : f32[3, 96], write @joined.qk.{{[0-9]+}} : f32[3, 32]) ints [0, 0, 2, 96, 0, 32, 0] name "qk"
// CHECK-NEXT: plan.launch "linear_gated"(read @joined.x : f32[3, 16], read @"weight.g+u.panel64" : f32[32, 32] panel64, write @joined.h : f32[3, 32]) ints [2] name "h"
// CHECK-NEXT: plan.launch "linear_add"(read @joined.x : f32[3, 16], read @weight.o.panel64 : f32[32, 16] panel64, read @joined.h : f32[3, 32], read @weight.b : f32[32], write @joined.y : f32[3, 32]) ints [1, 0] name "y"
func.func @joined(%x: tensor<3x16xf32> {graph.port = {name = "x", role = "generic"}}) -> (tensor<3x96xf32>, tensor<3x32xf32>, tensor<3x32xf32>) attributes {graph.entry} {
  %q = graph.load_weight @q : tensor<96x16xf32>
  %k = graph.load_weight @k : tensor<16x32xf32>
  %g = graph.load_weight @g : tensor<32x16xf32>
  %u = graph.load_weight @u : tensor<16x32xf32>
  %o = graph.load_weight @o : tensor<32x16xf32>
  %b = graph.load_weight @b : tensor<32xf32>
  %0:2 = graph.split_linear %x, %q, %k {layouts = ["nk", "kn"], graph.name = "qk"} : (tensor<3x16xf32>, tensor<96x16xf32>, tensor<16x32xf32>) -> (tensor<3x96xf32>, tensor<3x32xf32>)
  %h = graph.gated_linear %x, %g, %u {activation = "silu", gate_layout = "nk", up_layout = "kn", graph.name = "h"} : tensor<3x16xf32>, tensor<32x16xf32>, tensor<16x32xf32> -> tensor<3x32xf32>
  %y = graph.linear %x, %o bias(%b : tensor<32xf32>) residual(%h : tensor<3x32xf32>) {weight_layout = "nk", graph.name = "y"} : tensor<3x16xf32>, tensor<32x16xf32> -> tensor<3x32xf32>
  return %0#0, %0#1, %y : tensor<3x96xf32>, tensor<3x32xf32>, tensor<3x32xf32>
}
