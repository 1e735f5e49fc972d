//===- TextTable.h - Columns of a report -----------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_TEXTTABLE_H
#define LLMC_RUNTIME_PLAN_TEXTTABLE_H

#include <cstdint>
#include <string>
#include <vector>

namespace llmc::plan {

/// Columns as wide as their widest cell, indented by two; `right` aligns
/// numbers. Every row has as many cells as the header.
class TextTable {
public:
  TextTable(std::vector<std::string> header, std::vector<bool> right);
  void add(std::vector<std::string> row) { rows.push_back(std::move(row)); }
  std::string text() const;

private:
  std::vector<bool> right;
  std::vector<std::vector<std::string>> rows;
};

/// Control characters of a hostile name must not reach the terminal.
std::string printable(const std::string &text);

std::string number(uint64_t value);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_TEXTTABLE_H
