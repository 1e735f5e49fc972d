//===- VerifyCommand.cpp - llmc verify: prove a plan ----------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/WeightsFile.h"
#include "tools/llmc-run/Commands.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <iostream>

using namespace llmc;
using namespace llmc::tool;
using nlohmann::ordered_json;

static int run(const PlanOptions &options) {
  const SessionOptions where = options.session();
  Result<plan::Plan> plan = readPlanAt(options.plan, where);
  if (!plan) {
    return fail(plan.error());
  }
  Result<plan::Certificate> proof = plan::check(*plan);
  if (!proof) {
    return fail(
        {proof.error().code, options.plan + ": " + proof.error().message});
  }
  ordered_json json = ordered_json::parse(proof->json());
  json["plan"] = options.plan;
  uint64_t bytes = 0;
  if (!plan->segments.empty()) {
    Result<plan::WeightsFile> weights =
        openWeightsOf(*plan, options.plan, where);
    if (!weights) {
      return fail(weights.error());
    }
    for (const plan::Segment &segment : plan->segments) {
      bytes += segment.size;
    }
    if (!options.noChecksum) {
      if (Result<void> good = weights->verifyAll(); !good) {
        return fail(good.error());
      }
    }
    json["weights"] = weights->path();
  }
  json["weights_bytes"] = bytes;
  json["checksums"] = !options.noChecksum;
  if (options.json) {
    std::cout << json.dump(2, ' ', false,
                           nlohmann::json::error_handler_t::replace)
              << std::endl;
  } else {
    std::fputs(proof->text().c_str(), stdout);
    if (!plan->segments.empty()) {
      std::printf("weights: %llu bytes in %zu segments%s\n",
                  static_cast<unsigned long long>(bytes), plan->segments.size(),
                  options.noChecksum ? "" : ", all as their checksums say");
    }
  }
  return kDone;
}

void tool::addVerify(CLI::App &app, std::optional<EmbeddedPlan> embedded,
                     Job &job) {
  auto options = std::make_shared<PlanOptions>();
  options->embedded = embedded;
  CLI::App *sub = app.add_subcommand(
      "verify", "Prove that a plan is safe, and compare the weights with their "
                "checksums");
  options->add(*sub);
  sub->callback([options, &job] { job = [options] { return run(*options); }; });
}
