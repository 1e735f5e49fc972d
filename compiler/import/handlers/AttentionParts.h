//===- AttentionParts.h - Shared by the attention operators -----*- C++ -*-===//

#ifndef LLMC_COMPILER_IMPORT_HANDLERS_ATTENTIONPARTS_H
#define LLMC_COMPILER_IMPORT_HANDLERS_ATTENTIONPARTS_H

#include "compiler/import/EntryImporter.h"
#include "compiler/import/NodeContext.h"

namespace llmc::import {

/// [B, S, heads * D] -> [B, S, heads, D].
Val splitHeads(NodeContext &n, Val x, int64_t heads);
/// [B, S, H, D] <-> [B, H, S, D].
Val swapHeads(NodeContext &n, Val x);
/// [B, S, H, D] -> [B, S, H * D].
Val joinHeads(NodeContext &n, Val x);

/// The rows of a cos or sin table [max, R/2] at `positions` ([S] or [B, S]):
/// [S, R/2] if they are one run, else [B, S, R/2].
Val tableRows(NodeContext &n, Val table, Val positions);
/// The positions start, start + 1, ... of this call's tokens.
Val positionsFrom(NodeContext &n, DimExpr start, DimExpr seq);

/// A mask as an additive bias of rank 4 and `type`: booleans become 0 and
/// -infinity. Null for a mask that hides nothing, and for null.
Val biasFromMask(NodeContext &n, Val mask, DataType type);
/// A 0/1 mask over keys [B, T] as [B, 1, 1, T] with `hidden` for 0. Null for
/// one that hides nothing.
Val biasFromKeyMask(NodeContext &n, Val mask, DataType type, double hidden);

/// past [.., P, ..] and the new tokens along `axis`; just the new ones if past
/// is null.
Val appended(NodeContext &n, Val past, Val fresh, int64_t axis);

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_HANDLERS_ATTENTIONPARTS_H
