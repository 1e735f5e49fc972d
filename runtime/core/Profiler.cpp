//===- Profiler.cpp -------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Profiler.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <tuple>

using namespace llmc;

Profiler::Profiler(const plan::Plan &plan, size_t traceEvents)
    : plan(plan), events(traceEvents) {
  for (const plan::Entry &entry : plan.entries) {
    sums.emplace_back(entry.steps.size());
  }
}

static std::string label(const plan::Step &step) {
  switch (step.kind) {
  case plan::StepKind::Launch:
    return std::string(plan::name(step.kernel));
  case plan::StepKind::Copy:
    return "copy";
  case plan::StepKind::Signal:
    return "signal";
  case plan::StepKind::Wait:
    return "wait";
  case plan::StepKind::Restore:
    return "restore";
  case plan::StepKind::Spill:
    return "spill";
  case plan::StepKind::SwapOut:
    return "swap out";
  case plan::StepKind::SwapIn:
    return "swap in";
  }
  return "?";
}

std::string Profiler::table() const {
  struct Line {
    std::string entry;
    std::string kernel;
    Sum sum;
  };
  std::vector<Line> lines;
  uint64_t total = 0;
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    std::map<std::string, Sum> byKernel;
    for (size_t s = 0; s < sums[e].size(); ++s) {
      if (sums[e][s].calls) {
        Sum &sum = byKernel[label(plan.entries[e].steps[s])];
        sum.nanoseconds += sums[e][s].nanoseconds;
        sum.calls += sums[e][s].calls;
      }
    }
    for (const auto &[kernel, sum] : byKernel) {
      lines.push_back({plan.entries[e].name, kernel, sum});
      total += kernel == "copy" ? 0 : sum.nanoseconds;
    }
  }
  std::sort(lines.begin(), lines.end(), [](const Line &a, const Line &b) {
    return std::tie(b.sum.nanoseconds, a.entry, a.kernel) <
           std::tie(a.sum.nanoseconds, b.entry, b.kernel);
  });
  std::string out =
      "entry      kernel                     calls     total ms   mean us  "
      "share\n";
  for (const Line &line : lines) {
    char text[256];
    const double ns = static_cast<double>(line.sum.nanoseconds);
    std::snprintf(text, sizeof(text),
                  "%-10s %-24s %7llu %12.3f %9.2f %5.1f%%\n",
                  line.entry.c_str(), line.kernel.c_str(),
                  static_cast<unsigned long long>(line.sum.calls), ns / 1e6,
                  ns / 1e3 / static_cast<double>(line.sum.calls),
                  total ? 100.0 * ns / static_cast<double>(total) : 0.0);
    out += text;
  }
  return out;
}

static void appendEscaped(std::string &out, const std::string &text) {
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", c);
      out += code;
    } else {
      out += static_cast<char>(c);
    }
  }
}

Result<void> Profiler::writeTrace(const std::string &path) const {
  std::FILE *file = std::fopen(path.c_str(), "w");
  if (!file) {
    return {ErrorCode::FileUnwritable,
            "cannot write " + path + ": " + std::strerror(errno)};
  }
  const size_t count =
      std::min(used.load(std::memory_order_relaxed), events.size());
  uint64_t origin = UINT64_MAX;
  for (size_t i = 0; i < count; ++i) {
    origin = std::min(origin, events[i].start);
  }
  std::fprintf(file,
               "{\"traceEvents\":[\n"
               "{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"thread_name\","
               "\"args\":{\"name\":\"compute\"}},\n"
               "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\","
               "\"args\":{\"name\":\"copy\"}}");
  for (size_t i = 0; i < count; ++i) {
    const Event &event = events[i];
    const plan::Entry &entry = plan.entries[event.entry];
    const plan::Step &step = entry.steps[event.step];
    std::string name;
    appendEscaped(name, step.name.empty() ? label(step) : step.name);
    std::string scope;
    appendEscaped(scope, entry.name);
    std::fprintf(file,
                 ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,"
                 "\"dur\":%.3f,\"name\":\"%s\",\"cat\":\"%s\",\"args\":{"
                 "\"entry\":\"%s\",\"step\":%u,\"bytes\":%llu}}",
                 step.stream == plan::Stream::Copy ? 1 : 0,
                 static_cast<double>(event.start - origin) / 1e3,
                 static_cast<double>(event.end - event.start) / 1e3,
                 name.c_str(), label(step).c_str(), scope.c_str(), event.step,
                 static_cast<unsigned long long>(step.bytes));
  }
  std::fprintf(file, "\n]}\n");
  const bool failed = std::ferror(file) != 0;
  if (std::fclose(file) != 0 || failed) {
    return {ErrorCode::FileUnwritable, "cannot write " + path};
  }
  return {};
}
