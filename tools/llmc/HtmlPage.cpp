//===- HtmlPage.cpp - Self-contained pages --------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc/HtmlPage.h"

#include <algorithm>

namespace llmc::tools {

std::string escapeHtml(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '&':
      out += "&amp;";
      break;
    case '<':
      out += "&lt;";
      break;
    case '"':
      out += "&quot;";
      break;
    default:
      out += c;
    }
  }
  return out;
}

std::string fillPage(std::span<const EmbeddedFile> files,
                     std::map<std::string_view, std::string> fields) {
  std::string_view page;
  for (const EmbeddedFile &file : files) {
    if (file.name.ends_with(".html")) {
      page = file.text;
    } else {
      fields[file.name.ends_with(".css") ? "css" : "script"] += file.text;
    }
  }
  // In one pass, so that what is filled in is not looked at again.
  std::string out;
  while (!page.empty()) {
    size_t open = std::min(page.find("{{"), page.size());
    out += page.substr(0, open);
    page.remove_prefix(open);
    size_t close = page.find("}}");
    if (close == std::string_view::npos) {
      return out += page;
    }
    out += fields.at(page.substr(2, close - 2));
    page.remove_prefix(close + 2);
  }
  return out;
}

} // namespace llmc::tools
