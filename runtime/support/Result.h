//===- Result.h - A value or an error, without exceptions -------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Errors of the runtime travel as values: nothing is thrown across a library's
// border. Result<T> is used like C++23's std::expected<T, Error>:
//
//   Result<Plan> plan = readPlan(path);
//   if (!plan) {
//     return plan.error();            // an Error converts to any Result<U>
//   }
//   plan->steps();
//
// A message is one line that names the file, node or option, what was found
// and what was expected; it carries no trailing full stop or newline.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_SUPPORT_RESULT_H
#define LLMC_RUNTIME_SUPPORT_RESULT_H

#include <cassert>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace llmc {

/// What went wrong, in ranges of a hundred by subsystem. The numbers are part
/// of the C API and are never reused.
enum class ErrorCode : int32_t {
  // 1xx: input files and arguments given by the user.
  FileNotFound = 100,
  FileUnreadable = 101,
  FileUnwritable = 102,
  FileMalformed = 103,
  FileTruncated = 104,
  Unsupported = 105,
  InvalidArgument = 106,
  NoSpace = 107,
  // 2xx: plan and weights files.
  PlanMalformed = 200,
  PlanTruncated = 201,
  PlanChecksum = 202,
  PlanVersion = 203,
  PlanTarget = 204,
  PlanUnsafe = 205,
  WeightsMalformed = 210,
  WeightsTruncated = 211,
  WeightsChecksum = 212,
  WeightsVersion = 213,
  WeightsMismatch = 214,
  // 3xx: execution.
  OutOfMemory = 300,
  OutOfBudget = 301,
  KernelFailed = 302,
  TransferFailed = 303,
  InputMismatch = 304,
  TokenOutOfRange = 305,
  ContextExceeded = 306,
  DeviceUnavailable = 307,
  Cancelled = 308,
  // 4xx: tokenizer.
  TokenizerMalformed = 400,
  TokenizerUnsupported = 401,
  TokenizerTable = 402,
  TokenizerInput = 403,
  // 9xx: a fault of llmc itself.
  Internal = 900,
};

/// A code for programs and a message for people.
struct Error {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
};

/// Either a T or an Error. T must not be a reference or Error itself.
template <class T> class [[nodiscard]] Result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<T, Error>);

public:
  using value_type = T;

  template <class U = T,
            class = std::enable_if_t<
                std::is_constructible_v<T, U &&> &&
                !std::is_same_v<std::remove_cvref_t<U>, Error> &&
                !std::is_same_v<std::remove_cvref_t<U>, Result<T>>>>
  Result(U &&value) : state(std::in_place_index<0>, std::forward<U>(value)) {}
  Result(Error error) : state(std::in_place_index<1>, std::move(error)) {}
  Result(ErrorCode code, std::string message)
      : state(std::in_place_index<1>, Error{code, std::move(message)}) {}

  bool hasValue() const { return state.index() == 0; }
  explicit operator bool() const { return hasValue(); }

  T &value() & {
    assert(hasValue() && "value() of a Result that holds an error");
    return *std::get_if<0>(&state);
  }
  const T &value() const & {
    assert(hasValue() && "value() of a Result that holds an error");
    return *std::get_if<0>(&state);
  }
  T &&value() && {
    assert(hasValue() && "value() of a Result that holds an error");
    return std::move(*std::get_if<0>(&state));
  }
  T &operator*() & { return value(); }
  const T &operator*() const & { return value(); }
  T &&operator*() && { return std::move(*this).value(); }
  T *operator->() { return &value(); }
  const T *operator->() const { return &value(); }

  template <class U> T valueOr(U &&fallback) const & {
    return hasValue() ? value() : static_cast<T>(std::forward<U>(fallback));
  }

  const Error &error() const & {
    assert(!hasValue() && "error() of a Result that holds a value");
    return *std::get_if<1>(&state);
  }
  Error &&error() && {
    assert(!hasValue() && "error() of a Result that holds a value");
    return std::move(*std::get_if<1>(&state));
  }

private:
  std::variant<T, Error> state;
};

/// Success, or an Error. `return {};` means success.
template <> class [[nodiscard]] Result<void> {
public:
  using value_type = void;

  Result() = default;
  Result(Error failure) : failed(true), failure(std::move(failure)) {}
  Result(ErrorCode code, std::string message)
      : failed(true), failure{code, std::move(message)} {}

  bool hasValue() const { return !failed; }
  explicit operator bool() const { return hasValue(); }

  const Error &error() const & {
    assert(failed && "error() of a Result that holds a value");
    return failure;
  }
  Error &&error() && {
    assert(failed && "error() of a Result that holds a value");
    return std::move(failure);
  }

private:
  bool failed = false;
  Error failure;
};

} // namespace llmc

#endif // LLMC_RUNTIME_SUPPORT_RESULT_H
