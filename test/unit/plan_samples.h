//===- plan_samples.h - Plans for the tests of runtime/plan ----*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_PLAN_SAMPLES_H
#define LLMC_TEST_UNIT_PLAN_SAMPLES_H

#include "runtime/plan/Plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan::test {

/// A model of one layer with a streamed weight and one state:
///
///   ids [1, S] i64 -> Gather(table [10, 4]) -> x [1, S, 4]
///   KvAppend x -> state [1, 8 tokens, 4] at `past`
///   copy w into slot; Linear(x, w [6, 4]) -> y [1, S, 6]
///   Pointwise relu in place -> y
///
/// S = seq in [1, 3], past in [0, 5]. The layout, in bytes of the arena:
///
///   0     table   160  resident
///   192   cache   128  state, 2 blocks of 4 tokens
///   320   half      8  constant
///   384   slot   1024  staging (one panel of 64 outputs, K = 4)
///   1408  ids      24  [0, 1)
///   1472  x        48  [0, 6)
///   1536  y        72  [5, 7), output
///   1608  end; arena 1664
///
/// Steps: 0 gather, 1 append, 2 copy (copy stream), 3 signal 0 (copy stream),
/// 4 wait 0, 5 linear, 6 pointwise.
Plan samplePlan();

/// The sample twice: entries "main" and "again", whose buffers have the same
/// names but for a 2 at the end, and lie at the same addresses.
Plan twoEntries();

/// Two entries with the slot carried. "main" reads it without a copy and fills
/// it again beside its last step; "again" leaves it alone:
///
///   main: 0 gather, 1 append, 2 linear, 3 signal 0, 4 wait 0 (copy stream),
///   5 copy (copy stream), 6 pointwise; slot [0, 3), slot.last [5, 7)
///   again: 0 gather, 1 append, 2 linear, 3 pointwise; slot2 [0, 4)
Plan carriedSlot();

/// The sample with its table below: up to three rows of it are gathered.
///
///   0     rows     48  staging, [3, 7)
///   384   ids32    12  [0, 7), where slot lies later
///   1664  numbers  24  constant 0, 1, 2; arena 1728
///
/// Steps: 0 cast ids to ids32, 1 signal 1, 2 wait 1 (copy stream), 3 copy of
/// the rows (copy stream), 4 signal 2 (copy stream), 5 wait 2, 6 gather, then
/// as in the sample from append on: the other copy is step 8.
Plan rowsPlan();

/// The index of the buffer of that name; the test fails if there is none.
uint32_t bufferNamed(const Plan &plan, const std::string &name);

/// A fresh file name in a fresh folder that is removed at exit.
std::string temporaryPath(const std::string &name);

std::vector<uint8_t> readBytes(const std::string &path);
void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes);

/// Recomputes both checksums of an encoded plan, as an attacker would.
void resealPlan(std::vector<uint8_t> &bytes);

} // namespace llmc::plan::test

#endif // LLMC_TEST_UNIT_PLAN_SAMPLES_H
