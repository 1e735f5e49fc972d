//===- TextTable.cpp - Columns of a report --------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/TextTable.h"

#include <algorithm>

namespace llmc::plan {

TextTable::TextTable(std::vector<std::string> header, std::vector<bool> right)
    : right(std::move(right)) {
  rows.push_back(std::move(header));
}

std::string TextTable::text() const {
  std::vector<size_t> widths(rows[0].size());
  for (const auto &row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string out;
  for (const auto &row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      std::string pad(widths[i] - row[i].size(), ' ');
      line += i == 0 ? " " : "  ";
      line += right[i] ? pad + row[i] : row[i] + pad;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string printable(const std::string &text) {
  std::string out = text;
  for (char &c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      c = '?';
    }
  }
  return out;
}

std::string number(uint64_t value) { return std::to_string(value); }

} // namespace llmc::plan
