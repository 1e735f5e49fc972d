//===- BenchCommand.cpp - llmc bench: speed and memory of a plan ----------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Machine.h"
#include "runtime/core/Sampler.h"
#include "tools/llmc-run/Commands.h"
#include "tools/llmc-run/LinkProbe.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>

using namespace llmc;
using namespace llmc::tool;

namespace {
struct BenchOptions {
  PlanOptions plan;
  int64_t prompt = 512;
  int64_t generate = 128;
  bool profile = false;
  CLI::Option *promptOption = nullptr;
  CLI::Option *generateOption = nullptr;
};
} // namespace

static uint64_t highWater(const plan::Plan &plan) {
  uint64_t high = 0;
  for (const plan::Buffer &buffer : plan.buffers) {
    if (buffer.tier == plan::Tier::Device) {
      high = std::max(high, buffer.offset + buffer.size);
    }
  }
  return std::max(high, plan.totals.arenaBytes) + plan.totals.reserveBytes;
}

static int run(const BenchOptions &options) {
  SessionOptions sessionOptions = options.plan.session();
  sessionOptions.profile = options.profile;
  auto loaded = Session::load(options.plan.plan, sessionOptions);
  if (!loaded) {
    return fail(loaded.error());
  }
  Session &session = **loaded;
  if (Result<void> able = session.canGenerate(); !able) {
    return fail(able.error());
  }
  // The defaults shrink to what the context holds; what is asked for does not.
  int64_t generate = options.generate;
  int64_t prompt = options.prompt;
  if (!options.generateOption->count()) {
    generate = std::min(generate, std::max<int64_t>(1, session.context() / 2));
  }
  if (!options.promptOption->count()) {
    prompt = std::clamp<int64_t>(session.context() - generate, 1, prompt);
  }
  if (prompt > session.context() - generate) {
    return fail({ErrorCode::ContextExceeded,
                 "--prompt " + std::to_string(prompt) + " and --generate " +
                     std::to_string(generate) +
                     " do not fit the plan's context of " +
                     std::to_string(session.context())});
  }
  // Any tokens do; these are spread over the vocabulary.
  std::vector<int64_t> tokens(static_cast<size_t>(prompt));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int64_t>(
        (i * 7919 + 13) % static_cast<uint64_t>(session.vocabulary()));
  }
  uint64_t begin = nowNanoseconds();
  Result<std::span<const float>> row = session.prefill(tokens);
  if (!row) {
    return fail(row.error());
  }
  int64_t token = argmax(*row);
  const double prefillSeconds =
      static_cast<double>(nowNanoseconds() - begin) / 1e9;
  begin = nowNanoseconds();
  for (int64_t i = 0; i < generate; ++i) {
    row = session.decode(token);
    if (!row) {
      return fail(row.error());
    }
    token = argmax(*row);
  }
  const double decodeSeconds =
      static_cast<double>(nowNanoseconds() - begin) / 1e9;
  // Before the probe, whose buffers are not the plan's.
  const uint64_t peakBytes = peakResidentBytes();

  uint64_t streamed = 0;
  for (const plan::Entry &entry : session.plan().entries) {
    if (entry.name == "decode" || (streamed == 0 && entry.name == "prefill")) {
      streamed = entry.streamedBytes;
    }
  }
  const double link = session.transfers()
                          ? probeLink(session.weightsSource(),
                                      session.plan().totals.weightsBytes,
                                      session.transfers()->method())
                          : 0;
  nlohmann::ordered_json json;
  json["prompt_tokens"] = prompt;
  json["generated_tokens"] = generate;
  json["threads"] = session.threads();
  json["prefill_tokens_per_second"] =
      static_cast<double>(prompt) / prefillSeconds;
  json["decode_tokens_per_second"] =
      decodeSeconds > 0 ? static_cast<double>(generate) / decodeSeconds : 0.0;
  json["load_seconds"] = session.loadSeconds();
  json["first_token_seconds"] = prefillSeconds;
  json["device_high_water_bytes"] = highWater(session.plan());
  json["peak_rss_bytes"] = peakBytes;
  json["streamed_bytes_per_token"] = streamed;
  json["link_bytes_per_second"] = link;
  json["io_method"] =
      session.transfers() ? io::name(session.transfers()->method()) : "none";
  if (options.plan.json) {
    std::cout << json.dump(2) << std::endl;
  } else {
    std::printf("prefill      %10.1f tokens/s  (%lld tokens)\n",
                json["prefill_tokens_per_second"].get<double>(),
                static_cast<long long>(prompt));
    std::printf("decode       %10.1f tokens/s  (%lld tokens)\n",
                json["decode_tokens_per_second"].get<double>(),
                static_cast<long long>(generate));
    std::printf("load         %10.3f s\n", session.loadSeconds());
    std::printf("first token  %10.3f s\n", prefillSeconds);
    std::printf("device       %10s of %s resident at most\n",
                formatBytes(highWater(session.plan())).c_str(),
                formatBytes(peakBytes).c_str());
    std::printf("streamed     %10s per token, link %s/s\n",
                formatBytes(streamed).c_str(),
                formatBytes(static_cast<uint64_t>(link)).c_str());
  }
  if (Result<void> wrote = reportProfile(session, options.profile, "");
      !wrote) {
    return fail(wrote.error());
  }
  return kDone;
}

void tool::addBench(CLI::App &app, std::optional<EmbeddedPlan> embedded,
                    Job &job) {
  auto options = std::make_shared<BenchOptions>();
  options->plan.embedded = embedded;
  CLI::App *sub =
      app.add_subcommand("bench", "Measure a plan's speed and memory");
  options->plan.add(*sub);
  options->promptOption =
      sub->add_option("--prompt", options->prompt,
                      "Tokens of the prompt (default 512 or what fits)")
          ->check(CLI::PositiveNumber);
  options->generateOption =
      sub->add_option("--generate", options->generate,
                      "Tokens to generate (default 128 or what fits)")
          ->check(CLI::NonNegativeNumber);
  sub->add_flag("--profile", options->profile, "Print time per kernel");
  sub->callback([options, &job] { job = [options] { return run(*options); }; });
}
