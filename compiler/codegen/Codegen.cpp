//===- Codegen.cpp - Machine code for the launches of a plan --------------===//

#include "compiler/codegen/Codegen.h"

#include "compiler/codegen/EmitRegion.h"
#include "compiler/codegen/Object.h"
#include "compiler/codegen/Region.h"
#include "runtime/plan/Target.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/raw_ostream.h"

#include <map>

namespace llmc::codegen {

namespace {

/// Elements of a task: enough to be worth a hand-over, few enough to share.
constexpr int64_t kGrain = 4096;

/// The functions of a plan, each region once.
class Functions {
public:
  int64_t add(Region region) {
    auto [it, isNew] =
        numbers.try_emplace(region.signature.text, int64_t(regions.size()));
    if (isNew) {
      regions.push_back(std::move(region));
    }
    return it->second;
  }
  static std::string nameOf(size_t index) {
    return "generated_" + std::to_string(index);
  }

  std::vector<Region> regions;

private:
  std::map<std::string, int64_t> numbers;
};

/// Rewrites one entry's launches.
Result<void> rewrite(const plan::Plan &plan, plan::Entry &entry,
                     Functions &functions, Report &report) {
  Result<plan::EntryBounds> bounds = plan::EntryBounds::compute(plan, entry);
  if (!bounds) {
    return bounds.error();
  }
  for (plan::Step &step : entry.steps) {
    if (step.kind != plan::StepKind::Launch ||
        step.kernel != plan::KernelId::Pointwise) {
      continue;
    }
    auto found = regionOf(*bounds, step);
    if (auto *why = std::get_if<std::string>(&found)) {
      report.refused.push_back({entry.name, step.name, *why});
      continue;
    }
    RegionLaunch &launch = std::get<RegionLaunch>(found);
    auto inputs = int64_t(launch.region.signature.numInputs);
    auto outputs = int64_t(launch.region.signature.operands.size()) - inputs;
    int64_t cost = launch.region.cost;
    step.ints = {functions.add(std::move(launch.region)), inputs, outputs,
                 kGrain, cost};
    step.ints.insert(step.ints.end(), launch.masks.begin(), launch.masks.end());
    step.floats.clear();
    step.kernel = plan::KernelId::Generated;
    ++report.launches;
  }
  return {};
}

std::string print(mlir::ModuleOp module, const std::vector<Region> &regions) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (size_t i = 0; i < regions.size(); ++i) {
    stream << "// " << Functions::nameOf(i) << ": " << regions[i].signature.text
           << "\n";
  }
  module.print(stream, mlir::OpPrintingFlags().elideLargeElementsAttrs(kLanes));
  stream << "\n";
  return text;
}

} // namespace

Result<Report> generateKernels(plan::Plan &plan,
                               const std::vector<Processor> &processors,
                               const Observer &observer) {
  Report report;
  for (const Processor &processor : processors) {
    if (processor.level < kLowestLevel) {
      report.refused.push_back(
          {"", "",
           "nothing is generated for " + plan::archName(processor.level) +
               ", only for " + plan::archName(kLowestLevel) + " and above"});
      return report;
    }
  }
  Functions functions;
  for (plan::Entry &entry : plan.entries) {
    if (Result<void> done = rewrite(plan, entry, functions, report); !done) {
      return done.error();
    }
  }
  if (functions.regions.empty()) {
    return report;
  }
  std::unique_ptr<mlir::MLIRContext> context = makeCodeContext();
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(context.get()));
  std::vector<std::string> names;
  for (size_t i = 0; i < functions.regions.size(); ++i) {
    names.push_back(Functions::nameOf(i));
    emitRegion(*module, functions.regions[i], names.back());
    plan.code.functions.push_back(functions.regions[i].signature);
  }
  if (observer) {
    observer("generate-kernels", print(*module, functions.regions));
  }
  if (Result<void> done = lowerToLlvm(*module); !done) {
    return done.error();
  }
  for (const Processor &processor : processors) {
    std::string ir;
    Result<std::vector<uint8_t>> object =
        compileObject(*module, processor, observer ? &ir : nullptr);
    if (!object) {
      return object.error();
    }
    if (observer) {
      observer("generate-kernels-llvm", ir);
    }
    Result<Blob> blob = linkBlob(*object, names);
    if (!blob) {
      return blob.error();
    }
    plan::CodeVariant &variant = plan.code.variants.emplace_back();
    variant.arch = plan::archName(processor.level);
    variant.entries = std::move(blob->entries);
    variant.bytes = std::move(blob->bytes);
    variant.hash = hash128(variant.bytes.data(), variant.bytes.size());
  }
  return report;
}

} // namespace llmc::codegen
