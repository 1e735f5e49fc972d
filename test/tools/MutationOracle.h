//===- MutationOracle.h - Whether a plan does harm, by brute force -*- C++
//-*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Judges a plan by running it without numbers: every byte of the arena carries
// the name of the buffer it was last written for. It shares no code with the
// checker and works the other way round: for some concrete values of the
// symbols (the corners of their ranges and the middle) it walks through the
// steps byte by byte, as the poison mode of the executor does, so that what is
// outside a live buffer is lost; and it orders steps of the two streams by the
// transitive closure of program order and events.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_TOOLS_MUTATIONORACLE_H
#define LLMC_TEST_TOOLS_MUTATIONORACLE_H

#include "runtime/plan/Plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::mutation {

struct Verdict {
  bool harmful = false;
  std::string why;   // a few words, the same for all of a sort
  std::string where; // entry, step, symbols
};

/// Judges the entries (indices) of a plan that validate() lets through, and
/// what concerns all of them.
Verdict judge(const plan::Plan &plan, const std::vector<uint32_t> &entries);

} // namespace llmc::mutation

#endif // LLMC_TEST_TOOLS_MUTATIONORACLE_H
