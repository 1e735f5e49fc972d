//===- core_spill.cpp - Running plans whose state spills ------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_spill_plans.h"
#include "io_support.h"

#include "runtime/core/Session.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <random>
#include <thread>
#include <unistd.h>

using namespace llmc;
using namespace llmc::test;

namespace {

std::vector<int64_t> spillTokens(int64_t count) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    tokens.push_back((i * i * 5 + 3 * i + 1) % kVocabulary);
  }
  return tokens;
}

std::unique_ptr<Session> openSpilled(const std::string &path,
                                     SessionOptions options = {}) {
  options.threads = 2;
  auto session = Session::load(path, options);
  EXPECT_TRUE(bool(session)) << (session ? "" : session.error().message);
  return session ? std::move(*session) : nullptr;
}

/// The logits after `prompt` tokens and after each further one up to `end`.
std::vector<std::vector<float>> logitsOf(Session &session, int64_t prompt,
                                         int64_t end) {
  std::vector<std::vector<float>> rows;
  const std::vector<int64_t> tokens = spillTokens(end);
  auto keep = [&](const Result<std::span<const float>> &row) {
    EXPECT_TRUE(bool(row)) << (row ? "" : row.error().message);
    rows.emplace_back();
    if (row) {
      rows.back().assign(row->begin(), row->end());
    }
  };
  session.reset();
  keep(session.prefill(std::span(tokens).first(size_t(prompt))));
  for (int64_t i = prompt; i < end; ++i) {
    keep(session.decode(tokens[size_t(i)]));
  }
  return rows;
}

const std::vector<SpillOptions> kSpills = {
    {1, {6}}, {2, {2, 2, 1}}, {1, {1, 1, 1, 1, 1, 1}}, {6, {1}}, {3, {1, 3}}};

} // namespace

TEST(CoreSpill, GivesTheBitsOfTheResidentState) {
  TemporaryFolder folder;
  auto resident = openSpilled(writeSpillModel(folder, {}, "all"));
  ASSERT_TRUE(resident);
  for (const SpillOptions &options : kSpills) {
    for (io::Method method :
         {io::Method::Auto, io::Method::Buffered, io::Method::Direct}) {
      for (bool poison : {false, true}) {
        SessionOptions how;
        how.poison = poison;
        how.io.method = method;
        how.threads = 2;
        auto loaded =
            Session::load(writeSpillModel(folder, options, "some"), how);
        if (!loaded && loaded.error().code == ErrorCode::Unsupported) {
          continue; // no direct reads on this file system
        }
        ASSERT_TRUE(loaded) << loaded.error().message;
        std::unique_ptr<Session> session = std::move(*loaded);
        for (int64_t prompt : {1, 63, 64, 130, 256, 399}) {
          int64_t end = std::min<int64_t>(prompt + 70, kSpillContext);
          EXPECT_EQ(logitsOf(*session, prompt, end),
                    logitsOf(*resident, prompt, end))
              << options.resident << " blocks stay, prompt " << prompt;
          auto mine = session->states(), theirs = resident->states();
          ASSERT_TRUE(mine && theirs);
          EXPECT_EQ((*mine)[0].data, (*theirs)[0].data);
        }
      }
    }
  }
}

// A ring holds what attention sees: the bits are those of the same attention
// over a state that keeps all.
TEST(CoreSpill, ARingGivesTheBitsOfTheWholeState) {
  TemporaryFolder folder;
  for (int64_t sinks : {0, 5}) {
    SpillOptions all;
    all.window = 70;
    all.sinks = sinks;
    all.sinkBlocks = sinks ? 1 : 0;
    SpillOptions ring = all;
    ring.ringBlocks = 3;
    auto whole = openSpilled(writeSpillModel(folder, all, "all"));
    ASSERT_TRUE(whole);
    for (bool poison : {false, true}) {
      SessionOptions how;
      how.poison = poison;
      auto session = openSpilled(writeSpillModel(folder, ring, "ring"), how);
      ASSERT_TRUE(session);
      for (int64_t prompt : {1, 63, 64, 130, 256, 320}) {
        EXPECT_EQ(logitsOf(*session, prompt, kSpillContext),
                  logitsOf(*whole, prompt, kSpillContext))
            << sinks << " sinks, prompt " << prompt;
        auto states = session->states();
        ASSERT_FALSE(states);
        EXPECT_NE(states.error().message.find("keeps a window only"),
                  std::string::npos);
      }
      // As long as nothing is forgotten, it can be seen.
      logitsOf(*session, 100, 120);
      logitsOf(*whole, 100, 120);
      auto mine = session->states(), theirs = whole->states();
      ASSERT_TRUE(mine && theirs);
      EXPECT_EQ((*mine)[0].data, (*theirs)[0].data);
    }
  }
}

// Which write fails does not matter: the run that needed it fails, and what was
// there before is still there.
TEST(CoreSpill, FailedWritesLeaveTheStateAsItWas) {
  TemporaryFolder folder;
  auto resident = openSpilled(writeSpillModel(folder, {}, "all"));
  ASSERT_TRUE(resident);
  auto want = logitsOf(*resident, 1, kSpillContext);
  const std::vector<int64_t> tokens = spillTokens(kSpillContext);
  int failNext = 0;
  int writes = 0;
  SessionOptions how;
  how.spillWrite = [&](int fd, const void *data, size_t bytes, off_t at) {
    ++writes;
    if (failNext != 0 && --failNext == 0) {
      errno = ENOSPC;
      return ssize_t(-1);
    }
    // Now and then only a part.
    return pwrite(fd, data, writes % 3 == 0 ? (bytes + 1) / 2 : bytes, at);
  };
  auto session =
      openSpilled(writeSpillModel(folder, {2, {2, 2, 1}}, "some"), how);
  ASSERT_TRUE(session);
  int failures = 0;
  std::span<const int64_t> all(tokens);
  for (int fail = 1; fail < 13; ++fail) {
    session->reset();
    size_t fed = 0;
    int pieces = 0;
    while (fed < tokens.size()) {
      // Pieces of the prompt and single tokens in turn.
      size_t count = pieces++ % 3 == 0 ? size_t{1} : size_t{47};
      count = std::min(count, tokens.size() - fed);
      failNext = pieces % 4 == fail % 4 ? 1 + fail % 2 : 0;
      auto row = session->prefill(all.subspan(fed, count));
      if (!row) {
        ++failures;
        EXPECT_EQ(row.error().code, ErrorCode::TransferFailed);
        EXPECT_NE(row.error().message.find("cannot write at byte"),
                  std::string::npos)
            << row.error().message;
        failNext = 0;
        // A piece may have been fed in part: go on from there.
        fed = size_t(session->past());
        continue;
      }
      fed += count;
      ASSERT_EQ(session->past(), int64_t(fed));
      if (count == 1) {
        EXPECT_EQ(std::vector<float>(row->begin(), row->end()), want[fed - 1])
            << "after token " << fed;
      }
    }
  }
  EXPECT_GT(failures, 3);
  EXPECT_GT(writes, 10);
}

// The weights are resident, so after the load all reads are of the spill file.
// Every n-th of them fails; the run that needed it ends with the place and the
// reason, `past` stays, and the same tokens fed again give the same bits.
TEST(CoreSpill, EveryNthReadFails) {
  TemporaryFolder folder;
  auto resident = openSpilled(writeSpillModel(folder, {}, "all"));
  ASSERT_TRUE(resident);
  const auto want = logitsOf(*resident, 1, kSpillContext);
  const std::vector<int64_t> tokens = spillTokens(kSpillContext);
  const std::span<const int64_t> all(tokens);
  const std::string path = writeSpillModel(folder, {1, {2, 2, 2}}, "some");
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    for (bool poison : {false, true}) {
      for (uint64_t n : {1, 2, 3, 5, 7}) {
        auto reads = std::make_shared<std::atomic<uint64_t>>(0);
        auto active = std::make_shared<std::atomic<bool>>(false);
        SessionOptions how;
        how.poison = poison;
        how.io.method = method;
        how.io.wrap = test::withFaults([=](uint64_t, io::ReadRequest &) {
          return *active && ++*reads % n == 0 ? EIO : 0;
        });
        auto session = openSpilled(path, how);
        ASSERT_TRUE(session);
        *active = true;
        size_t fed = 0;
        int failures = 0;
        int attempts = 0;
        while (fed < tokens.size()) {
          size_t count = attempts++ % 3 == 0 ? size_t{1} : size_t{31};
          count = std::min(count, tokens.size() - fed);
          auto row = session->prefill(all.subspan(fed, count));
          if (!row) {
            ++failures;
            EXPECT_EQ(row.error().code, ErrorCode::TransferFailed);
            for (const char *part :
                 {"(spill file)", "cannot read at byte", "errno 5"}) {
              EXPECT_NE(row.error().message.find(part), std::string::npos)
                  << row.error().message;
            }
            ASSERT_EQ(session->past(), int64_t(fed));
            *active = n > 1; // of every one none would ever pass
            row = session->prefill(all.subspan(fed, count));
            if (!row) {
              *active = false;
              row = session->prefill(all.subspan(fed, count));
            }
            ASSERT_TRUE(row) << row.error().message;
            *active = true;
          }
          fed += count;
          if (count == 1) { // a piece gives the sum of its rows
            EXPECT_EQ(std::vector<float>(row->begin(), row->end()),
                      want[fed - 1])
                << "after token " << fed << ", every " << n;
          }
        }
        EXPECT_GE(failures, 2) << n;
      }
    }
  }
}

TEST(CoreSpill, SlowShortAndInterruptedReadsAndWritesChangeNothing) {
  TemporaryFolder folder;
  auto resident = openSpilled(writeSpillModel(folder, {}, "all"));
  ASSERT_TRUE(resident);
  const auto want = logitsOf(*resident, 150, kSpillContext);
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    auto onWrite = std::make_shared<std::mt19937>(6);
    SessionOptions how;
    how.io.method = method;
    how.io.wrap = test::withFaults(test::disturbance(5));
    how.spillWrite = [=](int fd, const void *data, size_t bytes, off_t at) {
      const uint32_t kind = (*onWrite)() % 4;
      if (kind == 0) {
        errno = EINTR;
        return ssize_t(-1);
      }
      if (kind == 2) {
        std::this_thread::sleep_for(
            std::chrono::microseconds((*onWrite)() % 300));
      }
      return pwrite(fd, data, kind == 1 ? 1 + (*onWrite)() % bytes : bytes, at);
    };
    auto session =
        openSpilled(writeSpillModel(folder, {1, {2, 3, 1}}, "some"), how);
    ASSERT_TRUE(session);
    EXPECT_EQ(logitsOf(*session, 150, kSpillContext), want);
  }
}

TEST(CoreSpill, AFolderThatIsNotThere) {
  TemporaryFolder folder;
  SessionOptions how;
  how.spillFolder = folder / "none";
  auto session = Session::load(writeSpillModel(folder, {2, {5}}, "some"), how);
  ASSERT_FALSE(session);
  EXPECT_NE(session.error().message.find("cannot make a spill file"),
            std::string::npos)
      << session.error().message;
}
