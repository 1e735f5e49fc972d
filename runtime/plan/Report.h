//===- Report.h - A plan as people and scripts read it ---------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// `llmc inspect` and `llmc compile --json`. All sizes in JSON are bytes; the
// text adds KiB, MiB and GiB.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_REPORT_H
#define LLMC_RUNTIME_PLAN_REPORT_H

#include "runtime/plan/Explain.h"
#include "runtime/plan/Plan.h"

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace llmc::plan {

std::string_view name(BufferKind kind); // "weight", "state", ...
std::string_view name(Tier tier);       // "device", "host", "disk"

/// The fields of `inspect --json`, in the order of the contract (DESIGN
/// section 7). `budget_bytes` is null if unbounded. A buffer that belongs to
/// no entry has a null `entry` and lives in [0, most steps of any entry).
/// `kernels` counts an entry's launches. Beyond the contract:
/// largest_slot_bytes and predicted_tokens_per_second of each entry, and
/// `stays`, the weights that are resident (Explain.h).
nlohmann::ordered_json reportJson(const Plan &plan);
/// The same, serialized with two-space indentation. Names that are not UTF-8
/// get replacement characters. With predictions they are one more field.
std::string reportJsonText(const Plan &plan,
                           const std::vector<Prediction> &predictions = {});

/// Header, device bytes by part, entries, the peak of each (Peak.h), and all
/// buffers by address.
std::string reportText(const Plan &plan);

/// `inspect --csv`: one line per buffer, with the JSON's field names.
std::string reportCsv(const Plan &plan);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_REPORT_H
