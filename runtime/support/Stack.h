//===- Stack.h - First touch of a thread's stack ---------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_SUPPORT_STACK_H
#define LLMC_RUNTIME_SUPPORT_STACK_H

#include <cstddef>

namespace llmc {

/// Touches the stack below the caller, as deep as kernels go, so that a thread
/// which gets its first task late does not fault then.
[[gnu::noinline]] inline void touchStack() {
  constexpr size_t kDepth = 64 * 1024;
  constexpr size_t kPage = 4096;
  volatile char stack[kDepth];
  for (size_t at = 0; at < kDepth; at += kPage) {
    stack[at] = 0;
  }
}

} // namespace llmc

#endif // LLMC_RUNTIME_SUPPORT_STACK_H
