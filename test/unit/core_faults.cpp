//===- core_faults.cpp - Reads that fail while a plan streams -------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"
#include "io_support.h"

#include "runtime/core/Session.h"

#include <random>

using namespace llmc;
using namespace llmc::test;

namespace {

/// Tokens, and the logits that a streamed plan must give for them.
struct Expected {
  std::vector<int64_t> tokens;
  std::vector<float> logits;
};

Expected expectedFor(int64_t count) {
  Expected e;
  for (int64_t i = 0; i < count; ++i) {
    e.tokens.push_back((i * i * 3 + 2 * i + 1) % kVocabulary);
  }
  e.logits = expectedLogits(e.tokens);
  return e;
}

std::unique_ptr<Session> openFaulty(const std::string &path,
                                    const SessionOptions &options) {
  auto session = Session::load(path, options);
  EXPECT_TRUE(bool(session)) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

} // namespace

// A prompt of two pieces makes four copies, each token two more.
TEST(CoreFaults, TheNthReadFailsForEveryN) {
  TemporaryFolder folder;
  const std::string path =
      writeModel(folder, {.placement = Placement::Streamed});
  const Expected e = expectedFor(9);
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    for (bool poison : {false, true}) {
      for (uint64_t n = 0; n < 5; ++n) {
        auto reads = std::make_shared<std::atomic<uint64_t>>(0);
        auto failing = std::make_shared<std::atomic<bool>>(false);
        SessionOptions options;
        options.threads = 2;
        options.poison = poison;
        options.io.method = method;
        options.io.wrap = withFaults([=](uint64_t, io::ReadRequest &) {
          return *failing && (*reads)++ == n ? EIO : 0;
        });
        auto session = openFaulty(path, options);
        ASSERT_TRUE(session);
        *failing = true;
        auto row = session->prefill(e.tokens);
        ASSERT_EQ(bool(row), n >= 4) << n;
        if (!row) {
          EXPECT_EQ(row.error().code, ErrorCode::TransferFailed);
          for (const char *part :
               {"m.weights", "byte", "Input/output error", "errno 5"}) {
            EXPECT_NE(row.error().message.find(part), std::string::npos)
                << row.error().message;
          }
          // The pieces before the failed one are in the state.
          EXPECT_EQ(session->past(), n < 2 ? 0 : 1);
        }
        *failing = false;
        session->reset();
        row = session->prefill(e.tokens);
        ASSERT_TRUE(bool(row)) << row.error().message;
        EXPECT_EQ(std::vector<float>(row->begin(), row->end()), e.logits);
      }
    }
  }
}

// The same where the first matrix is carried from one run to the next: after a
// failed run it has to be read again.
TEST(CoreFaults, CarriedSlotsAreFilledAgainAfterAFailedRun) {
  TemporaryFolder folder;
  const std::string path =
      writeModel(folder, {.placement = Placement::Carried});
  const Expected e = expectedFor(9);
  for (bool poison : {false, true}) {
    for (uint64_t n = 0; n < 6; ++n) {
      auto reads = std::make_shared<std::atomic<uint64_t>>(0);
      auto failing = std::make_shared<std::atomic<bool>>(false);
      SessionOptions options;
      options.threads = 2;
      options.poison = poison;
      options.io.method = io::Method::Buffered;
      options.io.wrap = withFaults([=](uint64_t, io::ReadRequest &) {
        return *failing && (*reads)++ == n ? EIO : 0;
      });
      auto session = openFaulty(path, options);
      ASSERT_TRUE(session);
      *failing = true;
      // Pieces of 8 and 1 tokens, two copies each; then one more for the slot.
      auto row = session->prefill(e.tokens);
      ASSERT_EQ(bool(row), n >= 4) << n;
      session->reset();
      row = session->prefill(e.tokens);
      ASSERT_EQ(bool(row), n < 4) << n; // the next n fall into this one
      *failing = false;
      session->reset();
      row = session->prefill(std::span(e.tokens).first(8));
      ASSERT_TRUE(bool(row)) << row.error().message;
      row = session->decode(e.tokens[8]);
      ASSERT_TRUE(bool(row)) << row.error().message;
      EXPECT_EQ(std::vector<float>(row->begin(), row->end()), e.logits) << n;
    }
  }
}

TEST(CoreFaults, SlowShortAndInterruptedReadsChangeNothing) {
  TemporaryFolder folder;
  const Expected e = expectedFor(kContext);
  for (auto [method, placement] :
       {std::pair(io::Method::Cached, Placement::Streamed),
        std::pair(io::Method::Buffered, Placement::Streamed),
        std::pair(io::Method::Buffered, Placement::Carried)}) {
    const std::string path = writeModel(folder, {.placement = placement});
    SessionOptions options;
    options.threads = 2;
    options.io.method = method;
    options.io.wrap = withFaults(disturbance(3));
    auto session = openFaulty(path, options);
    ASSERT_TRUE(session);
    for (int round = 0; round < 10; ++round) {
      session->reset();
      Result<std::span<const float>> row =
          session->prefill(std::span(e.tokens).first(13));
      for (size_t i = 13; row && i < e.tokens.size(); ++i) {
        row = session->decode(e.tokens[i]);
      }
      ASSERT_TRUE(bool(row)) << row.error().message;
      EXPECT_EQ(std::vector<float>(row->begin(), row->end()), e.logits);
    }
  }
}

TEST(CoreFaults, AMethodThatCannotBeHadIsRefused) {
  TemporaryFolder folder;
  const std::string path = writeModel(folder);
  for (io::Method method :
       {io::Method::Uring, io::Method::Direct, io::Method::Buffered}) {
    SessionOptions options;
    options.io.method = method;
    auto session = Session::load(path, options);
    if (session) {
      EXPECT_EQ((*session)->transfers()->method(), method);
    } else {
      EXPECT_EQ(session.error().code, ErrorCode::Unsupported);
      EXPECT_NE(
          session.error().message.find("--io " + std::string(io::name(method))),
          std::string::npos)
          << session.error().message;
    }
  }
}
