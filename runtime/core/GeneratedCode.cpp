//===- GeneratedCode.cpp - The plan's machine code, executable ------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/GeneratedCode.h"

#include "runtime/plan/Target.h"

#include <cerrno>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

using namespace llmc;
using namespace llmc::plan;

Result<std::unique_ptr<GeneratedCode>>
GeneratedCode::load(const Plan &plan, int level, int preferred) {
  std::unique_ptr<GeneratedCode> code;
  if (plan.code.empty()) {
    return code;
  }
  const CodeVariant *variant = chooseVariant(plan.code, level, preferred);
  if (!variant) {
    std::string needed;
    for (const CodeVariant &each : plan.code.variants) {
      needed += (needed.empty() ? "" : " or ") + each.arch;
    }
    return Error{ErrorCode::PlanTarget,
                 "the plan's generated code needs a CPU of level " + needed +
                     ", this machine is " + archName(level) +
                     "; compile the model again with --arch " +
                     archName(level) + ", or here with --arch native"};
  }
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t size = (variant->bytes.size() + page - 1) / page * page;
  void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{ErrorCode::OutOfMemory, "no memory for " +
                                             std::to_string(size) +
                                             " bytes of generated code"};
  }
  code.reset(new GeneratedCode());
  code->base = static_cast<uint8_t *>(memory);
  code->mapped = size;
  std::memcpy(code->base, variant->bytes.data(), variant->bytes.size());
  // What runs is what was hashed, not what lies in the plan by now.
  Hash128 found = hash128(code->base, variant->bytes.size());
  if (found != variant->hash) {
    return Error{ErrorCode::PlanChecksum,
                 "generated code for " + variant->arch +
                     ": checksum mismatch: found " + found.text() +
                     ", expected " + variant->hash.text()};
  }
  if (mprotect(memory, size, PROT_READ | PROT_EXEC) != 0) {
    return Error{ErrorCode::OutOfMemory,
                 std::string("generated code cannot be made executable: ") +
                     std::strerror(errno)};
  }
  code->entries = variant->entries;
  code->archText = variant->arch;
  return code;
}

GeneratedCode::~GeneratedCode() {
  if (base) {
    munmap(base, mapped);
  }
}
