// RUN: llmc-opt %s --canonicalize --recover-rope --canonicalize --split-input-file | FileCheck %s

// Rotate-half as torch.onnx writes it: tables twice as wide as they need be.
// CHECK-LABEL: func.func @rotate_half
// CHECK-SAME: %[[X:[^:]*]]: tensor<1x8x?x8xf32>
func.func @rotate_half(%x: tensor<1x8x?x8xf32> {graph.dims = [1, 8, "seq", 8]}, %f: tensor<1x?x4xf32> {graph.dims = [1, "seq", 4]}) -> tensor<1x8x?x8xf32> {
  // CHECK: %[[E:.*]] = graph.concat 2
  // CHECK-DAG: %[[C:.*]] = graph.unary "cos" %[[E]]
  // CHECK-DAG: %[[S:.*]] = graph.unary "sin" %[[E]]
  // CHECK-DAG: %[[CT:.*]] = graph.reshape %[[C]] {dims = {{\[\[}}"seq", 8]]}
  // CHECK-DAG: %[[ST:.*]] = graph.reshape %[[S]] {dims = {{\[\[}}"seq", 8]]}
  // CHECK: %[[R:.*]] = graph.rope %[[X]], %[[CT]], %[[ST]] {dims = {{.*}}, interleaved = false, layout = "bhsd", rotary_dim = 8 : i64}
  // CHECK-NEXT: return %[[R]]
  %e = graph.concat 2, %f, %f {dims = [[1, "seq", 8]]} : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x8xf32>
  %c = graph.unary "cos" %e {dims = [[1, "seq", 8]]} : tensor<1x?x8xf32> -> tensor<1x?x8xf32>
  %s = graph.unary "sin" %e {dims = [[1, "seq", 8]]} : tensor<1x?x8xf32> -> tensor<1x?x8xf32>
  %c4 = graph.reshape %c {dims = [[1, 1, "seq", 8]]} : tensor<1x?x8xf32> -> tensor<1x1x?x8xf32>
  %s4 = graph.reshape %s {dims = [[1, 1, "seq", 8]]} : tensor<1x?x8xf32> -> tensor<1x1x?x8xf32>
  %a = graph.binary "mul" %x, %c4 {dims = [[1, 8, "seq", 8]]} : (tensor<1x8x?x8xf32>, tensor<1x1x?x8xf32>) -> tensor<1x8x?x8xf32>
  %lo = graph.slice %x ["0", "0", "0", "0"] [1, 1, 1, 1] {dims = [[1, 8, "seq", 4]]} : tensor<1x8x?x8xf32> -> tensor<1x8x?x4xf32>
  %hi = graph.slice %x ["0", "0", "0", "4"] [1, 1, 1, 1] {dims = [[1, 8, "seq", 4]]} : tensor<1x8x?x8xf32> -> tensor<1x8x?x4xf32>
  %n = graph.unary "neg" %hi {dims = [[1, 8, "seq", 4]]} : tensor<1x8x?x4xf32> -> tensor<1x8x?x4xf32>
  %r = graph.concat 3, %n, %lo {dims = [[1, 8, "seq", 8]]} : (tensor<1x8x?x4xf32>, tensor<1x8x?x4xf32>) -> tensor<1x8x?x8xf32>
  %b = graph.binary "mul" %r, %s4 {dims = [[1, 8, "seq", 8]]} : (tensor<1x8x?x8xf32>, tensor<1x1x?x8xf32>) -> tensor<1x8x?x8xf32>
  %y = graph.binary "add" %a, %b {dims = [[1, 8, "seq", 8]]} : (tensor<1x8x?x8xf32>, tensor<1x8x?x8xf32>) -> tensor<1x8x?x8xf32>
  return %y : tensor<1x8x?x8xf32>
}

// -----
// Tables of which the halves may differ: nothing is taken for granted.
// CHECK-LABEL: func.func @unknown_tables
func.func @unknown_tables(%x: tensor<1x8x4x8xf32>, %c: tensor<4x8xf32>, %s: tensor<4x8xf32>) -> tensor<1x8x4x8xf32> {
  // CHECK-NOT: graph.rope
  // CHECK: return
  %a = graph.binary "mul" %x, %c : (tensor<1x8x4x8xf32>, tensor<4x8xf32>) -> tensor<1x8x4x8xf32>
  %lo = graph.slice %x ["0", "0", "0", "0"] [1, 1, 1, 1] : tensor<1x8x4x8xf32> -> tensor<1x8x4x4xf32>
  %hi = graph.slice %x ["0", "0", "0", "4"] [1, 1, 1, 1] : tensor<1x8x4x8xf32> -> tensor<1x8x4x4xf32>
  %n = graph.unary "neg" %hi : tensor<1x8x4x4xf32> -> tensor<1x8x4x4xf32>
  %r = graph.concat 3, %n, %lo : (tensor<1x8x4x4xf32>, tensor<1x8x4x4xf32>) -> tensor<1x8x4x8xf32>
  %b = graph.binary "mul" %r, %s : (tensor<1x8x4x8xf32>, tensor<4x8xf32>) -> tensor<1x8x4x8xf32>
  %y = graph.binary "add" %a, %b : (tensor<1x8x4x8xf32>, tensor<1x8x4x8xf32>) -> tensor<1x8x4x8xf32>
  return %y : tensor<1x8x4x8xf32>
}

// -----
// The halves rotate separately, and only the first four of eight features do.
// CHECK-LABEL: func.func @two_halves_partial
// CHECK-SAME: %[[X:[^:]*]]: tensor<1x5x2x8xf32>, %[[C:[^:]*]]: tensor<5x1x2xf32>, %[[S:[^:]*]]: tensor<5x1x2xf32>
func.func @two_halves_partial(%x: tensor<1x5x2x8xf32>, %c: tensor<5x1x2xf32>, %s: tensor<5x1x2xf32>) -> tensor<1x5x2x8xf32> {
  // CHECK-DAG: %[[CT:.*]] = graph.reshape %[[C]] : tensor<5x1x2xf32> -> tensor<5x2xf32>
  // CHECK-DAG: %[[ST:.*]] = graph.reshape %[[S]] : tensor<5x1x2xf32> -> tensor<5x2xf32>
  // CHECK: %[[R:.*]] = graph.rope %[[X]], %[[CT]], %[[ST]] {interleaved = false, layout = "bshd", rotary_dim = 4 : i64}
  // CHECK-NEXT: return %[[R]]
  %x1 = graph.slice %x ["0", "0", "0", "0"] [1, 1, 1, 1] : tensor<1x5x2x8xf32> -> tensor<1x5x2x2xf32>
  %x2 = graph.slice %x ["0", "0", "0", "2"] [1, 1, 1, 1] : tensor<1x5x2x8xf32> -> tensor<1x5x2x2xf32>
  %xp = graph.slice %x ["0", "0", "0", "4"] [1, 1, 1, 1] : tensor<1x5x2x8xf32> -> tensor<1x5x2x4xf32>
  %a = graph.binary "mul" %x1, %c : (tensor<1x5x2x2xf32>, tensor<5x1x2xf32>) -> tensor<1x5x2x2xf32>
  %b = graph.binary "mul" %x2, %s : (tensor<1x5x2x2xf32>, tensor<5x1x2xf32>) -> tensor<1x5x2x2xf32>
  %p = graph.binary "sub" %a, %b : (tensor<1x5x2x2xf32>, tensor<1x5x2x2xf32>) -> tensor<1x5x2x2xf32>
  %d = graph.binary "mul" %x2, %c : (tensor<1x5x2x2xf32>, tensor<5x1x2xf32>) -> tensor<1x5x2x2xf32>
  %e = graph.binary "mul" %x1, %s : (tensor<1x5x2x2xf32>, tensor<5x1x2xf32>) -> tensor<1x5x2x2xf32>
  %q = graph.binary "add" %d, %e : (tensor<1x5x2x2xf32>, tensor<1x5x2x2xf32>) -> tensor<1x5x2x2xf32>
  %y = graph.concat 3, %p, %q, %xp : (tensor<1x5x2x2xf32>, tensor<1x5x2x2xf32>, tensor<1x5x2x4xf32>) -> tensor<1x5x2x8xf32>
  return %y : tensor<1x5x2x8xf32>
}

// -----
// Even and odd features, stacked again.
// CHECK-LABEL: func.func @interleaved
// CHECK-SAME: %[[X:[^:]*]]: tensor<1x2x5x8xf32>, %[[C:[^:]*]]: tensor<5x4xf32>, %[[S:[^:]*]]: tensor<5x4xf32>
func.func @interleaved(%x: tensor<1x2x5x8xf32>, %c: tensor<5x4xf32>, %s: tensor<5x4xf32>) -> tensor<1x2x5x8xf32> {
  // CHECK: %[[R:.*]] = graph.rope %[[X]], %[[C]], %[[S]] {interleaved = true, layout = "bhsd", rotary_dim = 8 : i64}
  // CHECK-NEXT: return %[[R]]
  %x1 = graph.slice %x ["0", "0", "0", "0"] [1, 1, 1, 2] : tensor<1x2x5x8xf32> -> tensor<1x2x5x4xf32>
  %x2 = graph.slice %x ["0", "0", "0", "1"] [1, 1, 1, 2] : tensor<1x2x5x8xf32> -> tensor<1x2x5x4xf32>
  %a = graph.binary "mul" %x1, %c : (tensor<1x2x5x4xf32>, tensor<5x4xf32>) -> tensor<1x2x5x4xf32>
  %b = graph.binary "mul" %x2, %s : (tensor<1x2x5x4xf32>, tensor<5x4xf32>) -> tensor<1x2x5x4xf32>
  %p = graph.binary "sub" %a, %b : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  %d = graph.binary "mul" %x1, %s : (tensor<1x2x5x4xf32>, tensor<5x4xf32>) -> tensor<1x2x5x4xf32>
  %e = graph.binary "mul" %x2, %c : (tensor<1x2x5x4xf32>, tensor<5x4xf32>) -> tensor<1x2x5x4xf32>
  %q = graph.binary "add" %d, %e : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  %p5 = graph.reshape %p : tensor<1x2x5x4xf32> -> tensor<1x2x5x4x1xf32>
  %q5 = graph.reshape %q : tensor<1x2x5x4xf32> -> tensor<1x2x5x4x1xf32>
  %z = graph.concat 4, %p5, %q5 : (tensor<1x2x5x4x1xf32>, tensor<1x2x5x4x1xf32>) -> tensor<1x2x5x4x2xf32>
  %y = graph.reshape %z : tensor<1x2x5x4x2xf32> -> tensor<1x2x5x8xf32>
  return %y : tensor<1x2x5x8xf32>
}
