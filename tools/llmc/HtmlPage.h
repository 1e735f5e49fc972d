//===- HtmlPage.h - Self-contained pages -----------------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_HTMLPAGE_H
#define LLMC_TOOLS_LLMC_HTMLPAGE_H

#include <map>
#include <span>
#include <string>
#include <string_view>

namespace llmc::tools {

struct EmbeddedFile {
  std::string_view name; // without folder
  std::string_view text;
};

/// `text` for element content and attribute values in double quotes.
std::string escapeHtml(std::string_view text);

/// The .html file of `files` with every {{name}} replaced by the field of that
/// name: {{css}} by the .css file, {{script}} by the others one after the
/// other. All other names must be in `fields`.
std::string fillPage(std::span<const EmbeddedFile> files,
                     std::map<std::string_view, std::string> fields);

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_HTMLPAGE_H
