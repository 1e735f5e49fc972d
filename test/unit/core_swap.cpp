//===- core_swap.cpp - Running plans whose activations leave --------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_swap_plans.h"
#include "io_support.h"

#include "runtime/core/Session.h"

#include <atomic>
#include <cerrno>
#include <unistd.h>

using namespace llmc;
using namespace llmc::test;

namespace {

/// The logits after `prompt` tokens and after each of `more`; empty rows where
/// a run failed, whose errors `failed` gets.
std::vector<std::vector<float>> rowsOf(Session &session, int64_t prompt,
                                       int64_t more,
                                       std::vector<std::string> *failed) {
  std::vector<std::vector<float>> rows;
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < prompt + more; ++i) {
    tokens.push_back((i * i * 5 + 3 * i + 1) % kVocabulary);
  }
  session.reset();
  for (int64_t i = prompt; i <= prompt + more; ++i) {
    auto row = i == prompt
                   ? session.prefill(std::span(tokens).first(size_t(prompt)))
                   : session.decode(tokens[size_t(i - 1)]);
    rows.emplace_back();
    if (row) {
      rows.back().assign(row->begin(), row->end());
    } else if (failed) {
      failed->push_back(row.error().message);
      break;
    } else {
      ADD_FAILURE() << row.error().message;
    }
  }
  return rows;
}

std::string writeModel(const TemporaryFolder &folder, bool swaps) {
  return writeSpillModel(folder, {}, swaps ? "swapped" : "all",
                         swaps ? swapActivation
                               : std::function<void(plan::Plan &)>());
}

} // namespace

TEST(CoreSwap, GivesTheBitsOfTheResidentPlan) {
  TemporaryFolder folder;
  auto resident = Session::load(writeModel(folder, false), {});
  ASSERT_TRUE(resident) << resident.error().message;
  const std::string path = writeModel(folder, true);
  for (io::Method method : {io::Method::Auto, io::Method::Cached,
                            io::Method::Buffered, io::Method::Direct}) {
    for (bool poison : {false, true}) {
      SessionOptions how;
      how.poison = poison;
      how.io.method = method;
      how.threads = 2;
      auto session = Session::load(path, how);
      if (!session && session.error().code == ErrorCode::Unsupported) {
        continue; // no direct reads on this file system
      }
      ASSERT_TRUE(session) << session.error().message;
      for (int64_t prompt : {1, 63, 100, 250}) {
        EXPECT_EQ(rowsOf(**session, prompt, 20, nullptr),
                  rowsOf(**resident, prompt, 20, nullptr))
            << "prompt " << prompt;
      }
    }
  }
}

TEST(CoreSwap, FailedWritesAreErrorsAndTheNextRunIsGood) {
  TemporaryFolder folder;
  auto resident = Session::load(writeModel(folder, false), {});
  ASSERT_TRUE(resident) << resident.error().message;
  const auto want = rowsOf(**resident, 90, 10, nullptr);
  int failNext = 0;
  int writes = 0;
  SessionOptions how;
  how.spillWrite = [&](int fd, const void *data, size_t bytes, off_t at) {
    ++writes;
    if (failNext != 0 && --failNext == 0) {
      errno = ENOSPC;
      return ssize_t(-1);
    }
    if (writes % 5 == 0) {
      errno = EINTR;
      return ssize_t(-1);
    }
    return pwrite(fd, data, writes % 3 == 0 ? (bytes + 1) / 2 : bytes, at);
  };
  for (bool poison : {false, true}) {
    how.poison = poison;
    auto session = Session::load(writeModel(folder, true), how);
    ASSERT_TRUE(session) << session.error().message;
    for (int fail = 1; fail < 12; ++fail) {
      failNext = fail;
      std::vector<std::string> failed;
      rowsOf(**session, 90, 10, &failed);
      failNext = 0;
      ASSERT_EQ(failed.size(), 1u) << "write " << fail;
      EXPECT_NE(failed[0].find("cannot write at byte"), std::string::npos)
          << failed[0];
      EXPECT_EQ(rowsOf(**session, 90, 10, nullptr), want);
    }
  }
}

// The weights are resident, so after the load all reads are of the spill file.
TEST(CoreSwap, EveryReadThatFailsIsAnErrorAndTheNextRunIsGood) {
  TemporaryFolder folder;
  auto resident = Session::load(writeModel(folder, false), {});
  ASSERT_TRUE(resident) << resident.error().message;
  const auto want = rowsOf(**resident, 90, 10, nullptr);
  const std::string path = writeModel(folder, true);
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    for (bool poison : {false, true}) {
      auto failNext = std::make_shared<std::atomic<int>>(0);
      SessionOptions how;
      how.poison = poison;
      how.io.method = method;
      how.io.wrap = test::withFaults([=](uint64_t, io::ReadRequest &) {
        return *failNext != 0 && --*failNext == 0 ? EIO : 0;
      });
      auto session = Session::load(path, how);
      ASSERT_TRUE(session) << session.error().message;
      // One read in each of eleven runs: the prompt and ten tokens.
      for (int fail = 1; fail <= 11; ++fail) {
        *failNext = fail;
        std::vector<std::string> failed;
        rowsOf(**session, 90, 10, &failed);
        ASSERT_EQ(*failNext, 0) << "there is no read " << fail;
        ASSERT_EQ(failed.size(), 1u) << "read " << fail;
        for (const char *part :
             {"(spill file)", "cannot read at byte", "errno 5"}) {
          EXPECT_NE(failed[0].find(part), std::string::npos) << failed[0];
        }
        EXPECT_EQ(rowsOf(**session, 90, 10, nullptr), want);
      }
    }
  }
}

TEST(CoreSwap, SlowShortAndInterruptedReadsChangeNothing) {
  TemporaryFolder folder;
  auto resident = Session::load(writeModel(folder, false), {});
  ASSERT_TRUE(resident) << resident.error().message;
  const auto want = rowsOf(**resident, 150, 30, nullptr);
  const std::string path = writeModel(folder, true);
  for (io::Method method : {io::Method::Cached, io::Method::Buffered}) {
    auto disturbed = std::make_shared<std::atomic<int>>(0);
    SessionOptions how;
    how.io.method = method;
    how.io.wrap = test::withFaults(test::disturbance(7, disturbed));
    auto session = Session::load(path, how);
    ASSERT_TRUE(session) << session.error().message;
    EXPECT_EQ(rowsOf(**session, 150, 30, nullptr), want);
    EXPECT_GT(*disturbed, 20);
  }
}

TEST(CoreSwap, AFolderThatIsNotThere) {
  TemporaryFolder folder;
  SessionOptions how;
  how.spillFolder = folder / "none";
  auto session = Session::load(writeModel(folder, true), how);
  ASSERT_FALSE(session);
  EXPECT_NE(session.error().message.find("cannot make a spill file"),
            std::string::npos)
      << session.error().message;
}
