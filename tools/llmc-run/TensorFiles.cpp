//===- TensorFiles.cpp - Tensors by name as .npy files --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/Commands.h"
#include "tools/llmc-run/Npy.h"

#include <filesystem>
#include <system_error>

using namespace llmc;
using namespace llmc::tool;

/// Never a hidden file.
static std::string fileName(const std::string &name) {
  std::string out;
  for (char c : name) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                       c == '-';
    out += plain ? c : '_';
  }
  if (out.empty() || out[0] == '.') {
    out.insert(0, "_");
  }
  return out + ".npy";
}

Result<std::map<std::string, std::string>>
tool::writeTensors(const std::string &dir,
                   std::span<const NamedTensor> tensors) {
  std::error_code code;
  std::filesystem::create_directories(dir, code);
  if (code) {
    return Error{ErrorCode::FileUnwritable,
                 "cannot make the folder " + dir + ": " + code.message()};
  }
  std::map<std::string, std::string> files;
  for (const NamedTensor &tensor : tensors) {
    const std::string file =
        (std::filesystem::path(dir) / fileName(tensor.name)).string();
    for (const auto &[other, used] : files) {
      if (used == file) {
        return Error{ErrorCode::FileUnwritable,
                     "outputs '" + other + "' and '" + tensor.name +
                         "' would both be written to " + file};
      }
    }
    if (Result<void> wrote = npy::write(file, tensor.dtype, tensor.dims,
                                        tensor.data.data(), tensor.data.size());
        !wrote) {
      return wrote.error();
    }
    files[tensor.name] = file;
  }
  return files;
}
