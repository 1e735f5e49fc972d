// RUN: llmc-opt %s --canonicalize --recover-attention --canonicalize --split-input-file | FileCheck %s

// torch.onnx: GQA by Unsqueeze, Expand, Reshape; mask by Range, LessOrEqual, Where.
// CHECK-LABEL: func.func @causal_gqa
// CHECK-SAME: %[[Q:[^:]*]]: tensor<1x8x?x8xf32>{{.*}}, %[[K:[^:]*]]: tensor<1x4x?x8xf32>{{.*}}, %[[V:[^:]*]]: tensor<1x4x?x8xf32>
// CHECK-NEXT: %[[A:.*]] = graph.attention %[[Q]], %[[K]], %[[V]] {causal = true, {{.*}}q_layout = "bhsd", scale = 0.353{{.*}} : f64, total = "past + seq", window = 0 : i64}
// CHECK-NEXT: return %[[A]]
func.func @causal_gqa(%q: tensor<1x8x?x8xf32> {graph.dims = [1, 8, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x8x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v9 = graph.reshape %k {dims = [[1, 4, 1, "past + seq", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v10 = graph.broadcast %v9 {dims = [[1, 4, 2, "past + seq", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v11 = graph.reshape %v10 {dims = [[1, 8, "past + seq", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v12 = graph.transpose %v11 [0, 1, 3, 2] {dims = [[1, 8, 8, "past + seq"]]} : tensor<1x8x?x8xf32> -> tensor<1x8x8x?xf32>
  %v13 = graph.matmul %q, %v12 {dims = [[1, 8, "seq", "past + seq"]]} : (tensor<1x8x?x8xf32>, tensor<1x8x8x?xf32>) -> tensor<1x8x?x?xf32>
  %v14 = graph.constant dense<0.353553385> : tensor<f32>
  %v15 = graph.binary "mul" %v13, %v14 {dims = [[1, 8, "seq", "past + seq"]]} : (tensor<1x8x?x?xf32>, tensor<f32>) -> tensor<1x8x?x?xf32>
  %v16 = graph.binary "add" %v15, %v8 {dims = [[1, 8, "seq", "past + seq"]]} : (tensor<1x8x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<1x8x?x?xf32>
  %v17 = graph.softmax %v16 {axis = 3 : i64, dims = [[1, 8, "seq", "past + seq"]]} : tensor<1x8x?x?xf32> -> tensor<1x8x?x?xf32>
  %v18 = graph.reshape %v {dims = [[1, 4, 1, "past + seq", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v19 = graph.broadcast %v18 {dims = [[1, 4, 2, "past + seq", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v20 = graph.reshape %v19 {dims = [[1, 8, "past + seq", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v21 = graph.matmul %v17, %v20 {dims = [[1, 8, "seq", 8]]} : (tensor<1x8x?x?xf32>, tensor<1x8x?x8xf32>) -> tensor<1x8x?x8xf32>
  return %v21 : tensor<1x8x?x8xf32>
}

// -----
// One new token sees every key: the mask is proved to hide nothing.
// CHECK-LABEL: func.func @decode
// CHECK: graph.attention {{.*}} {causal = false, {{.*}}total = "past + 1", window = 0 : i64}
// CHECK-NOT: graph.iota
func.func @decode(%q: tensor<1x8x1x8xf32>, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + 1", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + 1", 8]}) -> tensor<1x8x1x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1"} : tensor<1xi64>
  %v2 = graph.reshape %v1 : tensor<1xi64> -> tensor<1x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + 1"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [[1, "past + 1"]]} : (tensor<?xi64>, tensor<1x1xi64>) -> tensor<1x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, 1, "past + 1"]]} : tensor<1x?xi1> -> tensor<1x1x1x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, 1, "past + 1"]]} : (tensor<1x1x1x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x1x?xf32>
  %v9 = graph.reshape %k {dims = [[1, 4, 1, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v10 = graph.broadcast %v9 {dims = [[1, 4, 2, "past + 1", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v11 = graph.reshape %v10 {dims = [[1, 8, "past + 1", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v12 = graph.transpose %v11 [0, 1, 3, 2] {dims = [[1, 8, 8, "past + 1"]]} : tensor<1x8x?x8xf32> -> tensor<1x8x8x?xf32>
  %v13 = graph.matmul %q, %v12 {dims = [[1, 8, 1, "past + 1"]]} : (tensor<1x8x1x8xf32>, tensor<1x8x8x?xf32>) -> tensor<1x8x1x?xf32>
  %v14 = graph.constant dense<0.5> : tensor<f32>
  %v15 = graph.binary "mul" %v13, %v14 {dims = [[1, 8, 1, "past + 1"]]} : (tensor<1x8x1x?xf32>, tensor<f32>) -> tensor<1x8x1x?xf32>
  %v16 = graph.binary "add" %v15, %v8 {dims = [[1, 8, 1, "past + 1"]]} : (tensor<1x8x1x?xf32>, tensor<1x1x1x?xf32>) -> tensor<1x8x1x?xf32>
  %v17 = graph.softmax %v16 {axis = 3 : i64, dims = [[1, 8, 1, "past + 1"]]} : tensor<1x8x1x?xf32> -> tensor<1x8x1x?xf32>
  %v18 = graph.reshape %v {dims = [[1, 4, 1, "past + 1", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v19 = graph.broadcast %v18 {dims = [[1, 4, 2, "past + 1", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v20 = graph.reshape %v19 {dims = [[1, 8, "past + 1", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v21 = graph.matmul %v17, %v20 : (tensor<1x8x1x?xf32>, tensor<1x8x?x8xf32>) -> tensor<1x8x1x8xf32>
  return %v21 : tensor<1x8x1x8xf32>
}

// -----
// The scale's root on both q and k, a guard against NaN, the causal mask as a
// condition on the scores (GPT-2), heads not shared.
// CHECK-LABEL: func.func @scale_on_both
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}scale = 2.5{{0*}}e-01 : f64
func.func @scale_on_both(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.constant dense<0.5> : tensor<f32>
  %v2 = graph.binary "mul" %q, %v1 {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x8xf32>, tensor<f32>) -> tensor<1x4x?x8xf32>
  %v3 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v4 = graph.binary "mul" %v3, %v1 {dims = [[1, 4, 8, "past + seq"]]} : (tensor<1x4x8x?xf32>, tensor<f32>) -> tensor<1x4x8x?xf32>
  %v5 = graph.matmul %v2, %v4 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v6 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v7 = graph.reshape %v6 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v8 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v9 = graph.binary "ge" %v7, %v8 {dims = [["seq", "past + seq"]]} : (tensor<?x1xi64>, tensor<?xi64>) -> tensor<?x?xi1>
  %v10 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v11 = graph.select %v9, %v5, %v10 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<?x?xi1>, tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v12 = graph.softmax %v11 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v13 = graph.unary "is_nan" %v12 {dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xi1>
  %v14 = graph.constant dense<0.0> : tensor<f32>
  %v15 = graph.select %v13, %v14, %v12 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xi1>, tensor<f32>, tensor<1x4x?x?xf32>) -> tensor<1x4x?x?xf32>
  %v16 = graph.matmul %v15, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v16 : tensor<1x4x?x8xf32>
}

// -----
// A sliding window: j <= i + past and j > i + past - 32.
// CHECK-LABEL: func.func @window
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}window = 32 : i64}
func.func @window(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.constant dense<32> : tensor<i64>
  %v6 = graph.binary "sub" %v2, %v5 {dims = [["seq", 1]]} : (tensor<?x1xi64>, tensor<i64>) -> tensor<?x1xi64>
  %v7 = graph.binary "gt" %v3, %v6 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v8 = graph.binary "and" %v4, %v7 {dims = [["seq", "past + seq"]]} : (tensor<?x?xi1>, tensor<?x?xi1>) -> tensor<?x?xi1>
  %v9 = graph.reshape %v8 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v10 = graph.constant dense<0.0> : tensor<f32>
  %v11 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v12 = graph.select %v9, %v10, %v11 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v13 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v14 = graph.matmul %q, %v13 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v15 = graph.binary "add" %v14, %v12 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<1x4x?x?xf32>
  %v16 = graph.softmax %v15 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v17 = graph.matmul %v16, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v17 : tensor<1x4x?x8xf32>
}

// -----
// A mask that comes from outside stays: it is the bias.
// CHECK-LABEL: func.func @padding
// CHECK-SAME: %[[M:[^:]*]]: tensor<1x1x1x?xf32>
// CHECK: graph.attention {{.*}} bias(%[[M]] : tensor<1x1x1x?xf32>) {causal = false
func.func @padding(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %m: tensor<1x1x1x?xf32> {graph.dims = [1, 1, 1, "past + seq"]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v2 = graph.matmul %q, %v1 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v3 = graph.binary "add" %v2, %m {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<1x1x1x?xf32>) -> tensor<1x4x?x?xf32>
  %v4 = graph.softmax %v3 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v5 = graph.matmul %v4, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v5 : tensor<1x4x?x8xf32>
}

// -----
// Off by one: each query sees one key too many. Not what `causal` means.
// CHECK-LABEL: func.func @off_by_one
// CHECK: %[[B:.*]] = graph.select
// CHECK: graph.attention {{.*}} bias(%[[B]] : {{.*}}) {causal = false
func.func @off_by_one(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past + 1", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v9 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v10 = graph.matmul %q, %v9 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v11 = graph.binary "add" %v10, %v8 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<1x4x?x?xf32>
  %v12 = graph.softmax %v11 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v13 = graph.matmul %v12, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v13 : tensor<1x4x?x8xf32>
}

// -----
// What the mask adds is not enough to hide a key: it stays.
// CHECK-LABEL: func.func @weak_mask
// CHECK: graph.attention {{.*}} bias(
func.func @weak_mask(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.constant dense<0.0> : tensor<f32>
  %v6 = graph.constant dense<-2.0> : tensor<f32>
  %v7 = graph.select %v4, %v5, %v6 {dims = [["seq", "past + seq"]]} : (tensor<?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<?x?xf32>
  %v8 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v9 = graph.matmul %q, %v8 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v10 = graph.binary "add" %v9, %v7 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<?x?xf32>) -> tensor<1x4x?x?xf32>
  %v11 = graph.softmax %v10 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v12 = graph.matmul %v11, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v12 : tensor<1x4x?x8xf32>
}

// -----
// Projections in token order: no transposes around the attention.
// CHECK-LABEL: func.func @token_major
// CHECK-SAME: %[[X:[^:]*]]: tensor<1x?x4x8xf32>
// CHECK-NOT: graph.transpose
// CHECK: graph.attention %[[X]], {{.*}}q_layout = "bshd"
// CHECK-NOT: graph.transpose
// CHECK: return
func.func @token_major(%x: tensor<1x?x4x8xf32> {graph.dims = [1, "seq", 4, 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x?x4x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.transpose %x [0, 2, 1, 3] {dims = [[1, 4, "seq", 8]]} : tensor<1x?x4x8xf32> -> tensor<1x4x?x8xf32>
  %v2 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v3 = graph.matmul %v1, %v2 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v4 = graph.softmax %v3 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v5 = graph.matmul %v4, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  %v6 = graph.transpose %v5 [0, 2, 1, 3] {dims = [[1, "seq", 4, 8]]} : tensor<1x4x?x8xf32> -> tensor<1x?x4x8xf32>
  return %v6 : tensor<1x?x4x8xf32>
}

// -----
// softmax over another axis is no attention.
// CHECK-LABEL: func.func @other_axis
// CHECK-NOT: graph.attention
// CHECK: return
func.func @other_axis(%q: tensor<1x4x5x8xf32>, %k: tensor<1x4x5x8xf32>, %v: tensor<1x4x5x8xf32>) -> tensor<1x4x5x8xf32> {
  %v1 = graph.transpose %k [0, 1, 3, 2] : tensor<1x4x5x8xf32> -> tensor<1x4x8x5xf32>
  %v2 = graph.matmul %q, %v1 : (tensor<1x4x5x8xf32>, tensor<1x4x8x5xf32>) -> tensor<1x4x5x5xf32>
  %v3 = graph.softmax %v2 {axis = 2 : i64} : tensor<1x4x5x5xf32> -> tensor<1x4x5x5xf32>
  %v4 = graph.matmul %v3, %v : (tensor<1x4x5x5xf32>, tensor<1x4x5x8xf32>) -> tensor<1x4x5x8xf32>
  return %v4 : tensor<1x4x5x8xf32>
}

// -----
// An attention operator with repeated heads and a causal bias (opset 23).
// CHECK-LABEL: func.func @operator
// CHECK-SAME: %[[Q:[^:]*]]: tensor<1x8x?x8xf32>{{.*}}, %[[K:[^:]*]]: tensor<1x4x?x8xf32>{{.*}}, %[[V:[^:]*]]: tensor<1x4x?x8xf32>
// CHECK-NEXT: graph.attention %[[Q]], %[[K]], %[[V]] {causal = true
func.func @operator(%q: tensor<1x8x?x8xf32> {graph.dims = [1, 8, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x8x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v9 = graph.reshape %k {dims = [[1, 4, 1, "past + seq", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v10 = graph.broadcast %v9 {dims = [[1, 4, 2, "past + seq", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v11 = graph.reshape %v10 {dims = [[1, 8, "past + seq", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v12 = graph.reshape %v {dims = [[1, 4, 1, "past + seq", 8]]} : tensor<1x4x?x8xf32> -> tensor<1x4x1x?x8xf32>
  %v13 = graph.broadcast %v12 {dims = [[1, 4, 2, "past + seq", 8]]} : tensor<1x4x1x?x8xf32> -> tensor<1x4x2x?x8xf32>
  %v14 = graph.reshape %v13 {dims = [[1, 8, "past + seq", 8]]} : tensor<1x4x2x?x8xf32> -> tensor<1x8x?x8xf32>
  %v15 = graph.attention %q, %v11, %v14 bias(%v8 : tensor<1x1x?x?xf32>) {q_layout = "bhsd", total = "past + seq", causal = false, window = 0 : i64, scale = 0.5 : f64, dims = [[1, 8, "seq", 8]]} : tensor<1x8x?x8xf32>, tensor<1x8x?x8xf32>, tensor<1x8x?x8xf32> -> tensor<1x8x?x8xf32>
  return %v15 : tensor<1x8x?x8xf32>
}

// -----
// The mask as a stored triangle of ones, of which rows and columns are sliced.
// CHECK-LABEL: func.func @stored_triangle
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}window = 0 : i64}
// CHECK-NOT: graph.slice
func.func @stored_triangle(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 4], seq = [1, 4]}} {
  %v1 = graph.constant dense<[[[[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]]]> : tensor<1x1x8x8xf32>
  %v2 = graph.slice %v1 ["0", "0", "past", "0"] [1, 1, 1, 1] {dims = [[1, 1, "seq", "past + seq"]]} : tensor<1x1x8x8xf32> -> tensor<1x1x?x?xf32>
  %v3 = graph.cast %v2 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<1x1x?x?xf32> -> tensor<1x1x?x?xi1>
  %v4 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v5 = graph.matmul %q, %v4 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v6 = graph.constant dense<3.0> : tensor<f32>
  %v7 = graph.binary "div" %v5, %v6 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v8 = graph.constant dense<-10000.0> : tensor<f32>
  %v9 = graph.select %v3, %v7, %v8 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v10 = graph.softmax %v9 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v11 = graph.matmul %v10, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v11 : tensor<1x4x?x8xf32>
}

// -----
// Softcap: 30 tanh(scores / 30), and only then the mask.
// CHECK-LABEL: func.func @softcap
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}scale = 5{{[.0]*}}e-01 : f64, softcap = 3{{[.0]*}}e+01 : f64
func.func @softcap(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v9 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v10 = graph.matmul %q, %v9 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v11 = graph.constant dense<0.5> : tensor<f32>
  %v12 = graph.binary "mul" %v10, %v11 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v13 = graph.constant dense<30.0> : tensor<f32>
  %v14 = graph.binary "div" %v12, %v13 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v15 = graph.unary "tanh" %v14 {dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v16 = graph.binary "mul" %v15, %v13 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<f32>) -> tensor<1x4x?x?xf32>
  %v17 = graph.binary "add" %v16, %v8 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<1x4x?x?xf32>
  %v18 = graph.softmax %v17 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v19 = graph.matmul %v18, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v19 : tensor<1x4x?x8xf32>
}

// -----
// Slice-writes of older exporters: the padding mask, all ones, is written over
// the whole of the causal mask by a scatter.
// CHECK-LABEL: func.func @scatter
// CHECK: graph.attention {{.*}} {causal = true, {{.*}}window = 0 : i64}
// CHECK-NOT: graph.scatter_nd
func.func @scatter(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v4 = graph.binary "le" %v3, %v2 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v5 = graph.reshape %v4 {dims = [[1, 1, "seq", "past + seq"]]} : tensor<?x?xi1> -> tensor<1x1x?x?xi1>
  %v6 = graph.constant dense<0.0> : tensor<f32>
  %v7 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v8 = graph.select %v5, %v6, %v7 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<1x1x?x?xf32>
  %v9 = graph.fill dense<1.0> : tensor<1xf32> {dims = [[1, 1, 1, "past + seq"]]} : tensor<1x1x1x?xf32>
  %v10 = graph.constant dense<0.0> : tensor<f32>
  %v11 = graph.binary "add" %v8, %v9 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xf32>, tensor<1x1x1x?xf32>) -> tensor<1x1x?x?xf32>
  %v12 = graph.binary "eq" %v11, %v10 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xf32>, tensor<f32>) -> tensor<1x1x?x?xi1>
  %v13 = graph.constant dense<-3.40282347E+38> : tensor<f32>
  %v14 = graph.select %v12, %v13, %v8 {dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xi1>, tensor<f32>, tensor<1x1x?x?xf32>) -> tensor<1x1x?x?xf32>
  %v15 = graph.iota {axis = 0 : i64, start = "0", step = "1"} : tensor<1xi64>
  %v16 = graph.reshape %v15 : tensor<1xi64> -> tensor<1x1x1x1x1xi64>
  %v17 = graph.broadcast %v16 {dims = [[1, 1, "seq", "past + seq", 1]]} : tensor<1x1x1x1x1xi64> -> tensor<1x1x?x?x1xi64>
  %v18 = graph.iota {axis = 0 : i64, start = "0", step = "1"} : tensor<1xi64>
  %v19 = graph.reshape %v18 : tensor<1xi64> -> tensor<1x1x1x1x1xi64>
  %v20 = graph.broadcast %v19 {dims = [[1, 1, "seq", "past + seq", 1]]} : tensor<1x1x1x1x1xi64> -> tensor<1x1x?x?x1xi64>
  %v21 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v22 = graph.reshape %v21 {dims = [[1, 1, "seq", 1, 1]]} : tensor<?xi64> -> tensor<1x1x?x1x1xi64>
  %v23 = graph.broadcast %v22 {dims = [[1, 1, "seq", "past + seq", 1]]} : tensor<1x1x?x1x1xi64> -> tensor<1x1x?x?x1xi64>
  %v24 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v25 = graph.reshape %v24 {dims = [[1, 1, 1, "past + seq", 1]]} : tensor<?xi64> -> tensor<1x1x1x?x1xi64>
  %v26 = graph.broadcast %v25 {dims = [[1, 1, "seq", "past + seq", 1]]} : tensor<1x1x1x?x1xi64> -> tensor<1x1x?x?x1xi64>
  %v27 = graph.concat 4, %v17, %v20, %v23, %v26 {dims = [[1, 1, "seq", "past + seq", 4]]} : (tensor<1x1x?x?x1xi64>, tensor<1x1x?x?x1xi64>, tensor<1x1x?x?x1xi64>, tensor<1x1x?x?x1xi64>) -> tensor<1x1x?x?x4xi64>
  %v28 = graph.scatter_nd %v8, %v27, %v14 {kind = "none", dims = [[1, 1, "seq", "past + seq"]]} : (tensor<1x1x?x?xf32>, tensor<1x1x?x?x4xi64>, tensor<1x1x?x?xf32>) -> tensor<1x1x?x?xf32>
  %v29 = graph.transpose %k [0, 1, 3, 2] {dims = [[1, 4, 8, "past + seq"]]} : tensor<1x4x?x8xf32> -> tensor<1x4x8x?xf32>
  %v30 = graph.matmul %q, %v29 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x8xf32>, tensor<1x4x8x?xf32>) -> tensor<1x4x?x?xf32>
  %v31 = graph.binary "add" %v30, %v28 {dims = [[1, 4, "seq", "past + seq"]]} : (tensor<1x4x?x?xf32>, tensor<1x1x?x?xf32>) -> tensor<1x4x?x?xf32>
  %v32 = graph.softmax %v31 {axis = 3 : i64, dims = [[1, 4, "seq", "past + seq"]]} : tensor<1x4x?x?xf32> -> tensor<1x4x?x?xf32>
  %v33 = graph.matmul %v32, %v {dims = [[1, 4, "seq", 8]]} : (tensor<1x4x?x?xf32>, tensor<1x4x?x8xf32>) -> tensor<1x4x?x8xf32>
  return %v33 : tensor<1x4x?x8xf32>
}

// -----
// A causal operator with a window as its bias (opset 25: 8 keys to the left).
// CHECK-LABEL: func.func @operator_window
// CHECK: graph.attention %arg0, %arg1, %arg2 {causal = true, {{.*}}window = 9 : i64}
func.func @operator_window(%q: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "seq", 8]}, %k: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}, %v: tensor<1x4x?x8xf32> {graph.dims = [1, 4, "past + seq", 8]}) -> tensor<1x4x?x8xf32> attributes {graph.entry, graph.symbols = {past = [0, 384], seq = [1, 128]}} {
  %v1 = graph.iota {axis = 0 : i64, start = "past", step = "1", dims = [["seq"]]} : tensor<?xi64>
  %v2 = graph.reshape %v1 {dims = [["seq", 1]]} : tensor<?xi64> -> tensor<?x1xi64>
  %v3 = graph.constant dense<8> : tensor<i64>
  %v4 = graph.binary "sub" %v2, %v3 {dims = [["seq", 1]]} : (tensor<?x1xi64>, tensor<i64>) -> tensor<?x1xi64>
  %v5 = graph.iota {axis = 0 : i64, start = "0", step = "1", dims = [["past + seq"]]} : tensor<?xi64>
  %v6 = graph.binary "ge" %v5, %v4 {dims = [["seq", "past + seq"]]} : (tensor<?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %v7 = graph.constant dense<0.0> : tensor<f32>
  %v8 = graph.constant dense<0xFF800000> : tensor<f32>
  %v9 = graph.select %v6, %v7, %v8 {dims = [["seq", "past + seq"]]} : (tensor<?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<?x?xf32>
  %v10 = graph.attention %q, %k, %v bias(%v9 : tensor<?x?xf32>) {q_layout = "bhsd", total = "past + seq", causal = true, window = 0 : i64, scale = 0.5 : f64, dims = [[1, 4, "seq", 8]]} : tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32>, tensor<1x4x?x8xf32> -> tensor<1x4x?x8xf32>
  return %v10 : tensor<1x4x?x8xf32>
}
