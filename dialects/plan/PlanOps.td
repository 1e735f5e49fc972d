//===- PlanOps.td - Operations of the plan dialect ---------*- tablegen -*-===//

#ifndef LLMC_PLAN_OPS_TD
#define LLMC_PLAN_OPS_TD

include "dialects/plan/PlanDialect.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"

//===-- Module level: what memory there is -----------------------------------===//

def Plan_SegmentOp : Plan_Op<"segment", [Symbol]> {
  let summary = "A piece of the weights file, packed for its kernels";
  let description = [{
    `sources` are graph.weight symbols; `value` is there instead when the bytes
    come from a constant of the model. `packing` says how the packer makes
    `size` bytes of them:

        {kind = "raw"}                                   as in the model
        {kind = "panel64", layout = "nk"|"kn", n, k, dtype}
        {kind = "panel64_joined"|"panel64_interleaved", dtype,
         parts = [{layout, n, k}, ...]}   one per source: their panels one part
                                          after the other, or in turn
            [ceil(n/64)][k][64] elements of dtype, zero padded; layout is that
            of the source: [n, k] or [k, n]
        {kind = "rows", layout = "kn", n, k, dtype}      [n, k] of [k, n]
        {kind = "q_codes", format, n, k, bits, block_size, layout, dtype}
            [n, ceil(k/bs)*bs*bits/8] unsigned codes, low nibble first; signed
            ones are shifted by 2^(bits-1); dtype is that of the source
        {kind = "q_scales", format, n, k, bits, block_size, layout, dtype}
            [n, ceil(k/bs)] of dtype
        {kind = "q_zero", format, n, k, bits, block_size, layout, dtype}
            [n, ceil(k/bs)] u8, shifted as the codes
        {kind = "q_gidx", format, n, k, dtype}            [k] i32

    `format` is that of graph.quant_linear. For "int8" the source of both
    codes and scales is the float weight, `dtype` its element type, and the
    scales are f32.

    `by_rows` names a second segment with the same weight row after row: the
    table of tied embeddings, whose rows do not lie together in panels.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$size,
      DictionaryAttr:$packing, OptionalAttr<SymbolRefArrayAttr>:$sources,
      OptionalAttr<ElementsAttr>:$value,
      OptionalAttr<FlatSymbolRefAttr>:$by_rows);
  let assemblyFormat = [{
    $sym_name `size` $size $packing (`from` $sources^)? (`value` $value^)?
    (`by_rows` $by_rows^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Plan_BufferOp : Plan_Op<"buffer", [Symbol]> {
  let summary = "A contiguous range of a tier, live in [start, end)";
  let description = [{
    Buffers without an entry (weight, state, constant) are live throughout;
    `live` is there after plan-liveness, `at` after plan-assign-addresses.

        plan.buffer @decode.x activation device size 256 at 4096 live [2, 5) in @decode
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Plan_Kind:$kind,
      Plan_Tier:$tier, I64Attr:$size, OptionalAttr<I64Attr>:$offset,
      OptionalAttr<I64Attr>:$start, OptionalAttr<I64Attr>:$end,
      OptionalAttr<FlatSymbolRefAttr>:$entry,
      OptionalAttr<FlatSymbolRefAttr>:$segment,
      OptionalAttr<ElementsAttr>:$data);
  let assemblyFormat = [{
    $sym_name $kind $tier `size` $size (`at` $offset^)?
    (`live` ` ` `[` $start^ `,` $end `)`)? (`in` $entry^)? (`from` $segment^)?
    (`data` $data^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Plan_StateOp : Plan_Op<"state", [Symbol]> {
  let summary = "How a state buffer is read: see plan::State";
  let description = [{
        plan.state @past.0.key buffer @state.past.0.key f32[1, 4 | 512 by 16 | 8] output "present.0.key"
    outer dims | capacity in tokens, by tokens per block | inner dims. Of a
    spilled state `buffer` holds the first `resident` blocks and the buffer
    `spill`, of the disk tier, the others. With a ring, `buffer` holds as many
    blocks as it says: those before the ring, and those of the ring.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, FlatSymbolRefAttr:$buffer,
      StrAttr:$dtype, DenseI64ArrayAttr:$outer, I64Attr:$capacity,
      I64Attr:$block_tokens, DenseI64ArrayAttr:$inner, StrAttr:$input_name,
      StrAttr:$output_name, OptionalAttr<FlatSymbolRefAttr>:$spill,
      OptionalAttr<I64Attr>:$resident_blocks,
      OptionalAttr<DenseI64ArrayAttr>:$ring);
  let assemblyFormat = [{
    $sym_name `buffer` $buffer $dtype `outer` $outer `capacity` $capacity
    `by` $block_tokens `inner` $inner `input` $input_name `output` $output_name
    (`resident` $resident_blocks^)? (`spill` $spill^)? (`ring` $ring^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Plan_CarriedOp : Plan_Op<"carried", [Symbol]> {
  let summary = "A slot that holds the same bytes at both ends of every entry";
  let description = [{
    See plan::CarriedSlot; `at` is there after plan-assign-addresses.

        plan.carried @carried.0 8388608 from @segment.layers.0.up + 0 at 4096
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$bytes,
      FlatSymbolRefAttr:$segment, I64Attr:$source_offset,
      OptionalAttr<I64Attr>:$offset);
  let assemblyFormat = [{
    $sym_name $bytes `from` $segment `+` $source_offset (`at` $offset^)? attr-dict
  }];
  let hasVerifier = 1;
}

def Plan_CarryOp : Plan_Op<"carry"> {
  let summary = "The staging buffers of an entry in a carried slot's place";
  let description = [{
    `first` holds it from step 0 on and is not written; `last` holds it in the
    end, and is `first` itself or filled by one copy. There is one for each slot
    and entry.

        plan.carry @carried.0 in @decode first @decode.stream.up last @decode.stream.up.1
  }];
  let arguments = (ins FlatSymbolRefAttr:$slot, FlatSymbolRefAttr:$entry,
      FlatSymbolRefAttr:$first, FlatSymbolRefAttr:$last);
  let assemblyFormat = [{
    $slot `in` $entry `first` $first `last` $last attr-dict
  }];
}

//===-- Entries and their steps ----------------------------------------------===//

def Plan_EntryOp : Plan_Op<"entry", [Symbol, NoTerminator, NoRegionArguments]> {
  let summary = "The schedule of one entry";
  let description = [{
    `symbols` = {seq = [1, 128], ...} bounds; `past` names the symbol that the
    executor sets to the number of tokens in the state. `inputs` and `outputs`
    are dictionaries {name, role, dtype, buffer, dims} (role "state": {name,
    role, dtype, state}); `derived` = {attention_mask = "ones"}.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DictionaryAttr:$symbols,
      OptionalAttr<StrAttr>:$past, OptionalAttr<StrAttr>:$new_tokens,
      ArrayAttr:$inputs, ArrayAttr:$outputs, DictionaryAttr:$derived);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `symbols` $symbols (`past` $past^)? (`new_tokens` $new_tokens^)?
    `inputs` $inputs `outputs` $outputs `derived` $derived attr-dict-with-keyword custom<Steps>($body)
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
}

class Plan_StepOp<string mnemonic, list<Trait> traits = []>
    : Plan_Op<mnemonic, traits # [HasParent<"EntryOp">]>;

def Plan_LaunchOp : Plan_StepOp<"launch"> {
  let summary = "Runs a kernel on the compute stream";
  let description = [{
    `kernel` is a name of runtime/plan/KernelId.h, which lists the operands,
    params (run-time integers), ints and floats of each.

        plan.launch "linear"(read @x : f32[1, 64], read @w : f32[64, 64] panel64,
            write @y : f32[1, 64]) ints [0, 0] name "layers.0.wq"
  }];
  let arguments = (ins StrAttr:$kernel, ArrayAttr:$views,
      OptionalAttr<ArrayAttr>:$params, OptionalAttr<DenseI64ArrayAttr>:$ints,
      OptionalAttr<DenseF64ArrayAttr>:$floats, StrAttr:$name);
  let assemblyFormat = [{
    $kernel `(` custom<Views>($views) `)` (`params` $params^)?
    (`ints` $ints^)? (`floats` custom<Floats>($floats)^)? `name` $name attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    auto operandViews() { return getViews().getAsRange<ViewAttr>(); }
  }];
}

def Plan_CopyOp : Plan_StepOp<"copy"> {
  let summary = "Reads `bytes` of a segment into a buffer, on the copy stream";
  let description = [{
    With `indices` (a view) it gathers: `rows` rows of `row_bytes` bytes lie in
    the segment from `source_offset` on, and those that the indices name are
    written one after the other, zeros behind them. `bytes` is the bound of
    their number times row_bytes.

        plan.copy 512 from @segment.w + 1024 to @decode.stream.w + 0
        plan.copy 256 from @segment.table + 0 to @decode.stream.table + 0
            rows 32000 of 256 at #plan.view<read @decode.ids : i64[1, 1]>
  }];
  let arguments = (ins FlatSymbolRefAttr:$segment, I64Attr:$source_offset,
      FlatSymbolRefAttr:$buffer, I64Attr:$target_offset, I64Attr:$bytes,
      OptionalAttr<I64Attr>:$rows, OptionalAttr<I64Attr>:$row_bytes,
      OptionalAttr<Plan_ViewAttr>:$indices);
  let assemblyFormat = [{
    $bytes `from` $segment `+` $source_offset `to` $buffer `+` $target_offset
    (`rows` $rows^ `of` $row_bytes `at` qualified($indices))? attr-dict
  }];
  let builders = [OpBuilder<(ins "mlir::FlatSymbolRefAttr":$segment,
      "mlir::IntegerAttr":$source_offset, "mlir::FlatSymbolRefAttr":$buffer,
      "mlir::IntegerAttr":$target_offset, "mlir::IntegerAttr":$bytes), [{
    build($_builder, $_state, segment, source_offset, buffer, target_offset,
          bytes, {}, {}, {});
  }]>];
  let hasVerifier = 1;
}

def Plan_RestoreOp : Plan_StepOp<"restore"> {
  let summary = "Blocks of a spilled state into a slot, on the copy stream";
  let description = [{
    Those of the blocks from `first_block` on, as many as `bytes` has room for,
    that hold tokens below `past`.

        plan.restore 131072 of @kv.past.0.key + 4 to @decode.below.0
  }];
  let arguments = (ins I64Attr:$bytes, FlatSymbolRefAttr:$state,
      I64Attr:$first_block, FlatSymbolRefAttr:$buffer);
  let assemblyFormat = [{
    $bytes `of` $state `+` $first_block `to` $buffer attr-dict
  }];
}

def Plan_SpillOp : Plan_StepOp<"spill"> {
  let summary = "Out of a slot what was appended, on the compute stream";
  let description = [{
    Those of its blocks that hold any of the tokens that the entry adds.

        plan.spill 131072 of @kv.past.0.key + 4 from @decode.below.0
  }];
  let arguments = (ins I64Attr:$bytes, FlatSymbolRefAttr:$state,
      I64Attr:$first_block, FlatSymbolRefAttr:$buffer);
  let assemblyFormat = [{
    $bytes `of` $state `+` $first_block `from` $buffer attr-dict
  }];
}

def Plan_SwapOutOp : Plan_StepOp<"swap_out"> {
  let summary = "Bytes of a buffer to the disk tier, on the compute stream";
  let description = [{
        plan.swap_out 65536 of @main.x + 0 to @main.x.below
  }];
  let arguments = (ins I64Attr:$bytes, FlatSymbolRefAttr:$buffer,
      I64Attr:$target_offset, FlatSymbolRefAttr:$below);
  let assemblyFormat = [{
    $bytes `of` $buffer `+` $target_offset `to` $below attr-dict
  }];
}

def Plan_SwapInOp : Plan_StepOp<"swap_in"> {
  let summary = "And back, to the same place of another buffer, on the copy stream";
  let description = [{
        plan.swap_in 65536 of @main.x.back + 0 from @main.x.below
  }];
  let arguments = (ins I64Attr:$bytes, FlatSymbolRefAttr:$buffer,
      I64Attr:$target_offset, FlatSymbolRefAttr:$below);
  let assemblyFormat = [{
    $bytes `of` $buffer `+` $target_offset `from` $below attr-dict
  }];
}

def Plan_SignalOp : Plan_StepOp<"signal"> {
  let summary = "The event happens when all earlier steps of the stream are done";
  let arguments = (ins I64Attr:$event, Plan_Stream:$stream);
  let assemblyFormat = "$event `on` $stream attr-dict";
}

def Plan_WaitOp : Plan_StepOp<"wait"> {
  let summary = "Later steps of the stream start after the event";
  let arguments = (ins I64Attr:$event, Plan_Stream:$stream);
  let assemblyFormat = "$event `on` $stream attr-dict";
}

#endif // LLMC_PLAN_OPS_TD
