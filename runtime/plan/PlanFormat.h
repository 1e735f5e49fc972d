//===- PlanFormat.h - Page 0 of a plan file --------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Shared by writer and reader only; FORMAT.md describes the bytes.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_PLANFORMAT_H
#define LLMC_RUNTIME_PLAN_PLANFORMAT_H

#include "runtime/support/Hash.h"

#include <cstddef>
#include <cstdint>

namespace llmc::plan {

constexpr uint64_t kPageBytes = 4096;
constexpr char kPlanMagic[8] = {'L', 'L', 'M', 'C', 'P', 'L', 'A', 'N'};
constexpr uint32_t kPlanFormatVersion = 3;
/// Sections start at multiples of this; FlatBuffers needs 8.
constexpr uint64_t kSectionAlignment = 64;

enum PlanSection : uint32_t {
  kTableSection = 0,     // FlatBuffers, see schema.fbs
  kConstantSection = 1,  // contents of Constant buffers, back to back
  kTokenizerSection = 2, // serialized tokenizer, may be empty
  kCodeSection = 3,      // generated kernels, see Code.h; may be empty
  kNumPlanSections = 4,
};

struct SectionRecord {
  uint64_t offset = 0; // from the beginning of the file
  uint64_t size = 0;
};

/// The first bytes of the file, exactly as they lie there (little-endian).
struct PlanPage {
  char magic[8] = {};
  uint32_t version = 0;
  uint32_t pageBytes = 0;
  uint64_t fileBytes = 0;
  uint64_t bodyHash[2] = {}; // of bytes [4096, fileBytes)
  SectionRecord sections[kNumPlanSections];
  char target[16] = {}; // zero-terminated
  char arch[64] = {};   // zero-terminated
  uint8_t reserved[3896] = {};
  uint64_t pageHash[2] = {}; // of all bytes of the page before this field
};
static_assert(sizeof(PlanPage) == kPageBytes);
static_assert(offsetof(PlanPage, bodyHash) == 24);
static_assert(offsetof(PlanPage, sections) == 40);
static_assert(offsetof(PlanPage, target) == 104);
static_assert(offsetof(PlanPage, arch) == 120);
static_assert(offsetof(PlanPage, pageHash) == 4080);

inline Hash128 hashOfPage(const void *page) {
  return hash128(page, kPageBytes - sizeof(PlanPage::pageHash));
}

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_PLANFORMAT_H
