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

#include "tools/llmc/HtmlPage.h"

namespace llmc::tools {

extern const std::span<const EmbeddedFile> kPageFiles;

} // namespace llmc::tools

#endif // LLMC_TOOLS_LLMC_INSPECT_PAGEFILES_H
