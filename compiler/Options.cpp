//===- Options.cpp --------------------------------------------------------===//

#include "compiler/Options.h"

namespace llmc::compiler {

std::string CompileOptions::str() const {
  std::string out = "--vram ";
  switch (budget.kind) {
  case Budget::Kind::Unbounded:
    out += "unbounded";
    break;
  case Budget::Kind::Auto:
  case Budget::Kind::Bytes:
    out += std::to_string(budget.bytes);
    break;
  }
  out += " --target " + target + " --batch " + std::to_string(batch) +
         " --prefill-chunk " + std::to_string(prefillChunk);
  if (context) {
    out += " --ctx " + std::to_string(*context);
  }
  for (const auto &[name, bounds] : dims) {
    out += " --dim " + name + "=" + std::to_string(bounds.lower);
    if (bounds.upper != bounds.lower) {
      out += ".." + std::to_string(bounds.upper);
    }
  }
  out += kvType == "auto" ? "" : " --kv-type " + kvType;
  out += allLogits ? " --logits all" : " --logits last";
  out += quantize == Quantize::Int8 ? " --quantize int8" : " --quantize none";
  out += policy == Policy::Naive ? " --policy naive" : " --policy planned";
  out += reorder ? "" : " --order model";
  out += inPlace ? "" : " --in-place off";
  return out;
}

} // namespace llmc::compiler
