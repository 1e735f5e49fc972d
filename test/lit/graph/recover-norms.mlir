// RUN: llmc-opt %s --canonicalize --recover-norms --canonicalize --split-input-file | FileCheck %s

// torch.onnx: Pow, ReduceMean, Add, Sqrt, Reciprocal, Mul, Mul.
// CHECK-LABEL: func.func @dynamo
// CHECK-SAME: %[[X:[^:]*]]: tensor<4x64xf32>, %[[W:[^:]*]]: tensor<64xf32>
func.func @dynamo(%x: tensor<4x64xf32>, %w: tensor<64xf32>) -> tensor<4x64xf32> {
  // CHECK-NEXT: %[[N:.*]] = graph.rms_norm %[[X]] scale(%[[W]] : tensor<64xf32>) {epsilon = 9.99{{.*}}E-6 : f64, trailing = 1 : i64}
  // CHECK-NEXT: return %[[N]]
  %two = graph.constant dense<2.0> : tensor<f32>
  %eps = graph.constant dense<1.0e-5> : tensor<f32>
  %0 = graph.binary "pow" %x, %two : (tensor<4x64xf32>, tensor<f32>) -> tensor<4x64xf32>
  %1 = graph.reduce "mean" %0 [1] {keepdims = true} : tensor<4x64xf32> -> tensor<4x1xf32>
  %2 = graph.binary "add" %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = graph.unary "sqrt" %2 : tensor<4x1xf32> -> tensor<4x1xf32>
  %4 = graph.unary "reciprocal" %3 : tensor<4x1xf32> -> tensor<4x1xf32>
  %5 = graph.binary "mul" %x, %4 : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  %6 = graph.binary "mul" %w, %5 : (tensor<64xf32>, tensor<4x64xf32>) -> tensor<4x64xf32>
  return %6 : tensor<4x64xf32>
}

// -----
// f16 with the norm in f32, 1 / sqrt as a division: casts are absorbed.
// CHECK-LABEL: func.func @casts
// CHECK-SAME: %[[X:[^:]*]]: tensor<4x64xf16>, %[[W:[^:]*]]: tensor<64xf16>
func.func @casts(%x: tensor<4x64xf16>, %w: tensor<64xf16>) -> tensor<4x64xf16> {
  // CHECK-NEXT: %[[N:.*]] = graph.rms_norm %[[X]] scale(%[[W]] : tensor<64xf16>) {{.*}} : tensor<4x64xf16> -> tensor<4x64xf16>
  // CHECK-NEXT: return %[[N]]
  %one = graph.constant dense<1.0> : tensor<f32>
  %eps = graph.constant dense<1.0e-6> : tensor<f32>
  %c = graph.cast %x : tensor<4x64xf16> -> tensor<4x64xf32>
  %0 = graph.binary "mul" %c, %c : (tensor<4x64xf32>, tensor<4x64xf32>) -> tensor<4x64xf32>
  %1 = graph.reduce "mean" %0 [1] {keepdims = true} : tensor<4x64xf32> -> tensor<4x1xf32>
  %2 = graph.binary "add" %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = graph.unary "sqrt" %2 : tensor<4x1xf32> -> tensor<4x1xf32>
  %4 = graph.binary "div" %one, %3 : (tensor<f32>, tensor<4x1xf32>) -> tensor<4x1xf32>
  %5 = graph.binary "mul" %c, %4 : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  %6 = graph.cast %5 : tensor<4x64xf32> -> tensor<4x64xf16>
  %7 = graph.binary "mul" %w, %6 : (tensor<64xf16>, tensor<4x64xf16>) -> tensor<4x64xf16>
  return %7 : tensor<4x64xf16>
}

// -----
// CHECK-LABEL: func.func @layer_norm
// CHECK-SAME: %[[X:[^:]*]]: tensor<4x64xf32>, %[[W:[^:]*]]: tensor<64xf32>, %[[B:[^:]*]]: tensor<64xf32>
func.func @layer_norm(%x: tensor<4x64xf32>, %w: tensor<64xf32>, %b: tensor<64xf32>) -> tensor<4x64xf32> {
  // CHECK-NEXT: %[[N:.*]] = graph.layer_norm %[[X]] scale(%[[W]] : tensor<64xf32>) bias(%[[B]] : tensor<64xf32>)
  // CHECK-NEXT: return %[[N]]
  %two = graph.constant dense<2.0> : tensor<f32>
  %eps = graph.constant dense<1.0e-5> : tensor<f32>
  %m = graph.reduce "mean" %x [1] {keepdims = true} : tensor<4x64xf32> -> tensor<4x1xf32>
  %d = graph.binary "sub" %x, %m : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  %0 = graph.binary "pow" %d, %two : (tensor<4x64xf32>, tensor<f32>) -> tensor<4x64xf32>
  %1 = graph.reduce "mean" %0 [1] {keepdims = true} : tensor<4x64xf32> -> tensor<4x1xf32>
  %2 = graph.binary "add" %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = graph.unary "sqrt" %2 : tensor<4x1xf32> -> tensor<4x1xf32>
  %4 = graph.binary "div" %d, %3 : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  %5 = graph.binary "mul" %4, %w : (tensor<4x64xf32>, tensor<64xf32>) -> tensor<4x64xf32>
  %6 = graph.binary "add" %5, %b : (tensor<4x64xf32>, tensor<64xf32>) -> tensor<4x64xf32>
  return %6 : tensor<4x64xf32>
}

// -----
// The root of another tensor's mean square is no norm.
// CHECK-LABEL: func.func @other_tensor
func.func @other_tensor(%x: tensor<4x64xf32>, %y: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // CHECK-NOT: graph.rms_norm
  // CHECK: return
  %eps = graph.constant dense<1.0e-5> : tensor<f32>
  %0 = graph.unary "square" %y : tensor<4x64xf32> -> tensor<4x64xf32>
  %1 = graph.reduce "mean" %0 [1] {keepdims = true} : tensor<4x64xf32> -> tensor<4x1xf32>
  %2 = graph.binary "add" %1, %eps : (tensor<4x1xf32>, tensor<f32>) -> tensor<4x1xf32>
  %3 = graph.unary "rsqrt" %2 : tensor<4x1xf32> -> tensor<4x1xf32>
  %4 = graph.binary "mul" %x, %3 : (tensor<4x64xf32>, tensor<4x1xf32>) -> tensor<4x64xf32>
  return %4 : tensor<4x64xf32>
}

// -----
// Nor is a mean over the rows.
// CHECK-LABEL: func.func @other_axis
func.func @other_axis(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
  // CHECK-NOT: graph.rms_norm
  // CHECK: return
  %eps = graph.constant dense<1.0e-5> : tensor<f32>
  %0 = graph.unary "square" %x : tensor<4x64xf32> -> tensor<4x64xf32>
  %1 = graph.reduce "mean" %0 [0] {keepdims = true} : tensor<4x64xf32> -> tensor<1x64xf32>
  %2 = graph.binary "add" %1, %eps : (tensor<1x64xf32>, tensor<f32>) -> tensor<1x64xf32>
  %3 = graph.unary "rsqrt" %2 : tensor<1x64xf32> -> tensor<1x64xf32>
  %4 = graph.binary "mul" %x, %3 : (tensor<4x64xf32>, tensor<1x64xf32>) -> tensor<4x64xf32>
  return %4 : tensor<4x64xf32>
}
