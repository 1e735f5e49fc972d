// RUN: llmc-opt %s --canonicalize --recover-activations --canonicalize | FileCheck %s

// CHECK-LABEL: func.func @silu
func.func @silu(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: graph.unary "silu" %arg0
  // CHECK-NEXT: return
  %0 = graph.unary "sigmoid" %x : tensor<4xf32> -> tensor<4xf32>
  %1 = graph.binary "mul" %x, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}

// SwiGLU: the gate's silu, then a product.
// CHECK-LABEL: func.func @swiglu
func.func @swiglu(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: %[[S:.*]] = graph.unary "silu" %arg0
  // CHECK-NEXT: graph.binary "mul" %[[S]], %arg1
  %0 = graph.unary "sigmoid" %x : tensor<4xf32> -> tensor<4xf32>
  %1 = graph.binary "mul" %x, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = graph.binary "mul" %1, %y : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}

// CHECK-LABEL: func.func @sigmoid_of_other
func.func @sigmoid_of_other(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NOT: "silu"
  // CHECK: return
  %0 = graph.unary "sigmoid" %y : tensor<4xf32> -> tensor<4xf32>
  %1 = graph.binary "mul" %x, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %1 : tensor<4xf32>
}

// CHECK-LABEL: func.func @quick_gelu
func.func @quick_gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: graph.unary "quick_gelu" %arg0
  %c = graph.constant dense<1.702> : tensor<f32>
  %0 = graph.binary "mul" %x, %c : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.unary "sigmoid" %0 : tensor<4xf32> -> tensor<4xf32>
  %2 = graph.binary "mul" %x, %1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %2 : tensor<4xf32>
}

// 0.5 x (1 + erf(x / sqrt 2)), as torch and TorchScript write it.
// CHECK-LABEL: func.func @gelu_erf
func.func @gelu_erf(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: graph.unary "gelu_erf" %arg0
  // CHECK-NEXT: return
  %root = graph.constant dense<1.41421354> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<f32>
  %half = graph.constant dense<0.5> : tensor<f32>
  %0 = graph.binary "div" %x, %root : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.unary "erf" %0 : tensor<4xf32> -> tensor<4xf32>
  %2 = graph.binary "add" %1, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = graph.binary "mul" %x, %2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %4 = graph.binary "mul" %3, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %4 : tensor<4xf32>
}

// GPT-2's gelu_new.
// CHECK-LABEL: func.func @gelu_tanh
func.func @gelu_tanh(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: graph.unary "gelu_tanh" %arg0
  // CHECK-NEXT: return
  %half = graph.constant dense<0.5> : tensor<f32>
  %three = graph.constant dense<3.0> : tensor<f32>
  %a = graph.constant dense<0.044714998453855515> : tensor<f32>
  %b = graph.constant dense<0.7978845834732056> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<f32>
  %0 = graph.binary "mul" %x, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.binary "pow" %x, %three : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %2 = graph.binary "mul" %1, %a : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = graph.binary "add" %x, %2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %4 = graph.binary "mul" %3, %b : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %5 = graph.unary "tanh" %4 : tensor<4xf32> -> tensor<4xf32>
  %6 = graph.binary "add" %5, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %7 = graph.binary "mul" %0, %6 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %7 : tensor<4xf32>
}

// Another coefficient is another function.
// CHECK-LABEL: func.func @not_gelu
func.func @not_gelu(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NOT: "gelu
  // CHECK: return
  %half = graph.constant dense<0.5> : tensor<f32>
  %c = graph.constant dense<0.8> : tensor<f32>
  %one = graph.constant dense<1.0> : tensor<f32>
  %0 = graph.binary "mul" %x, %c : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %1 = graph.unary "erf" %0 : tensor<4xf32> -> tensor<4xf32>
  %2 = graph.binary "add" %1, %one : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %3 = graph.binary "mul" %x, %2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %4 = graph.binary "mul" %3, %half : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  return %4 : tensor<4xf32>
}
