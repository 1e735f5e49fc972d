//===- Options.cpp --------------------------------------------------------===//

#include "compiler/Options.h"

#include "passes/memory/HardwareRates.h"
#include "runtime/plan/HardwareProfile.h"
#include "runtime/support/Hash.h"

#include <algorithm>
#include <cstdio>

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
  out += kvResident == kKeepAll
             ? ""
             : " --kv-resident " + (kvResident == kKeepWhatFits
                                        ? std::string("auto")
                                        : std::to_string(kvResident));
  out += kvWindow == 0 ? "" : " --kv-window " + std::to_string(kvWindow);
  out += kvSink == 0 ? "" : " --kv-sink " + std::to_string(kvSink);
  out += allLogits ? " --logits all" : " --logits last";
  out += quantize == Quantize::Int8 ? " --quantize int8" : " --quantize none";
  out += policy == Policy::Naive ? " --policy naive" : " --policy planned";
  out += reorder ? "" : " --order model";
  out += fusion ? "" : " --fusion off";
  out += inPlace ? "" : " --in-place off";
  out += swap ? "" : " --swap off";
  out += codegen ? "" : " --codegen off";
  out += hardwareId.empty() ? "" : " --hardware " + hardwareId;
  return out;
}

Result<void> readHardware(CompileOptions &options) {
  if (options.hardware.empty()) {
    return {};
  }
  Result<plan::HardwareProfile> profile =
      plan::readHardwareProfile(options.hardware);
  if (!profile) {
    return profile.error();
  }
  Result<memory::Rates> rates = memory::ratesOf(*profile, options.target);
  if (!rates) {
    return {rates.error().code,
            options.hardware + ": " + rates.error().message};
  }
  options.rates = *rates;
  // A path says nothing on another machine; the content does.
  Hash128 hash = hash128(profile->json());
  char text[32];
  std::snprintf(text, sizeof(text), "%016llx",
                static_cast<unsigned long long>(hash.low));
  options.hardwareId = "'" + profile->name + "'#" + text;
  return {};
}

} // namespace llmc::compiler
