//===- Processor.cpp - What --arch names ----------------------------------===//

#include "compiler/codegen/Processor.h"

#include "compiler/codegen/TargetSetup.h"
#include "runtime/plan/Target.h"

#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"

#include <memory>

namespace llmc::codegen {

Result<Processor> parseProcessor(const std::string &name) {
  if (name == "native") {
    return Processor{plan::hostTarget().level, {}};
  }
  if (int level = plan::archLevel(name)) {
    return Processor{level, {}};
  }
  Result<const llvm::Target *> target = x86Target();
  if (!target) {
    return target.error();
  }
  std::unique_ptr<llvm::MCSubtargetInfo> known(
      (*target)->createMCSubtargetInfo(llvm::Triple(kTriple), "", ""));
  if (!known || !known->isCPUStringValid(name)) {
    return Error{ErrorCode::InvalidArgument,
                 "--arch: found '" + name +
                     "', expected native, x86-64, x86-64-v2, x86-64-v3, "
                     "x86-64-v4 or a processor's name such as skylake or "
                     "znver4"};
  }
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      (*target)->createMCSubtargetInfo(llvm::Triple(kTriple), name, ""));
  int level = 1;
  for (const char *features :
       {"+sse4.2,+popcnt", "+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe",
        "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"}) {
    if (!info->checkFeatures(features)) {
      break;
    }
    ++level;
  }
  return Processor{level, name};
}

} // namespace llmc::codegen
