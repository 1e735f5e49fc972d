//===- PlanDialect.td - The plan dialect -------------------*- tablegen -*-===//

#ifndef LLMC_PLAN_DIALECT_TD
#define LLMC_PLAN_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

def Plan_Dialect : Dialect {
  let name = "plan";
  let cppNamespace = "::llmc::planir";
  let summary =
      "A linear schedule over placed buffers: launches, copies, waits";
  let description = [{
    One module is one plan. Module-level symbols say what memory there is:
    `plan.segment` (pieces of the weights file), `plan.buffer` (contiguous
    ranges of the arena), `plan.state` (how a state buffer is to be read). Each
    `plan.entry` holds the steps of one entry in the order of the schedule;
    lifetimes are half-open ranges of step numbers, the first step is 0.

    Sizes and offsets are bytes. Dimensions and run-time integers are integers
    or the text of a DimExpr over the entry's symbols.

    The module's attribute `plan.totals` holds the figures of the placement.
  }];
  let useDefaultAttributePrinterParser = 1;
}

class Plan_Op<string mnemonic, list<Trait> traits = []>
    : Op<Plan_Dialect, mnemonic, traits>;

//===-- Enumerations: names and values of runtime/plan/Plan.h
//----------------===//

def Plan_Kind : I32EnumAttr<"Kind", "what a buffer is for",
                            [I32EnumAttrCase<"Weight", 0, "weight">,
                             I32EnumAttrCase<"State", 1, "state">,
                             I32EnumAttrCase<"Constant", 2, "constant">,
                             I32EnumAttrCase<"Input", 3, "input">,
                             I32EnumAttrCase<"Output", 4, "output">,
                             I32EnumAttrCase<"Activation", 5, "activation">,
                             I32EnumAttrCase<"Staging", 6, "staging">,
                             I32EnumAttrCase<"Workspace", 7, "workspace">]> {
  let cppNamespace = "::llmc::planir";
}

def Plan_Tier : I32EnumAttr<"Tier", "where a buffer lies",
                            [I32EnumAttrCase<"Device", 0, "device">,
                             I32EnumAttrCase<"Host", 1, "host">,
                             I32EnumAttrCase<"Disk", 2, "disk">]> {
  let cppNamespace = "::llmc::planir";
}

def Plan_Access : I32EnumAttr<"Access", "what a launch does to an operand",
                              [I32EnumAttrCase<"Read", 0, "read">,
                               I32EnumAttrCase<"Write", 1, "write">,
                               I32EnumAttrCase<"ReadWrite", 2, "update">]> {
  let cppNamespace = "::llmc::planir";
}

def Plan_Stream : I32EnumAttr<"Stream", "the queue a step runs in",
                              [I32EnumAttrCase<"Compute", 0, "compute">,
                               I32EnumAttrCase<"Copy", 1, "copy">]> {
  let cppNamespace = "::llmc::planir";
}

//===-- Attributes
//-----------------------------------------------------------===//

def Plan_ViewAttr : AttrDef<Plan_Dialect, "View"> {
  let mnemonic = "view";
  let summary = "A typed operand of a launch";
  let description = [{
    A dense row-major tensor that starts at byte `offset` of a buffer; with
    packing "panel64" dims are the logical [N, K]. In a launch it is printed as
        read @x : f32[1, "past + seq", 64]
        read @w : f32[64, 64] panel64
        write @y + 256 : i64[1]
  }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$buffer,
      "::llmc::planir::Access":$access, "::mlir::StringAttr":$dtype,
      "::mlir::ArrayAttr":$dims, "bool":$panel64, "int64_t":$offset);
  let hasCustomAssemblyFormat = 1;
}

#endif // LLMC_PLAN_DIALECT_TD
