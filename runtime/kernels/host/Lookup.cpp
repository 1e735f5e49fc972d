//===- Lookup.cpp - Choosing a kernel and an instruction set --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/kernels/host/Kernels.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace llmc::kernels {

namespace {

enum class Isa : int { V2 = 0, V3 = 1, V4 = 2, V4Bf16 = 3 };
constexpr int kNumIsas = 4;
constexpr const char *kIsaNames[kNumIsas] = {"x86-64-v2", "x86-64-v3",
                                             "x86-64-v4", "x86-64-v4-bf16"};

bool supports(Isa isa) {
  __builtin_cpu_init();
  switch (isa) {
  case Isa::V4Bf16:
    return __builtin_cpu_supports("x86-64-v4") != 0 &&
           __builtin_cpu_supports("avx512bf16") != 0;
  case Isa::V4:
    return __builtin_cpu_supports("x86-64-v4") != 0;
  case Isa::V3:
    return __builtin_cpu_supports("x86-64-v3") != 0;
  case Isa::V2:
    return true;
  }
  return false;
}

/// -1 for a name that is none. "v3" is short for "x86-64-v3".
int parseIsa(const char *text) {
  for (int i = 0; i < kNumIsas; ++i) {
    if (std::strcmp(text, kIsaNames[i]) == 0 ||
        std::strcmp(text, kIsaNames[i] + 7) == 0) {
      return i;
    }
  }
  return -1;
}

Isa detect() {
  Isa best = supports(Isa::V4Bf16) ? Isa::V4Bf16
             : supports(Isa::V4)   ? Isa::V4
             : supports(Isa::V3)   ? Isa::V3
                                   : Isa::V2;
  if (const char *wish = std::getenv("LLMC_ISA")) {
    int isa = parseIsa(wish);
    if (isa >= 0 && isa < static_cast<int>(best)) {
      return static_cast<Isa>(isa);
    }
  }
  return best;
}

std::atomic<int> &current() {
  static std::atomic<int> isa{static_cast<int>(detect())};
  return isa;
}

template <KernelFn kernel> Status guarded(const Launch &launch) {
  return launch.pool ? kernel(launch) : "launch without a thread pool";
}

} // namespace

const char *hostIsa() { return kIsaNames[current().load()]; }

bool setHostIsa(const char *text) {
  int isa = parseIsa(text);
  if (isa < 0 || !supports(static_cast<Isa>(isa))) {
    return false;
  }
  current().store(isa);
  return true;
}

KernelFn lookupHostKernel(plan::KernelId id) {
  auto isa = static_cast<Isa>(current().load());
  switch (id) {
#define LLMC_LOOKUP(name, function)                                            \
  case plan::KernelId::name:                                                   \
    return isa == Isa::V4Bf16 ? guarded<v4_bf16::function>                     \
           : isa == Isa::V4   ? guarded<v4::function>                          \
           : isa == Isa::V3   ? guarded<v3::function>                          \
                              : guarded<v2::function>;
    LLMC_PER_ISA_KERNELS(LLMC_LOOKUP)
#undef LLMC_LOOKUP
#define LLMC_LOOKUP(name, function)                                            \
  case plan::KernelId::name:                                                   \
    return guarded<v2::function>;
    LLMC_COMMON_KERNELS(LLMC_LOOKUP)
#undef LLMC_LOOKUP
  }
  return nullptr;
}

} // namespace llmc::kernels
