//===- Generate.cpp - Session: tokens in, logits out ----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A prompt of n tokens is cut so that its first piece is the short one: with
// chunks of C tokens it has n - C * floor((n - 1) / C) tokens. Every later
// piece is full, so its past is at most context - C, the bound that the plan
// was proved for.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Float.h"
#include "runtime/core/Session.h"

#include <algorithm>
#include <cstring>

using namespace llmc;
using namespace llmc::plan;

static Error unfit(const Entry &entry, const std::string &what) {
  return {ErrorCode::Unsupported,
          "the plan cannot generate text: entry '" + entry.name + "' " + what};
}

Result<Session::TokenEntry> Session::prepareEntry(uint32_t index) {
  const Entry &entry = thePlan.entries[index];
  TokenEntry e;
  e.entry = index;
  Schedule &schedule = executor->schedule(index);
  std::vector<bool> bound(entry.symbols.size());

  const Port *tokens = nullptr;
  for (const Port &port : entry.inputs) {
    if (port.role != PortRole::Tokens) {
      return unfit(entry, "needs the input '" + port.name + "'; use run");
    }
    tokens = tokens ? tokens : &port;
  }
  const Port *logits = nullptr;
  for (const Port &port : entry.outputs) {
    if (port.role == PortRole::Logits) {
      logits = logits ? logits : &port;
    }
  }
  if (!tokens || !logits) {
    return unfit(entry, !tokens ? "takes no tokens" : "gives no logits");
  }
  if (tokens->dtype != DType::I64 && tokens->dtype != DType::I32) {
    return unfit(entry, "takes tokens as " + std::string(name(tokens->dtype)));
  }
  if (!isFloat(logits->dtype)) {
    return unfit(entry, "gives logits as " + std::string(name(logits->dtype)));
  }
  if (tokens->dims.empty() || logits->dims.size() < 2) {
    return unfit(entry, "has tokens or logits of unexpected rank");
  }

  for (size_t d = 0; d < tokens->dims.size(); ++d) {
    const bool last = d + 1 == tokens->dims.size();
    const uint32_t symbol = symbolOf(entry, tokens->dims[d]);
    int64_t lower = 0;
    int64_t upper = 0;
    if (symbol != kNone) {
      if (entry.symbols[symbol].isPast || bound[symbol]) {
        return unfit(entry, "has tokens of an unexpected shape");
      }
      lower = entry.symbols[symbol].lower;
      upper = entry.symbols[symbol].upper;
      bound[symbol] = true;
    } else if (entry.exprs[tokens->dims[d]].op == ExprOp::Constant) {
      lower = upper = entry.exprs[tokens->dims[d]].value;
    } else {
      return unfit(entry, "has tokens of a computed shape");
    }
    if (last) {
      e.seqSymbol = symbol;
      e.seqLower = std::max<int64_t>(lower, 1);
      e.seqUpper = upper;
    } else {
      // Without anything else to say, as few rows as the plan allows; all rows
      // get the same tokens.
      const int64_t rows = std::max<int64_t>(lower, 1);
      e.batch *= rows;
      if (symbol != kNone) {
        schedule.symbols()[symbol] = rows;
      }
    }
  }
  for (uint32_t i = 0; i < entry.symbols.size(); ++i) {
    const Symbol &symbol = entry.symbols[i];
    if (symbol.isPast) {
      e.pastSymbol = i;
      e.pastUpper = symbol.upper;
    } else if (!bound[i]) {
      if (symbol.lower != symbol.upper) {
        return unfit(entry, "has the free dimension '" + symbol.name + "'");
      }
      schedule.symbols()[i] = symbol.lower;
    }
  }
  e.tokens = bufferAddress(thePlan, tokens->buffer, memory);
  e.tokensType = tokens->dtype;
  e.logits = bufferAddress(thePlan, logits->buffer, memory);
  e.logitsType = logits->dtype;
  e.logitsRows = logits->dims[logits->dims.size() - 2];
  if (!e.tokens || !e.logits) {
    return unfit(entry, "has tokens or logits outside the arena");
  }
  const uint32_t width = logits->dims.back();
  if (entry.exprs[width].op != ExprOp::Constant ||
      (!row.empty() &&
       entry.exprs[width].value != static_cast<int64_t>(row.size()))) {
    return unfit(entry, "gives logits of an unknown width");
  }
  row.resize(static_cast<size_t>(entry.exprs[width].value));
  return e;
}

Result<void> Session::prepareGeneration() {
  whyNoGeneration = {ErrorCode::Unsupported,
                     "the plan cannot generate text: it has no entry 'prefill' "
                     "or 'decode'; use run"};
  Error why = whyNoGeneration;
  for (uint32_t i = 0; i < thePlan.entries.size(); ++i) {
    const std::string &name = thePlan.entries[i].name;
    if (name != "prefill" && name != "decode") {
      continue;
    }
    Result<TokenEntry> entry = prepareEntry(i);
    if (!entry) {
      whyNoGeneration = entry.error();
      continue;
    }
    (name == "prefill" ? prefillEntry : decodeEntry) = *entry;
  }
  return {};
}

Result<void> Session::canGenerate() const {
  if (!prefillEntry.exists() && !decodeEntry.exists()) {
    return whyNoGeneration;
  }
  return {};
}

Result<void> Session::checkTokens(std::span<const int64_t> tokens) const {
  const int64_t vocabulary = tokenLimit();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocabulary) {
      return {ErrorCode::TokenOutOfRange,
              "token " + std::to_string(tokens[i]) + " at position " +
                  std::to_string(pastTokens + static_cast<int64_t>(i)) +
                  " is outside the vocabulary of " +
                  std::to_string(vocabulary)};
    }
  }
  return {};
}

Result<std::span<const float>> Session::step(const TokenEntry &e,
                                             std::span<const int64_t> tokens) {
  Schedule &schedule = executor->schedule(e.entry);
  const auto count = static_cast<int64_t>(tokens.size());
  if (e.seqSymbol != kNone) {
    schedule.symbols()[e.seqSymbol] = count;
  }
  if (e.pastSymbol != kNone) {
    schedule.symbols()[e.pastSymbol] = pastTokens;
  }
  if (Result<void> bound = schedule.bind(); !bound) {
    return bound.error();
  }
  for (int64_t b = 0; b < e.batch; ++b) {
    if (e.tokensType == DType::I64) {
      std::memcpy(e.tokens + b * count * 8, tokens.data(), tokens.size() * 8);
    } else {
      auto *out = reinterpret_cast<int32_t *>(e.tokens) + b * count;
      for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<int32_t>(tokens[static_cast<size_t>(i)]);
      }
    }
  }
  if (Result<void> ran = executor->run(e.entry); !ran) {
    return ran.error();
  }
  pastTokens += count;
  lastEntry = e.entry;
  const int64_t lastRow = schedule.value(e.logitsRows) - 1;
  const uint64_t rowBytes = row.size() * bitWidth(e.logitsType) / 8;
  toFloat(e.logits + static_cast<uint64_t>(lastRow) * rowBytes, e.logitsType,
          row.data(), row.size());
  return std::span<const float>(row);
}

Result<std::span<const float>>
Session::prefill(std::span<const int64_t> tokens) {
  if (Result<void> able = canGenerate(); !able) {
    return able.error();
  }
  if (tokens.empty()) {
    return {ErrorCode::InvalidArgument, "the prompt has no tokens"};
  }
  if (Result<void> good = checkTokens(tokens); !good) {
    return good.error();
  }
  const auto count = static_cast<int64_t>(tokens.size());
  if (count > context() - pastTokens) {
    return {ErrorCode::ContextExceeded,
            "the prompt has " + std::to_string(count) + " tokens" +
                (pastTokens
                     ? " after " + std::to_string(pastTokens) + " already fed"
                     : "") +
                ", the plan's context holds " + std::to_string(context())};
  }
  Result<std::span<const float>> last = std::span<const float>(row);
  size_t done = 0;
  while (done < tokens.size()) {
    if (cancel && cancel->load(std::memory_order_relaxed)) {
      return {ErrorCode::Cancelled, "interrupted"};
    }
    const auto left = static_cast<int64_t>(tokens.size() - done);
    int64_t piece = 0;
    if (prefillEntry.exists()) {
      const int64_t chunk = prefillEntry.seqUpper;
      piece = left - chunk * ((left - 1) / chunk);
      if (pastTokens > prefillEntry.pastUpper ||
          piece < prefillEntry.seqLower) {
        piece = 0;
      }
    }
    // One token goes to the entry that was made for one token.
    const bool single = piece == 0 || (left == 1 && decodeEntry.exists());
    if (single && !decodeEntry.exists()) {
      return {ErrorCode::ContextExceeded,
              "the plan has no entry 'decode', and 'prefill' takes " +
                  std::to_string(prefillEntry.seqLower) + " to " +
                  std::to_string(prefillEntry.seqUpper) +
                  " tokens after at most " +
                  std::to_string(prefillEntry.pastUpper)};
    }
    piece = single ? 1 : piece;
    last = step(single ? decodeEntry : prefillEntry,
                tokens.subspan(done, static_cast<size_t>(piece)));
    if (!last) {
      return last;
    }
    done += static_cast<size_t>(piece);
  }
  return last;
}

Result<std::span<const float>> Session::decode(int64_t token) {
  if (pastTokens >= context() && canGenerate()) {
    return {ErrorCode::ContextExceeded, "the plan's context of " +
                                            std::to_string(context()) +
                                            " tokens is full"};
  }
  return prefill({&token, 1});
}
