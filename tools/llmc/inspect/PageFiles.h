//===- PageFiles.h - The page's files inside the program -------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// page.html, page.css and the scripts of this folder, embedded by
// cmake/EmbedFiles.cmake when the program is built.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TOOLS_LLMC_INSPECT_PAGEFILES_H
#define LLMC_TOOLS_LLMC_INSPECT_PAGEFILES_H

#include <span>
#include <string_view>

namespace llmc::tools {

struct EmbeddedFile {
  std::string_view name; // without folder
  std::string_view text;
};

/// In the order in which the scripts must run.
extern const std::span<const EmbeddedFile> kPageFiles;

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_INSPECT_PAGEFILES_H
