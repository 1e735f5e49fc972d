//===- GraphOps.td - Operations of the graph dialect -------*- tablegen -*-===//
//
// Conventions: "expr" attributes are the text of a DimExpr over the entry's
// symbols ("past", "past + seq", "0"). Reduced axes and permutations are plain
// non-negative integers. All ops are Pure except kv_append (ordered by the
// cache value it returns).
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_GRAPH_OPS_TD
#define LLMC_GRAPH_OPS_TD

include "dialects/graph/GraphDialect.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Graph_TensorOrCache : AnyTypeOf<[AnyRankedTensor, Graph_CacheType]>;

//===-- Module level --------------------------------------------------------===//

def Graph_WeightOp : Graph_Op<"weight", [Symbol]> {
  let summary = "A weight of the model, by reference";
  let description = [{
    `file`, `offset`, `length` say where the bytes are (file is empty when they
    are inside the model's protobuf); `hash` is 32 hex digits of the content.
        graph.weight @layers.0.wq : tensor<64x64xf32> {file = "m.data", offset = 0, length = 16384, hash = "..."}
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, StrAttr:$file,
      I64Attr:$offset, I64Attr:$length, StrAttr:$hash);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

def Graph_StateOp : Graph_Op<"state", [Symbol]> {
  let summary = "A key or value cache that grows along `axis` up to `capacity` tokens";
  let description = [{
    `type` is the logical tensor at full capacity, e.g. tensor<1x4x512x8xf32>.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, I64Attr:$axis,
      I64Attr:$block_tokens, StrAttr:$input_name, StrAttr:$output_name);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

//===-- Leaves --------------------------------------------------------------===//

def Graph_ConstantOp : Graph_Op<"constant", [Pure, ConstantLike,
    AllTypesMatch<["value", "result"]>]> {
  let summary = "A small constant (at most a few KiB, or a splat)";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "attr-dict $value";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Graph_LoadWeightOp : Graph_Op<"load_weight", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The value of a graph.weight";
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def Graph_FillOp : Graph_Op<"fill", [Pure]> {
  let summary = "A splat of run-time shape; `value` is a one-element dense attribute";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Graph_IotaOp : Graph_Op<"iota", [Pure]> {
  let summary = "start + step * index along `axis`, repeated along the others (exprs)";
  let arguments = (ins I64Attr:$axis, StrAttr:$start, StrAttr:$step);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Graph_DimValueOp : Graph_Op<"dim_value", [Pure]> {
  let summary = "A small integer tensor whose elements are DimExprs (a shape used as data)";
  let arguments = (ins ArrayAttr:$exprs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$exprs attr-dict `:` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

//===-- Element-wise --------------------------------------------------------===//

def Graph_UnaryOp : Graph_Op<"unary", [Pure]> {
  let summary = "Element-wise function of one operand";
  let description = [{
    `kind`: neg abs exp log sqrt rsqrt reciprocal sin cos tan tanh erf sigmoid
    relu silu gelu_erf gelu_tanh quick_gelu floor ceil round not is_nan is_inf
    sign softplus square.
        %y = graph.unary "exp" %x : tensor<4xf32> -> tensor<4xf32>
  }];
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let hasFolder = 1;
}

def Graph_BinaryOp : Graph_Op<"binary", [Pure]> {
  let summary = "Element-wise function of two operands with NumPy broadcasting";
  let description = [{
    `kind`: add sub mul div pow min max mod fmod and or xor eq lt le gt ge ne;
    comparisons give i1.
  }];
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $lhs `,` $rhs attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let hasFolder = 1;
}

def Graph_SelectOp : Graph_Op<"select", [Pure]> {
  let summary = "cond ? x : y, element-wise with broadcasting";
  let arguments = (ins AnyRankedTensor:$cond, AnyRankedTensor:$x, AnyRankedTensor:$y);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$cond `,` $x `,` $y attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_CastOp : Graph_Op<"cast", [Pure]> {
  let summary = "Element type conversion (f -> i truncates, to i1 is != 0)";
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_FusedOp : Graph_Op<"fused", [Pure, IsolatedFromAbove]> {
  let summary = "An element-wise region made by the fuse pass: one pass over memory";
  let description = [{
    The block's arguments are scalars-in-spirit: tensors of rank 0 of the
    operands' element types; its ops are unary, binary, select, cast and
    constant on rank-0 tensors; the yielded value is stored. Operands
    broadcast to the result's shape.
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$inputs);
  let results = (outs AnyRankedTensor:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "`(` $inputs `)` attr-dict-with-keyword `:` functional-type(operands, results) $body";
  let hasVerifier = 1;
}

def Graph_YieldOp : Graph_Op<"yield", [Pure, Terminator, ParentOneOf<["FusedOp"]>]> {
  let arguments = (ins AnyRankedTensor:$value);
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

//===-- Layout and indexing -------------------------------------------------===//

def Graph_ReshapeOp : Graph_Op<"reshape", [Pure]> {
  let summary = "Same elements in the same order, other dimensions (also squeeze, flatten)";
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
  let hasVerifier = 1;
}

def Graph_TransposeOp : Graph_Op<"transpose", [Pure]> {
  let summary = "result dim i is operand dim perm[i]";
  let arguments = (ins AnyRankedTensor:$x, DenseI64ArrayAttr:$perm);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x $perm attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_BroadcastOp : Graph_Op<"broadcast", [Pure]> {
  let summary = "ONNX Expand: NumPy broadcast to the result's dimensions";
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

def Graph_SliceOp : Graph_Op<"slice", [Pure]> {
  let summary = "One start (expr) and one non-zero step per dimension; sizes are the result's";
  let arguments = (ins AnyRankedTensor:$x, StrArrayAttr:$starts, DenseI64ArrayAttr:$steps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x $starts $steps attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_ConcatOp : Graph_Op<"concat", [Pure]> {
  let arguments = (ins I64Attr:$axis, Variadic<AnyRankedTensor>:$inputs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$axis `,` $inputs attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_PadOp : Graph_Op<"pad", [Pure]> {
  let summary = "Constant padding; `value` is a one-element dense attribute";
  let arguments = (ins AnyRankedTensor:$x, DenseI64ArrayAttr:$before,
      DenseI64ArrayAttr:$after, ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x $before $after $value attr-dict `:` type($x) `->` type($result)";
}

def Graph_GatherOp : Graph_Op<"gather", [Pure]> {
  let summary = "data.dims[:axis] + indices.dims + data.dims[axis+1:]; negative indices wrap";
  let description = [{
    `weight_layout` "kn": data is a graph.load_weight [K, N] of which columns
    are gathered as rows (an embedding tied to a head that the model stores that
    way); axis is 0 and the result [indices.., K].
  }];
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices, I64Attr:$axis,
      DefaultValuedStrAttr<StrAttr, "nk">:$weight_layout);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Graph_GatherElementsOp : Graph_Op<"gather_elements", [Pure]> {
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices, I64Attr:$axis);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices attr-dict `:` functional-type(operands, results)";
}

def Graph_GatherNDOp : Graph_Op<"gather_nd", [Pure]> {
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices, I64Attr:$batch_dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices attr-dict `:` functional-type(operands, results)";
  let hasCanonicalizer = 1;
}

def Graph_ScatterNDOp : Graph_Op<"scatter_nd", [Pure]> {
  let summary = "`kind`: none add mul min max";
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices,
      AnyRankedTensor:$updates, StrAttr:$kind);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices `,` $updates attr-dict `:` functional-type(operands, results)";
}

def Graph_ScatterElementsOp : Graph_Op<"scatter_elements", [Pure]> {
  let arguments = (ins AnyRankedTensor:$data, AnyRankedTensor:$indices,
      AnyRankedTensor:$updates, I64Attr:$axis, StrAttr:$kind);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$data `,` $indices `,` $updates attr-dict `:` functional-type(operands, results)";
}

def Graph_CumSumOp : Graph_Op<"cumsum", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$axis, BoolAttr:$exclusive, BoolAttr:$reverse);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def Graph_TopKOp : Graph_Op<"topk", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$axis, StrAttr:$k, BoolAttr:$largest);
  let results = (outs AnyRankedTensor:$values, AnyRankedTensor:$indices);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

//===-- Reductions and norms ------------------------------------------------===//

def Graph_ReduceOp : Graph_Op<"reduce", [Pure]> {
  let summary = "`kind`: sum mean max min prod sum_square l2 l1 log_sum_exp; axes ascending";
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$x, DenseI64ArrayAttr:$axes, BoolAttr:$keepdims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $x $axes attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_ArgReduceOp : Graph_Op<"arg_reduce", [Pure]> {
  let summary = "Index of the largest (or smallest) along `axis`";
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$axis, BoolAttr:$is_min, BoolAttr:$select_last, BoolAttr:$keepdims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def Graph_SoftmaxOp : Graph_Op<"softmax", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$axis, DefaultValuedAttr<BoolAttr, "false">:$log);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_LayerNormOp : Graph_Op<"layer_norm", [Pure, AttrSizedOperandSegments]> {
  let summary = "Normalizes over the last `trailing` dims";
  let arguments = (ins AnyRankedTensor:$x, Optional<AnyRankedTensor>:$scale,
      Optional<AnyRankedTensor>:$bias, I64Attr:$trailing, F64Attr:$epsilon);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x (`scale` `(` $scale^ `:` type($scale) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_RmsNormOp : Graph_Op<"rms_norm", [Pure]> {
  let summary = "x * rsqrt(mean(x^2) + epsilon) * scale over the last `trailing` dims";
  let arguments = (ins AnyRankedTensor:$x, Optional<AnyRankedTensor>:$scale,
      I64Attr:$trailing, F64Attr:$epsilon);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x (`scale` `(` $scale^ `:` type($scale) `)`)? attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

//===-- Products ------------------------------------------------------------===//

def Graph_MatMulOp : Graph_Op<"matmul", [Pure]> {
  let summary = "alpha * a @ b, batched with broadcasting, optionally transposed last two dims";
  let arguments = (ins AnyRankedTensor:$a, AnyRankedTensor:$b,
      DefaultValuedAttr<BoolAttr, "false">:$trans_a,
      DefaultValuedAttr<BoolAttr, "false">:$trans_b,
      DefaultValuedAttr<F64Attr, "1.0">:$alpha);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$a `,` $b attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Graph_LinearOp : Graph_Op<"linear", [Pure, AttrSizedOperandSegments]> {
  let summary = "x @ W^T + bias with a weight, then an activation, plus a residual";
  let description = [{
    `weight` must be a graph.load_weight (rank 2). `weight_layout` says how the
    model stores it: "nk" (rows are outputs) or "kn". The packer brings both to
    panels of 64 outputs. `activation`: none relu silu gelu_erf gelu_tanh
    quick_gelu sigmoid tanh. `residual`, of the result's dimensions, is added
    last.
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$weight, Optional<AnyRankedTensor>:$bias,
      Optional<AnyRankedTensor>:$residual,
      StrAttr:$weight_layout, DefaultValuedStrAttr<StrAttr, "none">:$activation);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $weight (`bias` `(` $bias^ `:` type($bias) `)`)? (`residual` `(` $residual^ `:` type($residual) `)`)? attr-dict `:` type($x) `,` type($weight) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_GatedLinearOp : Graph_Op<"gated_linear", [Pure]> {
  let summary = "activation(x @ G^T) * (x @ U^T): the gate of SwiGLU and its like";
  let description = [{
    `gate` and `up` are graph.load_weight of rank 2 with equal numbers of
    outputs, stored as `gate_layout` and `up_layout` say ("nk" or "kn"). The
    packer makes one weight of the two, a panel of each in turn.
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$gate, AnyRankedTensor:$up,
      StrAttr:$gate_layout, StrAttr:$up_layout, StrAttr:$activation);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $gate `,` $up attr-dict `:` type($x) `,` type($gate) `,` type($up) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_SplitLinearOp : Graph_Op<"split_linear", [Pure, AttrSizedOperandSegments]> {
  let summary = "Several products with the same x";
  let description = [{
    `weights` are graph.load_weight of rank 2, stored as `layouts` say ("nk" or
    "kn"), one result each; `biases` are as many graph.load_weight, or none. The
    packer makes one weight of them.
  }];
  let arguments = (ins AnyRankedTensor:$x, Variadic<AnyRankedTensor>:$weights,
      Variadic<AnyRankedTensor>:$biases, StrArrayAttr:$layouts,
      DefaultValuedStrAttr<StrAttr, "none">:$activation);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "$x `,` $weights (`bias` $biases^)? attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Graph_QuantLinearOp : Graph_Op<"quant_linear", [Pure, AttrSizedOperandSegments]> {
  let summary = "x @ dequantize(W)^T + bias with a packed weight";
  let description = [{
    All of codes, scales, zero_points, g_idx are graph.load_weight or constant.
    `format` says how the model stores the codes; the packer brings all to the
    canonical form of KernelId::LinearQuant:
      "nbits"  com.microsoft MatMulNBits: [N, blocks, bs*bits/8] ui8,
               zero points packed to `bits`, default zero 2^(bits-1)
      "qdq_nk" a DequantizeLinear weight [N, K], blocked along K or one scale
               per row (or per tensor), i8 ui8 i4 ui4, default zero 0
      "qdq_kn" the same for [K, N]
      "int8"   made by --quantize int8: `codes` is the *float* weight [N, K] or
               [K, N] (see `float_layout`), rounded by the packer; no scales
    bits 4 or 8; block_size divides or exceeds K (K if one scale per row).
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$codes,
      Optional<AnyRankedTensor>:$scales, Optional<AnyRankedTensor>:$zero_points,
      Optional<AnyRankedTensor>:$g_idx, Optional<AnyRankedTensor>:$bias,
      I64Attr:$n, I64Attr:$k, I64Attr:$bits, I64Attr:$block_size, StrAttr:$format,
      DefaultValuedStrAttr<StrAttr, "nk">:$float_layout,
      DefaultValuedStrAttr<StrAttr, "none">:$activation);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $codes (`scales` `(` $scales^ `:` type($scales) `)`)? (`zero_points` `(` $zero_points^ `:` type($zero_points) `)`)? (`g_idx` `(` $g_idx^ `:` type($g_idx) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `:` type($x) `,` type($codes) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_QuantGatherOp : Graph_Op<"quant_gather", [Pure, AttrSizedOperandSegments]> {
  let summary = "Rows of a packed table (see quant_linear): out [indices.., k]";
  let arguments = (ins AnyRankedTensor:$codes, Optional<AnyRankedTensor>:$scales,
      Optional<AnyRankedTensor>:$zero_points, AnyRankedTensor:$indices,
      I64Attr:$n, I64Attr:$k, I64Attr:$bits, I64Attr:$block_size, StrAttr:$format,
      DefaultValuedStrAttr<StrAttr, "nk">:$float_layout);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$codes `,` $indices (`scales` `(` $scales^ `:` type($scales) `)`)? (`zero_points` `(` $zero_points^ `:` type($zero_points) `)`)? attr-dict `:` type($codes) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_MatMulIntegerOp : Graph_Op<"matmul_integer", [Pure, AttrSizedOperandSegments]> {
  let arguments = (ins AnyRankedTensor:$a, AnyRankedTensor:$b,
      Optional<AnyRankedTensor>:$a_zero_point, Optional<AnyRankedTensor>:$b_zero_point);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$a `,` $b (`a_zero_point` `(` $a_zero_point^ `:` type($a_zero_point) `)`)? (`b_zero_point` `(` $b_zero_point^ `:` type($b_zero_point) `)`)? attr-dict `:` type($a) `,` type($b) `->` type($result)";
}

def Graph_DynamicQuantizeOp : Graph_Op<"dynamic_quantize", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x);
  let results = (outs AnyRankedTensor:$y, AnyRankedTensor:$scale, AnyRankedTensor:$zero_point);
  let assemblyFormat = "$x attr-dict `:` functional-type(operands, results)";
}

def Graph_DequantizeOp : Graph_Op<"dequantize", [Pure]> {
  let summary = "ONNX DequantizeLinear; axis -1000 if per tensor, block_size 0 if not blocked";
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$scale,
      Optional<AnyRankedTensor>:$zero_point, I64Attr:$axis, I64Attr:$block_size);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $scale (`zero_point` `(` $zero_point^ `:` type($zero_point) `)`)? attr-dict `:` type($x) `,` type($scale) `->` type($result)";
}

def Graph_QuantizeOp : Graph_Op<"quantize", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$scale,
      Optional<AnyRankedTensor>:$zero_point, I64Attr:$axis, I64Attr:$block_size);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $scale (`zero_point` `(` $zero_point^ `:` type($zero_point) `)`)? attr-dict `:` type($x) `,` type($scale) `->` type($result)";
}

def Graph_ConvOp : Graph_Op<"conv", [Pure]> {
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$weight, Optional<AnyRankedTensor>:$bias,
      I64Attr:$groups, DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$dilations,
      DenseI64ArrayAttr:$pads_begin, DenseI64ArrayAttr:$pads_end);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $weight (`bias` `(` $bias^ `:` type($bias) `)`)? attr-dict `:` type($x) `,` type($weight) `->` type($result)";
}

def Graph_PoolOp : Graph_Op<"pool", [Pure]> {
  let summary = "The largest value or the mean of each window of [N, C, spatial..]";
  let description = [{
    `kind` "max" or "average". Along spatial axis i the window of result o holds
    positions o * stride - pads_begin + j * dilation, j < kernel; what lies
    outside of x is left out. Result sizes round down, with `ceil_mode` up, but
    no window starts beyond x and pads_begin. The mean is over what was not left
    out; with `count_include_pad` over all within the padding.
        graph.pool "max" %x {kernel = [3, 3], strides = [2, 2], ...}
  }];
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$x, DenseI64ArrayAttr:$kernel,
      DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$dilations,
      DenseI64ArrayAttr:$pads_begin, DenseI64ArrayAttr:$pads_end,
      DefaultValuedAttr<BoolAttr, "false">:$ceil_mode,
      DefaultValuedAttr<BoolAttr, "false">:$count_include_pad);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $x attr-dict `:` type($x) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_LrnOp : Graph_Op<"lrn", [Pure, AllTypesMatch<["x", "result"]>]> {
  let summary = "Local response normalization across channels (axis 1)";
  let description = [{
    x / (bias + alpha / size * sum of squares)^beta, where the sum is over
    channels c - (size - 1) / 2 .. c + size / 2 that exist.
  }];
  let arguments = (ins AnyRankedTensor:$x, I64Attr:$size, F64Attr:$alpha,
      F64Attr:$beta, F64Attr:$bias);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($result)";
  let hasVerifier = 1;
}

//===-- Transformer blocks --------------------------------------------------===//

def Graph_RopeOp : Graph_Op<"rope", [Pure]> {
  let summary = "Rotary embedding, see KernelId::Rope";
  let description = [{
    `layout` "bhsd" or "bshd"; cos and sin are [S, R/2], [B, S, R/2] (or R wide,
    equal halves, then `rotary_dim` = R all the same).
  }];
  let arguments = (ins AnyRankedTensor:$x, AnyRankedTensor:$cos, AnyRankedTensor:$sin,
      StrAttr:$layout, BoolAttr:$interleaved, I64Attr:$rotary_dim);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$x `,` $cos `,` $sin attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

// Keys and values in one state: the attribute of CacheSlices.h. Caches that
// forget: those of CacheLimits.h.
def Graph_AttentionOp : Graph_Op<"attention", [Pure, AttrSizedOperandSegments]> {
  let summary = "softmax(scale * q k^T + bias) v, block-wise, GQA by head index";
  let description = [{
    q is "bhsd" or "bshd" (`q_layout`), k and v are !graph.cache or dense
    [B, Hkv, T, D]. `total` (expr) is T. See KernelId::Attention.
  }];
  let arguments = (ins AnyRankedTensor:$q, Graph_TensorOrCache:$k, Graph_TensorOrCache:$v,
      Optional<AnyRankedTensor>:$bias, Optional<AnyRankedTensor>:$sinks,
      StrAttr:$q_layout, StrAttr:$total, BoolAttr:$causal, I64Attr:$window,
      F64Attr:$scale, DefaultValuedAttr<F64Attr, "0.0">:$softcap);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$q `,` $k `,` $v (`bias` `(` $bias^ `:` type($bias) `)`)? (`sinks` `(` $sinks^ `:` type($sinks) `)`)? attr-dict `:` type($q) `,` type($k) `,` type($v) `->` type($result)";
  let hasVerifier = 1;
}

def Graph_KvAppendOp : Graph_Op<"kv_append", [
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Writes new tokens at `position` (expr) into a state";
  let arguments = (ins FlatSymbolRefAttr:$state, AnyRankedTensor:$value, StrAttr:$position);
  let results = (outs Graph_CacheType:$result);
  let assemblyFormat = "$state `,` $value `at` $position attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def Graph_KvReadOp : Graph_Op<"kv_read", [Pure]> {
  let summary = "Tokens [0, total) of a cache as a dense tensor";
  let arguments = (ins Graph_CacheType:$cache, StrAttr:$total);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$cache $total attr-dict `:` type($result)";
  let hasVerifier = 1;
}

#endif // LLMC_GRAPH_OPS_TD
