// RUN: llmc-opt %s --quantize-weights='type=int8' | FileCheck %s
// RUN: llmc-opt %s --quantize-weights | FileCheck %s --check-prefix=NONE
// RUN: not llmc-opt %s --quantize-weights='type=int3' 2>&1 | FileCheck %s --check-prefix=ERROR

// ERROR: quantize-weights: unknown type 'int3' (none or int8)
// NONE-NOT: graph.quant_
graph.weight @embed : tensor<512x64xf32> {file = "", offset = 0 : i64, length = 131072 : i64, hash = "00"}
graph.weight @small : tensor<16x16xf32> {file = "", offset = 0 : i64, length = 1024 : i64, hash = "01"}
graph.weight @other : tensor<512x64xf32> {file = "", offset = 0 : i64, length = 131072 : i64, hash = "02"}
graph.weight @kn : tensor<64x128xf32> {file = "", offset = 0 : i64, length = 32768 : i64, hash = "03"}

// CHECK-LABEL: func.func @main
func.func @main(%i: tensor<3xi64>, %s: tensor<3x16xf32>) -> (tensor<3x512xf32>, tensor<3x16xf32>, tensor<3x64xf32>, tensor<3x128xf32>) {
  // The tied embedding is read from the same codes.
  // CHECK: %[[W:.*]] = graph.load_weight @embed
  // CHECK: %[[X:.*]] = graph.quant_gather %[[W]], %arg0 {bits = 8 : i64, block_size = 64 : i64, format = "int8", k = 64 : i64, n = 512 : i64}
  // CHECK: graph.quant_linear %[[X]], %[[W]] {activation = "silu", bits = 8 : i64, block_size = 64 : i64, format = "int8", k = 64 : i64, n = 512 : i64}
  %w = graph.load_weight @embed : tensor<512x64xf32>
  %x = graph.gather %w, %i {axis = 0 : i64} : (tensor<512x64xf32>, tensor<3xi64>) -> tensor<3x64xf32>
  %0 = graph.linear %x, %w {weight_layout = "nk", activation = "silu"} : tensor<3x64xf32>, tensor<512x64xf32> -> tensor<3x512xf32>
  // 256 elements are not worth it.
  // CHECK: graph.linear
  %v = graph.load_weight @small : tensor<16x16xf32>
  %1 = graph.linear %s, %v {weight_layout = "nk"} : tensor<3x16xf32>, tensor<16x16xf32> -> tensor<3x16xf32>
  // An embedding of its own stays.
  // CHECK: graph.gather
  %o = graph.load_weight @other : tensor<512x64xf32>
  %2 = graph.gather %o, %i {axis = 0 : i64} : (tensor<512x64xf32>, tensor<3xi64>) -> tensor<3x64xf32>
  // CHECK: graph.quant_linear {{.*}} {bits = 8 : i64, block_size = 64 : i64, float_layout = "kn", format = "int8", k = 64 : i64, n = 128 : i64}
  %k = graph.load_weight @kn : tensor<64x128xf32>
  %3 = graph.linear %2, %k {weight_layout = "kn"} : tensor<3x64xf32>, tensor<64x128xf32> -> tensor<3x128xf32>
  return %0, %1, %2, %3 : tensor<3x512xf32>, tensor<3x16xf32>, tensor<3x64xf32>, tensor<3x128xf32>
}
