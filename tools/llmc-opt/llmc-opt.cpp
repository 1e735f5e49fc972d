//===- llmc-opt.cpp - The pass driver for tests ----------------*- C++ -*-===//

#include "dialects/graph/GraphDialect.h"
#include "dialects/plan/PlanDialect.h"
#include "passes/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "mlir/Transforms/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<mlir::func::FuncDialect, llmc::graph::GraphDialect,
                  llmc::planir::PlanDialect>();
  llmc::registerLlmcPasses();
  llmc::registerPipelines();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "llmc pass driver\n", registry));
}
