//===- GraphOps.h - Operations of the graph dialect ------------*- C++ -*-===//

#ifndef LLMC_DIALECTS_GRAPH_GRAPHOPS_H
#define LLMC_DIALECTS_GRAPH_GRAPHOPS_H

#include "dialects/graph/GraphDialect.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributeInterfaces.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.h.inc"

#endif // LLMC_DIALECTS_GRAPH_GRAPHOPS_H
