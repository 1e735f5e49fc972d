//===- KernelId.h - The kernels a plan may launch --------------*- C++ -*-===//
//
// The contract between code generation, checker and kernel libraries: for
// each kernel the operands in order (-> marks what is written), `params`
// (run-time integers, expressions), `ints` (compile-time integers) and
// `floats`. "Opt" operands are absent as stated by an int. Tensors are dense
// row-major unless a packing says otherwise. Broadcast means NumPy rules:
// shapes aligned at the right, missing or 1-sized dimensions repeat.
//
// In place: a kernel may be given a result that is exactly one of its operands,
// the same bytes, the same dimensions (but for leading ones) and the same width
// of element, where it says "in place" below and names that operand. It then
// reads an element for the last time before it writes the same one, whatever
// the threads do, and the result has the bits it would have elsewhere. Several
// operands may be those same bytes where several may be overwritten. A result
// that overlaps any operand otherwise, even in part, is an error.
//
// f16 and bf16 operands are converted to f32 on load and rounded to nearest
// even on store; sums are kept in f32 in a fixed order that depends on neither
// the number of rows nor the number of threads.
//
// Where the CPU multiplies pairs of bf16, a bf16 input meets a bf16 weight in
// such pairs, denormals being zero; each sum is then a chain of pairs.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_KERNELID_H
#define LLMC_RUNTIME_PLAN_KERNELID_H

#include <cstdint>
#include <string_view>

namespace llmc::plan {

/// Values are part of the plan format: append only.
enum class KernelId : uint16_t {
  /// Fused element-wise program. Operands: in0 .. in(n-1), -> out; inputs
  /// broadcast to out. ints: n, numInstructions, then per instruction
  /// (PointwiseOp, dtype class, a, b, c): registers 0..n-1 are the inputs,
  /// each instruction defines the next one, the last is stored. For
  /// PointwiseOp::Const, a indexes `floats` (or is the integer itself for an
  /// integer or bool class). dtype class is the class of the *result*:
  /// 0 f32, 1 f64, 2 i64 (all integers), 3 bool. Casts to narrow integers
  /// wrap at the store; f32 -> i64 truncates toward zero.
  /// In place: any operand of out's dimensions (one that is broadcast has
  /// others).
  Pointwise = 0,
  /// Operands: x [.., K], w [N, K] (Panel64; f32 f16 bf16), opt bias [N],
  /// -> out [.., N]. All leading dimensions of x are rows.
  /// ints: hasBias, Activation, and for a piece of a
  /// larger product first: w and bias are N of its outputs, out has all of them
  /// ([.., total], Access ReadWrite unless N is total) and the launch writes
  /// the
  /// columns [first, first + N).
  Linear = 1,
  /// Quantized weight in canonical form: codes [N, ceil(K/bs)*bs*bits/8] u8
  /// (unsigned, low nibble first), scales [N, ceil(K/bs)] (f32 f16 bf16),
  /// opt zero points [N, ceil(K/bs)] (u8 f32 f16 bf16), opt g_idx [K] i32 (the
  /// block of each
  /// k), opt bias [N]. Operands: x [.., K], codes, scales, zp, gidx, bias,
  /// -> out [.., N]. value = (code - zp) * scale; zp is `ints.zero` if absent.
  /// ints: N, K, bits (4 or 8), bs, hasZp, hasGidx, hasBias, Activation, zero,
  /// and
  /// for a piece first, as in Linear.
  LinearQuant = 2,
  /// Batched product. Operands: a [.., M, K], b [.., K, N] ([.., N, K] if
  /// transB), -> out [.., M, N]; leading dimensions broadcast. f32, f64 or
  /// i32/i64. ints: transA, transB. floats: alpha.
  MatMul = 3,
  /// u8/i8 product with i32 result. Operands: a [.., M, K], b [K, N] or
  /// [.., K, N], opt aZp (scalar), opt bZp (scalar or [N]), -> out i32.
  /// ints: hasAZp, hasBZp.
  MatMulInteger = 4,
  /// Operands: x f32, -> y u8 (shape of x), -> scale f32 [], -> zp u8 [].
  DynamicQuantizeLinear = 5,
  /// Operands: x (i8 u8 i4 u4 i16 i32), scale, opt zp (dtype of x), -> y.
  /// ints: axis (-1000 if per tensor), blockSize (0 if not blocked), hasZp.
  DequantizeLinear = 6,
  /// Operands: x (f32), scale, opt zp, -> y (u8 or i8). ints: as above.
  QuantizeLinear = 7,
  /// Operands: x, -> out (shape of x with reduced axes 1 or absent).
  /// ints: ReduceKind, bit mask of reduced axes.
  Reduce = 8,
  /// Operands: x, -> out i64. ints: axis, isMin, selectLast.
  ArgReduce = 9,
  /// Operands: x, -> out. ints: axis, isLog.
  /// In place: x.
  Softmax = 10,
  /// Operands: x, opt scale, opt bias (shape of the trailing dims),
  /// -> out. ints: number of trailing normalized dims, hasScale, hasBias.
  /// floats: epsilon. In place: x.
  LayerNorm = 11,
  /// Operands: x, opt scale (trailing shape), -> out. ints: number of trailing
  /// dims, hasScale. floats: epsilon. In place: x.
  RmsNorm = 12,
  /// Operands: x, cos, sin, -> out. x is [B, H, S, D] (ints.layout 0) or
  /// [B, S, H, D] (1). cos, sin: [S, R/2], [B, S, R/2] or the same with R,
  /// whose halves then are equal; only the first R/2 values are used, R <= D
  /// leading features rotate, the others are copied. ints: layout,
  /// interleaved, R. In place: x.
  Rope = 13,
  /// Block-wise attention, online softmax in f32. Operands: q, k, v, opt bias
  /// (broadcasts to [B, H, S, T], added after scaling), opt sinks [H], -> out
  /// (as q, last dim that of v). q is [B, H, S, D] (qLayout 0) or [B, S, H, D]
  /// (1); k, v dense [B, Hkv, T, D] or (fromState) State [B, Hkv, capacity, D],
  /// or, if ints n, kSlice, vSlice follow, slices of dim 0 of whole states
  /// [n, B, Hkv, capacity, D]. Row i sees keys j < T with, if causal, j <= i +
  /// T - S, and, if window > 0, j > i + T - S - window; zeros if none. params:
  /// T (tokens in k and v, this call's too). ints: qLayout, fromState, causal,
  /// window (0: none), hasBias, hasSinks, blockTokens, all or none of n,
  /// kSlice, vSlice. floats: scale, softcap (0: none). In place: q.
  ///
  /// A part of it: 13 ints, n (0: not sliced), kSlice, vSlice always there,
  /// then firstToken, isFirst, isLast. k and v then are windows of states,
  /// blocks that hold the tokens [firstToken, firstToken + dimension of the
  /// token axis); both are multiples of 64. What a part leaves to the next one
  /// lies in `carry`, f32 [as the first three of out, last of out + 2]. The
  /// parts of one attention go in ascending order, and together leave the bits
  /// that the whole would. Operands: q, k, v, opt bias, opt sinks, then ->
  /// carry of the first, <-> carry of one between, carry, -> out of the last.
  ///
  /// Limited: 12 ints, n (0: not sliced), kSlice, vSlice always there, then
  /// sinkTokens, sinkBlocks. Every row then also sees keys j < sinkTokens. k
  /// and v are states of sinkBlocks blocks and a ring of the others, see State;
  /// window is positive, and what a row sees lies in them.
  Attention = 14,
  /// Writes new tokens into a state. Operands: new [outer.., S, inner..],
  /// <-> state (block layout). params: position. ints: blockTokens, number of
  /// outer dims, and for a part of it firstToken: state then is a window that
  /// holds tokens [firstToken, firstToken + dimension of its token axis), both
  /// multiples of blockTokens, and only the new tokens that fall there are
  /// written. Into a state with a ring there are four: firstToken is 0, then
  /// sinkBlocks.
  KvAppend = 15,
  /// Copies tokens [0, T) out of a state. Operands: state,
  /// -> out [outer.., T, inner..]. params: T. ints: blockTokens, number of
  /// outer dims.
  KvRead = 16,
  /// Strided copy: transposes, slices, broadcasts, concatenations. Operands:
  /// in, -> out (same dtype). params: elements offsetIn, offsetOut, then
  /// extents[r], stridesIn[r], stridesOut[r]. ints: r. Bytes outside the
  /// extents are left alone (Access ReadWrite when the copy does not
  /// cover `out`).
  StridedCopy = 17,
  /// Operands: -> out. floats or ints: value (by dtype). ints: value.
  Fill = 18,
  /// out = start + step * index along `axis`, repeated along the others.
  /// Operands: -> out (i64 i32 f32). params: start, step. ints: axis.
  Iota = 19,
  /// Operands: data, indices (i64 i32; negative count from the end),
  /// -> out = data.dims[:axis] + indices.dims + data.dims[axis+1:]. A weight
  /// with packing Panel64 [N, K] may be data if axis is 0; out dtype may be
  /// f32 for f16/bf16 data. ints: axis.
  Gather = 20,
  /// Rows of a quantized table, see LinearQuant. Operands: codes, scales, opt
  /// zp, indices, -> out [indices.., K]. ints: N, K, bits, bs, hasZp, zero.
  GatherQuant = 21,
  /// Operands: data, indices, -> out. ints: axis.
  GatherElements = 22,
  /// Operands: data, indices, -> out. ints: batchDims.
  GatherND = 23,
  /// Operands: data, indices, updates, -> out. ints: ScatterKind. In place:
  /// data.
  ScatterND = 24,
  /// Operands: data, indices, updates, -> out. ints: axis, ScatterKind. In
  /// place: data.
  ScatterElements = 25,
  /// Operands: x, -> out. ints: axis, exclusive, reverse. In place: x.
  CumSum = 26,
  /// Operands: x, -> values, -> indices i64. ints: axis, largest, sorted.
  /// params: k.
  TopK = 27,
  /// Operands: x [N, C, ..], w [M, C/g, ..], opt bias [M], -> out.
  /// ints: spatial rank s, groups, hasBias, strides[s], dilations[s],
  /// padsBegin[s], padsEnd[s].
  Conv = 28,
  /// Converts dtype only. Operands: x, -> out. As Pointwise's cast. In place:
  /// x, if out has the same width.
  Cast = 29,
  /// Windows of x [N, C, ..] -> out [N, C, ..]. Along spatial axis i the window
  /// of result o holds o * stride - padBegin + j * dilation, j < kernel; what
  /// lies outside of x is left out. Sizes round down, with ceilMode up unless
  /// the last window would start beyond x and padBegin. Max: any type, that of
  /// x. Average: floats, over what was not left out, with countPads over all
  /// within the padding; zero where that is nothing. ints: PoolKind, spatial
  /// rank s, ceilMode, countPads, kernel[s], strides[s], dilations[s],
  /// padsBegin[s], padsEnd[s].
  Pool = 30,
  /// Operands: x [N, C, ..], -> out = x / (bias + alpha / size * sum of the
  /// squares of channels [c - (size - 1) / 2, c + size / 2])^beta. ints: size.
  /// floats: alpha, beta, bias.
  Lrn = 31,
  /// A function of the plan's generated code (Code.h). Operands: inputs, then
  /// outputs, of the dtypes that the function says; all outputs have the same
  /// dimensions, those of the space it walks. ints: function, inputs,
  /// outputs, grain (elements of a task), cost (nanoseconds per 1024
  /// elements), then for each input a mask: bit d is set if it moves along
  /// dimension d of the space, clear if it repeats there. So input i is read at
  /// the dense tensor of the dimensions whose bit is set, which are all that it
  /// has but for ones. The last dimension, with the ones before it that all
  /// inputs walk likewise (unless the function reduces rows), makes the
  /// function's columns: there input i moves if its step is 1.
  /// In place: the first output over any input of its dimensions.
  Generated = 32,
  /// Linear, and a tensor added to what the activation gives. Operands: x
  /// [.., K], w [N, K] (as in Linear), residual [.., N], opt bias [N], -> out
  /// [.., N]. ints: hasBias, Activation, and for a piece first, as in Linear;
  /// residual then has all columns, as out. In place: residual.
  LinearAdd = 33,
  /// act(x g^T) * (x u^T) in f32: the gate of SwiGLU and its like. Operands: x
  /// [.., K], w [N, 2K] (Panel64; each panel holds K rows of 64 outputs of g,
  /// then K rows of the same outputs of u), -> out [.., N]. ints: Activation
  /// (of g), and for a piece first, as in Linear.
  LinearGated = 34,
  /// Several products with the same x. Operands: x [.., K], w (Panel64; the
  /// outputs of the parts one after the other, each part from a new panel on,
  /// so that its dimension 0 is the sum of the n rounded up to 64), opt bias
  /// (as many elements, those of the parts at the same places), -> one out
  /// [.., Ni] per part. ints: hasBias, Activation, number of parts, then for
  /// each part (eight at most) its n and the first column of its out that they
  /// go to (0 and Ni
  /// unless this is a piece; Access ReadWrite where n is not Ni).
  LinearSplit = 35,
};
constexpr unsigned kNumKernels = 36;

/// Values are part of the plan format: append only.
enum class PointwiseOp : uint16_t {
  Const = 0,
  Cast = 1, // a -> class of the result; to bool: != 0
  // Unary.
  Neg = 10,
  Abs = 11,
  Exp = 12,
  Log = 13,
  Sqrt = 14,
  Rsqrt = 15,
  Reciprocal = 16,
  Sin = 17,
  Cos = 18,
  Tanh = 19,
  Erf = 20,
  Sigmoid = 21,
  Relu = 22,
  Silu = 23,
  GeluErf = 24,
  GeluTanh = 25,
  QuickGelu = 26, // x * sigmoid(1.702 x)
  Floor = 27,
  Ceil = 28,
  Round = 29, // half to even
  Not = 30,
  IsNan = 31,
  IsInf = 32,
  Sign = 33,
  Softplus = 34,
  Tan = 35,
  Square = 36,
  // Binary.
  Add = 50,
  Sub = 51,
  Mul = 52,
  Div = 53, // integers: toward zero (ONNX)
  Pow = 54,
  Min = 55,
  Max = 56,
  Mod = 57,  // sign of the divisor
  FMod = 58, // sign of the dividend
  And = 59,
  Or = 60,
  Xor = 61,
  // Comparisons, result bool.
  Eq = 70,
  Lt = 71,
  Le = 72,
  Gt = 73,
  Ge = 74,
  Ne = 75,
  // Ternary: a ? b : c.
  Select = 90,
};

/// Values are part of the plan format: append only.
enum class Activation : uint8_t {
  None = 0,
  Relu = 1,
  Silu = 2,
  GeluErf = 3,
  GeluTanh = 4,
  QuickGelu = 5,
  Sigmoid = 6,
  Tanh = 7,
};

/// Values are part of the plan format: append only.
enum class ReduceKind : uint8_t {
  Sum = 0,
  Mean = 1,
  Max = 2,
  Min = 3,
  Prod = 4,
  SumSquare = 5,
  L2 = 6,
  L1 = 7,
  LogSumExp = 8,
};

/// Values are part of the plan format: append only.
enum class PoolKind : uint8_t { Max = 0, Average = 1 };

enum class ScatterKind : uint8_t {
  None = 0,
  Add = 1,
  Mul = 2,
  Min = 3,
  Max = 4
};

/// `linear`, `kv_append`, ...: for dumps and profiles.
std::string_view name(KernelId id);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_KERNELID_H
