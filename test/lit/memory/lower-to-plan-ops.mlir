// RUN: llmc-opt %s --split-input-file --lower-to-plan | FileCheck %s
// RUN: llmc-opt %s --split-input-file --lower-to-plan | llmc-opt --split-input-file | FileCheck %s

// Splats become constants of the program: registers 0 and 1 are the inputs, 2
// is 0.5, 3 the product; select reads the bool of input 1.
// CHECK-LABEL: plan.entry @elementwise
// CHECK-NEXT: plan.launch "pointwise"(read @elementwise.x : f32[4, "n"], write @elementwise.mul : f32[4, "n"]) ints [1, 2, 0, 0, 0, 0, 0, 52, 0, 0, 1, 0] floats [5.000000e-01] name "mul"
// CHECK-NEXT: plan.launch "pointwise"(read @elementwise.mul : f32[4, "n"], read @elementwise.b : f32[1, "n"], write @elementwise.lt : bool[4, "n"]) ints [2, 1, 71, 3, 0, 1, 0] name "lt"
// CHECK-NEXT: plan.launch "pointwise"(read @elementwise.lt : bool[4, "n"], read @elementwise.mul : f32[4, "n"], write @elementwise.select : f32[4, "n"]) ints [2, 2, 0, 0, 0, 0, 0, 90, 0, 0, 1, 2] floats [0xFFF0000000000000] name "select"
// CHECK-NEXT: plan.launch "pointwise"(read @elementwise.select : f32[4, "n"], write @elementwise.cast : i32[4, "n"]) ints [1, 1, 1, 2, 0, 0, 0] name "cast"
// One operand twice is one register.
// CHECK-NEXT: plan.launch "pointwise"(read @elementwise.cast : i32[4, "n"], write @elementwise.double : i32[4, "n"]) ints [1, 1, 50, 2, 0, 0, 0] name "double"
func.func @elementwise(%x: tensor<4x?xf32> {graph.dims = [4, "n"], graph.port = {name = "x", role = "generic"}}, %b: tensor<1x?xf32> {graph.dims = [1, "n"], graph.port = {name = "b", role = "generic"}})
    -> (tensor<4x?xi32> {graph.dims = [4, "n"], graph.port = {name = "y", role = "generic"}}) attributes {graph.entry, graph.symbols = {n = [1, 8]}} {
  %half = graph.constant dense<0.5> : tensor<f32>
  %low = graph.constant dense<0xFF800000> : tensor<1xf32>
  %0 = graph.binary "mul" %x, %half {dims = [[4, "n"]], graph.name = "mul"} : (tensor<4x?xf32>, tensor<f32>) -> tensor<4x?xf32>
  %1 = graph.binary "lt" %0, %b {dims = [[4, "n"]], graph.name = "lt"} : (tensor<4x?xf32>, tensor<1x?xf32>) -> tensor<4x?xi1>
  %2 = graph.select %1, %0, %low {dims = [[4, "n"]], graph.name = "select"} : (tensor<4x?xi1>, tensor<4x?xf32>, tensor<1xf32>) -> tensor<4x?xf32>
  %3 = graph.cast %2 {dims = [[4, "n"]], graph.name = "cast"} : tensor<4x?xf32> -> tensor<4x?xi32>
  %4 = graph.binary "add" %3, %3 {dims = [[4, "n"]], graph.name = "double"} : (tensor<4x?xi32>, tensor<4x?xi32>) -> tensor<4x?xi32>
  return %4 : tensor<4x?xi32>
}

// -----
// CHECK: plan.buffer @constant.0 constant device size 16 data dense<[1, 2]> : tensor<2xi64>
// CHECK-LABEL: plan.entry @layout
// Moving only unit dimensions is a view.
// CHECK-NEXT: plan.launch "strided_copy"(read @layout.x : f32[1, 2, 3], write @layout.b : f32[4, 2, 3]) params [0, 0, 4, 6, 0, 1, 6, 1] ints [2] name "b"
// Every other element backwards from 2: offset 2, stride -2.
// CHECK-NEXT: plan.launch "strided_copy"(read @layout.x : f32[2, 1, 3], write @layout.s : f32[2, 1, 2]) params [2, 0, 2, 2, 3, -2, 2, 1] ints [2] name "s"
// [2, 1, 3] beside [2, 1, 2] along axis 2: rows of 5.
// CHECK-NEXT: plan.launch "strided_copy"(read @layout.x : f32[2, 1, 3], update @layout.c : f32[2, 1, 5]) params [0, 0, 2, 3, 3, 1, 5, 1] ints [2] name "c"
// CHECK-NEXT: plan.launch "strided_copy"(read @layout.s : f32[2, 1, 2], update @layout.c : f32[2, 1, 5]) params [0, 3, 2, 2, 2, 1, 5, 1] ints [2] name "c"
// One row before, one column cut: [3, 1, 4].
// CHECK-NEXT: plan.launch "fill"(write @layout.p : f32[3, 1, 4]) floats [7.000000e+00] name "p"
// CHECK-NEXT: plan.launch "strided_copy"(read @layout.c : f32[2, 1, 5], update @layout.p : f32[3, 1, 4]) params [0, 4, 2, 4, 5, 1, 4, 1] ints [2] name "p"
// CHECK-NEXT: plan.launch "gather"(read @layout.p : f32[3, 1, 4], read @constant.0 : i64[2], write @layout.g : f32[2, 1, 4]) ints [0] name "g"
// CHECK-NEXT: plan.launch "iota"(write @layout.i : i64[4]) params [3, 2] ints [0] name "i"
// CHECK-NEXT: plan.launch "iota"(write @layout.d : i64[1]) params ["n", 0] ints [0] name "d"
// CHECK-NEXT: plan.launch "iota"(write @layout.d + 8 : i64[1]) params [5, 0] ints [0] name "d"
func.func @layout(%x: tensor<2x1x3xf32> {graph.port = {name = "x", role = "generic"}}, %n: tensor<?xf32> {graph.dims = ["n"], graph.port = {name = "n", role = "generic"}})
    -> (tensor<1x2x3xf32>, tensor<4x2x3xf32>, tensor<2x1x4xf32>, tensor<4xi64>, tensor<2xi64>) attributes {graph.entry, graph.symbols = {n = [1, 8]}} {
  %index = graph.constant dense<[1, 2]> : tensor<2xi64>
  %t = graph.transpose %x [1, 0, 2] {graph.name = "t"} : tensor<2x1x3xf32> -> tensor<1x2x3xf32>
  %b = graph.broadcast %t {graph.name = "b"} : tensor<1x2x3xf32> -> tensor<4x2x3xf32>
  %s = graph.slice %x ["0", "0", "2"] [1, 1, -2] {graph.name = "s"} : tensor<2x1x3xf32> -> tensor<2x1x2xf32>
  %c = graph.concat 2, %x, %s {graph.name = "c"} : (tensor<2x1x3xf32>, tensor<2x1x2xf32>) -> tensor<2x1x5xf32>
  %p = graph.pad %c [1, 0, 0] [0, 0, -1] dense<7.0> : tensor<1xf32> {graph.name = "p"} : tensor<2x1x5xf32> -> tensor<3x1x4xf32>
  %g = graph.gather %p, %index {axis = 0 : i64, graph.name = "g"} : (tensor<3x1x4xf32>, tensor<2xi64>) -> tensor<2x1x4xf32>
  %i = graph.iota {axis = 0 : i64, start = "3", step = "2", graph.name = "i"} : tensor<4xi64>
  %d = graph.dim_value ["n", "5"] {graph.name = "d"} : tensor<2xi64>
  return %t, %b, %g, %i, %d : tensor<1x2x3xf32>, tensor<4x2x3xf32>, tensor<2x1x4xf32>, tensor<4xi64>, tensor<2xi64>
}

// -----
// What a caller reads is a buffer of its own: an input, a constant and a value
// returned twice are copied; a reshape of an activation is not.
// CHECK: plan.buffer @outputs.y output device size 64
// CHECK: plan.buffer @outputs.out_x output device size 64
// CHECK: plan.buffer @outputs.again output device size 64
// CHECK: plan.buffer @outputs.c output device size 8
// CHECK-LABEL: plan.entry @outputs
// CHECK-SAME: outputs [{buffer = @outputs.out_x, dims = [16], dtype = "f32", name = "out_x", role = "generic"}, {buffer = @outputs.y, dims = [4, 4], dtype = "f32", name = "y", role = "generic"}, {buffer = @outputs.again, dims = [16], dtype = "f32", name = "again", role = "generic"}, {buffer = @outputs.c, dims = [2], dtype = "f32", name = "c", role = "generic"}]
// CHECK-NEXT: plan.launch "pointwise"(read @outputs.x : f32[16], write @outputs.y : f32[16]) ints [1, 1, 12, 0, 0, 0, 0] name "y"
// CHECK-NEXT: plan.launch "strided_copy"(read @outputs.x : f32[16], write @outputs.out_x : f32[16]) params [0, 0, 16, 1, 1] ints [1]
// CHECK-NEXT: plan.launch "strided_copy"(read @outputs.y : f32[16], write @outputs.again : f32[16])
// CHECK-NEXT: plan.launch "strided_copy"(read @constant.0 : f32[2], write @outputs.c : f32[2])
func.func @outputs(%x: tensor<16xf32> {graph.port = {name = "x", role = "generic"}}) -> (tensor<16xf32> {graph.port = {name = "out_x", role = "generic"}}, tensor<4x4xf32> {graph.port = {name = "y", role = "generic"}}, tensor<16xf32> {graph.port = {name = "again", role = "generic"}}, tensor<2xf32> {graph.port = {name = "c", role = "generic"}}) attributes {graph.entry} {
  %c = graph.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = graph.unary "exp" %x {graph.name = "y"} : tensor<16xf32> -> tensor<16xf32>
  %z = graph.reshape %y : tensor<16xf32> -> tensor<4x4xf32>
  return %x, %z, %y, %c : tensor<16xf32>, tensor<4x4xf32>, tensor<16xf32>, tensor<2xf32>
}

// -----
// Values between ops are f32; weights, inputs and outputs keep their type, but
// logits stay wide. The cast to f32 moves nothing.
graph.weight @table : tensor<10x16xf16> {file = "m", offset = 0 : i64, length = 320 : i64, hash = "00000000000000000000000000000001"}
graph.weight @w : tensor<16x16xf16> {file = "m", offset = 320 : i64, length = 512 : i64, hash = "00000000000000000000000000000002"}
// CHECK: plan.segment @segment.table size 320 {kind = "raw"}
// 16 rows are one panel of 64: 64 * 16 * 2
// CHECK: plan.segment @segment.w.panel64 size 2048
// CHECK-LABEL: plan.entry @narrow
// CHECK-SAME: outputs [{buffer = @narrow.h.cast, dims = [3, 16], dtype = "f16", name = "h", role = "generic"}, {buffer = @narrow.y, dims = [3, 16], dtype = "f32", name = "logits", role = "logits"}]
// CHECK-NEXT: plan.launch "gather"(read @weight.table : f16[10, 16], read @narrow.ids : i64[3], write @narrow.x : f32[3, 16]) ints [0] name "x"
// CHECK-NEXT: plan.launch "pointwise"(read @narrow.x : f32[3, 16], read @narrow.add : f16[16], write @narrow.h : f32[3, 16])
// CHECK-NEXT: plan.launch "linear"(read @narrow.h : f32[3, 16], read @weight.w.panel64 : f16[16, 16] panel64, write @narrow.y : f32[3, 16])
// CHECK-NEXT: plan.launch "cast"(read @narrow.h : f32[3, 16], write @narrow.h.cast : f16[3, 16])
func.func @narrow(%ids: tensor<3xi64> {graph.port = {name = "ids", role = "generic"}}, %b: tensor<16xf16> {graph.port = {name = "add", role = "generic"}}) -> (tensor<3x16xf16> {graph.port = {name = "h", role = "generic"}}, tensor<3x16xf16> {graph.port = {name = "logits", role = "logits"}}) attributes {graph.entry} {
  %t = graph.load_weight @table : tensor<10x16xf16>
  %w = graph.load_weight @w : tensor<16x16xf16>
  %x = graph.gather %t, %ids {axis = 0 : i64, graph.name = "x"} : (tensor<10x16xf16>, tensor<3xi64>) -> tensor<3x16xf16>
  %wide = graph.cast %x : tensor<3x16xf16> -> tensor<3x16xf32>
  %narrow = graph.cast %wide : tensor<3x16xf32> -> tensor<3x16xf16>
  %h = graph.binary "add" %narrow, %b {graph.name = "h"} : (tensor<3x16xf16>, tensor<16xf16>) -> tensor<3x16xf16>
  %y = graph.linear %h, %w {weight_layout = "nk", graph.name = "y"} : tensor<3x16xf16>, tensor<16x16xf16> -> tensor<3x16xf16>
  return %h, %y : tensor<3x16xf16>, tensor<3x16xf16>
}

// -----
// int8 of a float weight: codes and scales come from the same source. 4-bit
// codes of 70 columns in blocks of 32: 3 blocks, 3 * 32 / 2 = 48 bytes a row.
graph.weight @f : tensor<70x8xf32> {file = "m", offset = 0 : i64, length = 2240 : i64, hash = "00000000000000000000000000000001"}
graph.weight @c : tensor<8x3x16xui8> {file = "m", offset = 2240 : i64, length = 384 : i64, hash = "00000000000000000000000000000002"}
graph.weight @s : tensor<24xf16> {file = "m", offset = 2624 : i64, length = 48 : i64, hash = "00000000000000000000000000000003"}
graph.weight @z : tensor<16xui8> {file = "m", offset = 2672 : i64, length = 16 : i64, hash = "00000000000000000000000000000004"}
// CHECK: plan.segment @segment.f.q_codes size 560 {bits = 8 : i64, block_size = 70 : i64, dtype = "f32", format = "int8", k = 70 : i64, kind = "q_codes", layout = "kn", n = 8 : i64} from [@f]
// CHECK: plan.segment @segment.f.q_scales size 32 {{.*}}kind = "q_scales"{{.*}} from [@f]
// CHECK: plan.segment @segment.c.q_codes size 384 {{.*}}format = "nbits"
// CHECK: plan.segment @segment.s.q_scales size 48
// CHECK: plan.segment @segment.z.q_zero size 24
// CHECK-LABEL: plan.entry @quantized
// CHECK-NEXT: plan.launch "linear_quant"(read @quantized.x : f32[2, 70], read @weight.f.q_codes : u8[8, 70], read @weight.f.q_scales : f32[8, 1], write @quantized.a : f32[2, 8]) ints [8, 70, 8, 70, 0, 0, 0, 0, 128] name "a"
// CHECK-NEXT: plan.launch "linear_quant"(read @quantized.x : f32[2, 70], read @weight.c.q_codes : u8[8, 48], read @weight.s.q_scales : f16[8, 3], read @weight.z.q_zero : u8[8, 3], write @quantized.b : f32[2, 8]) ints [8, 70, 4, 32, 1, 0, 0, 0, 8] name "b"
func.func @quantized(%x: tensor<2x70xf32> {graph.port = {name = "x", role = "generic"}}) -> (tensor<2x8xf32>, tensor<2x8xf32>) attributes {graph.entry} {
  %f = graph.load_weight @f : tensor<70x8xf32>
  %c = graph.load_weight @c : tensor<8x3x16xui8>
  %s = graph.load_weight @s : tensor<24xf16>
  %z = graph.load_weight @z : tensor<16xui8>
  %a = graph.quant_linear %x, %f {n = 8 : i64, k = 70 : i64, bits = 8 : i64, block_size = 70 : i64, format = "int8", float_layout = "kn", graph.name = "a"} : tensor<2x70xf32>, tensor<70x8xf32> -> tensor<2x8xf32>
  %b = graph.quant_linear %x, %c scales(%s : tensor<24xf16>) zero_points(%z : tensor<16xui8>) {n = 8 : i64, k = 70 : i64, bits = 4 : i64, block_size = 32 : i64, format = "nbits", graph.name = "b"} : tensor<2x70xf32>, tensor<8x3x16xui8> -> tensor<2x8xf32>
  return %a, %b : tensor<2x8xf32>, tensor<2x8xf32>
}

// -----
// k and v are slices 1 and 0 of one state: behind the seven numbers that any
// attention has come 2 slices, 1, 0.
// CHECK-LABEL: plan.entry @slices
// CHECK: plan.launch "kv_append"({{.*}}, update @state.kv : f32[2, 1, 4, 64, 8]) params ["past"] ints [64, 3]
// CHECK-NEXT: plan.launch "attention"(read @slices.q : f32[1, 4, 1, 8], read @state.kv : f32[2, 1, 4, 64, 8], read @state.kv : f32[2, 1, 4, 64, 8], write @slices.a : f32[1, 4, 1, 8]) params ["past + 1"] ints [0, 1, 1, 0, 0, 0, 64, 2, 1, 0] floats
graph.state @kv : tensor<2x1x4x64x8xf32> {axis = 3 : i64, block_tokens = 64 : i64, input_name = "p", output_name = "q"}
func.func @slices(%q: tensor<1x4x1x8xf32> {graph.port = {name = "q", role = "generic"}}, %n: tensor<2x1x4x1x8xf32> {graph.port = {name = "n", role = "generic"}})
    -> (tensor<1x4x1x8xf32> {graph.port = {name = "y", role = "generic"}}) attributes {graph.entry, graph.symbols = {past = [0, 63]}} {
  %c = graph.kv_append @kv, %n at "past" : tensor<2x1x4x1x8xf32>
  %a = graph.attention %q, %c, %c {q_layout = "bhsd", total = "past + 1", causal = true, window = 0 : i64, scale = 0.5 : f64, graph.slices = array<i64: 1, 0>, graph.name = "a"}
      : tensor<1x4x1x8xf32>, !graph.cache, !graph.cache -> tensor<1x4x1x8xf32>
  return %a : tensor<1x4x1x8xf32>
}
