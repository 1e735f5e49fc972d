//===- GenerateCommand.cpp - llmc generate: write text --------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Sampler.h"
#include "runtime/tokenizer/Tokenizer.h"
#include "tools/llmc-run/Commands.h"
#include "tools/llmc-run/Npy.h"
#include "tools/llmc-run/TextStream.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <unistd.h>

using namespace llmc;
using namespace llmc::tool;

namespace {

struct GenerateOptions {
  PlanOptions plan;
  std::string prompt;
  std::vector<int64_t> tokens;
  int64_t count = 128;
  std::vector<std::string> stops;
  std::vector<int64_t> force;
  std::string logitsOut;
  std::string stateOut;
  SamplerOptions sampler;
  bool poison = false;
  bool profile = false;
  std::string trace;
  CLI::Option *promptOption = nullptr;
  CLI::Option *tokensOption = nullptr;
  CLI::Option *forceOption = nullptr;
  CLI::Option *countOption = nullptr;
};

struct Outcome {
  std::vector<int64_t> prompt;
  std::vector<int64_t> tokens; // new, the end token included
  std::vector<int64_t> chosen; // --force: what would have been chosen
  const char *stopReason = "length";
  double prefillSeconds = 0;
  double decodeSeconds = 0;
  int64_t decodeSteps = 0;
};

double since(uint64_t begin) {
  return static_cast<double>(nowNanoseconds() - begin) / 1e9;
}

} // namespace

static Result<std::vector<int64_t>>
promptTokens(const GenerateOptions &options, const plan::Plan &plan,
             const tokenizer::Tokenizer *tokenizer) {
  if (options.tokensOption->count()) {
    return options.tokens;
  }
  if (!tokenizer) {
    return {ErrorCode::TokenizerInput,
            "the plan has no tokenizer: give --tokens, or compile the model "
            "with --tokenizer FILE"};
  }
  const std::vector<int32_t> ids = tokenizer->encode(options.prompt, true);
  std::vector<int64_t> tokens(ids.begin(), ids.end());
  // An empty prompt still needs something to start from.
  if (tokens.empty() && plan.bosToken >= 0) {
    tokens.push_back(plan.bosToken);
  }
  return tokens;
}

/// The loop itself: prefill, then one decode per token. Row i of the logits is
/// the one that token i is chosen from. With --force the row after the last
/// forced token is kept too, unless -n asks for fewer.
static Result<Outcome> generate(const GenerateOptions &options,
                                Session &session, std::vector<int64_t> prompt,
                                const std::vector<int64_t> &endTokens,
                                TextStream &text, npy::RowWriter &rows) {
  const bool forced = options.forceOption->count() != 0;
  int64_t tokensWanted = options.count;
  int64_t rowsWanted = options.count;
  if (forced) {
    const auto given = static_cast<int64_t>(options.force.size());
    const bool bounded = options.countOption->count() != 0;
    tokensWanted = bounded ? std::min(given, options.count) : given;
    rowsWanted = bounded ? std::min(given + 1, options.count) : given + 1;
  }
  Outcome outcome;
  outcome.prompt = std::move(prompt);
  // Room for everything now: nothing is allocated while tokens come.
  const auto most =
      static_cast<size_t>(std::min(tokensWanted, session.context()) + 2);
  outcome.tokens.reserve(most);
  outcome.chosen.reserve(most);
  Sampler sampler(options.sampler, session.vocabulary());
  if (forced && static_cast<int64_t>(outcome.prompt.size()) + rowsWanted - 1 >
                    session.context()) {
    return Error{ErrorCode::ContextExceeded,
                 "--force feeds " + std::to_string(rowsWanted - 1) +
                     " tokens after a prompt of " +
                     std::to_string(outcome.prompt.size()) +
                     ", the plan's context holds " +
                     std::to_string(session.context())};
  }

  uint64_t begin = nowNanoseconds();
  Result<std::span<const float>> row = session.prefill(outcome.prompt);
  outcome.prefillSeconds = since(begin);
  begin = nowNanoseconds();
  outcome.stopReason = forced ? "forced" : "length";
  for (int64_t i = 0;; ++i) {
    if (!row && row.error().code == ErrorCode::Cancelled) {
      outcome.stopReason = "interrupted";
      break;
    }
    if (!row) {
      return row.error();
    }
    if (rows.isOpen()) {
      if (Result<void> wrote = rows.append(*row); !wrote) {
        return wrote.error();
      }
    }
    if (forced) {
      outcome.chosen.push_back(argmax(*row));
    }
    if (i >= tokensWanted) {
      break;
    }
    if (interrupted.load(std::memory_order_relaxed)) {
      outcome.stopReason = "interrupted";
      break;
    }
    const int64_t token =
        forced ? options.force[static_cast<size_t>(i)] : sampler.choose(*row);
    outcome.tokens.push_back(token);
    if (!forced && std::find(endTokens.begin(), endTokens.end(), token) !=
                       endTokens.end()) {
      outcome.stopReason = "eos";
      break;
    }
    if (text.push(token) && !forced) {
      outcome.stopReason = "stop";
      break;
    }
    if (i + 1 >= rowsWanted) {
      break;
    }
    if (session.past() >= session.context()) {
      outcome.stopReason = "context";
      break;
    }
    row = session.decode(token);
    ++outcome.decodeSteps;
  }
  outcome.decodeSeconds = since(begin);
  text.finish();
  return outcome;
}

static int run(const GenerateOptions &options) {
  if (!options.promptOption->count() && !options.tokensOption->count()) {
    std::fprintf(stderr,
                 "llmc: error: generate wants --prompt TEXT or --tokens "
                 "1,2,3\n");
    return kUsage;
  }
  SessionOptions sessionOptions = options.plan.session();
  sessionOptions.poison = options.poison;
  sessionOptions.profile = options.profile || !options.trace.empty();
  sessionOptions.traceEvents = options.trace.empty() ? 0 : 1 << 20;
  auto loaded = Session::load(options.plan.plan, sessionOptions);
  if (!loaded) {
    return fail(loaded.error());
  }
  Session &session = **loaded;
  if (Result<void> able = session.canGenerate(); !able) {
    return fail(able.error());
  }
  const plan::Plan &plan = session.plan();
  std::optional<tokenizer::Tokenizer> tokenizer;
  if (!plan.tokenizer.empty()) {
    auto decoded = tokenizer::Tokenizer::deserialize(plan.tokenizer);
    if (!decoded) {
      return fail(decoded.error());
    }
    tokenizer = std::move(*decoded);
  }
  Result<std::vector<int64_t>> prompt =
      promptTokens(options, plan, tokenizer ? &*tokenizer : nullptr);
  if (!prompt) {
    return fail(prompt.error());
  }
  for (int64_t token : options.force) {
    if (token < 0 || token >= session.tokenLimit()) {
      return fail({ErrorCode::TokenOutOfRange,
                   "--force: token " + std::to_string(token) +
                       " is outside the vocabulary of " +
                       std::to_string(session.tokenLimit())});
    }
  }
  std::vector<int64_t> endTokens = plan.eosTokens;
  if (endTokens.empty() && tokenizer) {
    endTokens.assign(tokenizer->eosIds().begin(), tokenizer->eosIds().end());
  }
  npy::RowWriter rows;
  if (!options.logitsOut.empty()) {
    if (Result<void> opened =
            rows.open(options.logitsOut, session.vocabulary());
        !opened) {
      return fail(opened.error());
    }
  }
  watchInterrupts();
  session.setCancelFlag(&interrupted);
  TextStream text(tokenizer ? &*tokenizer : nullptr, options.stops,
                  options.plan.json ? nullptr : stdout, options.count);
  Result<Outcome> outcome =
      generate(options, session, std::move(*prompt), endTokens, text, rows);
  if (!outcome) {
    text.endLine();
    return fail(outcome.error());
  }
  text.endLine();
  if (rows.isOpen()) {
    if (Result<void> wrote = rows.finish(); !wrote) {
      return fail(wrote.error());
    }
  }
  if (!options.stateOut.empty()) {
    Result<std::vector<NamedTensor>> states = session.states();
    if (!states) {
      return fail(states.error());
    }
    if (auto wrote = writeTensors(options.stateOut, *states); !wrote) {
      return fail(wrote.error());
    }
  }
  if (options.plan.json) {
    nlohmann::ordered_json json;
    json["prompt_tokens"] = outcome->prompt;
    json["tokens"] = outcome->tokens;
    if (options.forceOption->count()) {
      json["chosen_tokens"] = outcome->chosen;
    }
    json["text"] = text.text();
    json["stop_reason"] = outcome->stopReason;
    json["prefill_seconds"] = outcome->prefillSeconds;
    json["decode_seconds"] = outcome->decodeSeconds;
    std::cout << json.dump(2, ' ', false,
                           nlohmann::json::error_handler_t::replace)
              << std::endl;
  }
  if (isatty(STDERR_FILENO) || interrupted.load()) {
    const auto rate = [](double count, double seconds) {
      return seconds > 0 ? count / seconds : 0.0;
    };
    std::fprintf(
        stderr,
        "prompt: %zu tokens in %.3f s (%.1f/s); new: %zu tokens in %.3f s "
        "(%.1f/s); stopped by: %s\n",
        outcome->prompt.size(), outcome->prefillSeconds,
        rate(static_cast<double>(outcome->prompt.size()),
             outcome->prefillSeconds),
        outcome->tokens.size(), outcome->decodeSeconds,
        rate(static_cast<double>(outcome->decodeSteps), outcome->decodeSeconds),
        outcome->stopReason);
  }
  if (Result<void> wrote =
          reportProfile(session, options.profile, options.trace);
      !wrote) {
    return fail(wrote.error());
  }
  return kDone;
}

void tool::addGenerateOptions(CLI::App &app,
                              std::optional<EmbeddedPlan> embedded, Job &job) {
  auto options = std::make_shared<GenerateOptions>();
  options->plan.embedded = embedded;
  options->plan.add(app);
  options->promptOption =
      app.add_option("--prompt", options->prompt, "The text to continue");
  options->tokensOption =
      app.add_option("--tokens", options->tokens,
                     "The token ids to continue, taken as they are")
          ->delimiter(',')
          ->allow_extra_args(false)
          ->excludes(options->promptOption);
  options->countOption =
      app.add_option("-n", options->count, "New tokens at most (default 128)")
          ->check(CLI::NonNegativeNumber);
  app.add_option("--stop", options->stops,
                 "End before this text; may be given several times")
      ->allow_extra_args(false);
  options->forceOption =
      app.add_option("--force", options->force,
                     "Feed these token ids in place of chosen ones")
          ->delimiter(',')
          ->allow_extra_args(false);
  app.add_option("--logits-out", options->logitsOut,
                 "Write one f32 row of logits per step to this .npy");
  app.add_option("--state-out", options->stateOut,
                 "Write the final state as this folder's .npy files, named as "
                 "the model's outputs");
  app.add_option("--temperature", options->sampler.temperature,
                 "Sample at this temperature (default 0: greedy)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--top-k", options->sampler.topK,
                 "Sample from the K likeliest tokens (0: all)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--top-p", options->sampler.topP,
                 "Sample from the likeliest tokens that hold probability P")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--seed", options->sampler.seed,
                 "Seed of the sampler (default 0)");
  app.add_flag("--poison", options->poison,
               "Fill memory outside live buffers with NaNs at each step");
  app.add_flag("--profile", options->profile, "Print time per kernel");
  app.add_option("--trace", options->trace,
                 "Write a trace for chrome://tracing or Perfetto");
  // A subcommand's job, if there is one, is set before that of the program.
  app.callback([options, &job] {
    if (!job) {
      job = [options] { return run(*options); };
    }
  });
}

void tool::addGenerate(CLI::App &app, std::optional<EmbeddedPlan> embedded,
                       Job &job) {
  addGenerateOptions(
      *app.add_subcommand("generate", "Continue a prompt with a plan"),
      embedded, job);
}
