//===- plan_free_memory_test.cpp - Memory that can be had -----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/FreeMemory.h"

#include "gtest/gtest.h"

#include <filesystem>
#include <fstream>

namespace fs = std::filesystem;
using namespace llmc;

namespace {

/// A root folder with a /proc and a /sys of its own.
class Root : public testing::Test {
protected:
  void SetUp() override {
    root = testing::TempDir() + "llmc-free-memory-" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root);
    write("/proc/meminfo", "MemTotal: 8000 kB\nMemAvailable:    4000 kB\n"
                           "SwapTotal: 100 kB\nSwapFree:  1000 kB\n");
  }
  void TearDown() override { fs::remove_all(root); }

  void write(const std::string &path, const std::string &text) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  void group2(const std::string &folder, const std::string &limit,
              const std::string &usage) {
    write("/sys/fs/cgroup" + folder + "/memory.max", limit + "\n");
    write("/sys/fs/cgroup" + folder + "/memory.current", usage + "\n");
    write("/sys/fs/cgroup" + folder + "/memory.stat",
          "anon 5\ninactive_file 1000\nactive_file 24\n");
  }
  void group1(const std::string &folder, const std::string &limit,
              const std::string &usage) {
    std::string place = "/sys/fs/cgroup/memory" + folder;
    write(place + "/memory.limit_in_bytes", limit + "\n");
    write(place + "/memory.usage_in_bytes", usage + "\n");
    write(place + "/memory.stat", "inactive_file 7\ntotal_inactive_file 1000\n"
                                  "total_active_file 24\n");
  }

  std::string root;
};

constexpr uint64_t kMachine = uint64_t(4000) * 1024;
constexpr uint64_t kSwap = uint64_t(1000) * 1024;

} // namespace

TEST_F(Root, TheMachinesWithoutGroups) {
  EXPECT_EQ(freeMemory(root).bytes, kMachine);
  EXPECT_EQ(freeMemory(root).withSwap, kMachine + kSwap);
}

TEST_F(Root, UnknownIsNoLimit) {
  fs::remove_all(root + "/proc");
  EXPECT_EQ(freeMemory(root).bytes, UINT64_MAX);
  EXPECT_EQ(freeMemory(root).withSwap, UINT64_MAX);
}

// By hand: 100000 - (60000 - 1000 - 24), cached file pages being free.
TEST_F(Root, AVersion2GroupIsALimitAndSwapDoesNotHelp) {
  write("/proc/self/cgroup", "0::/box/app\n");
  group2("/box/app", "100000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 41024u);
  EXPECT_EQ(freeMemory(root).withSwap, 41024u);
}

TEST_F(Root, TheGroupsAroundItCountToo) {
  write("/proc/self/cgroup", "0::/box/app\n");
  group2("/box/app", "max", "60000");
  group2("/box", "70000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 11024u);
  group2("", "62000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 3024u);
}

TEST_F(Root, MaxIsNoLimit) {
  write("/proc/self/cgroup", "0::/app\n");
  group2("/app", "max", "60000");
  EXPECT_EQ(freeMemory(root).bytes, kMachine);
}

TEST_F(Root, AVersion1Group) {
  write("/proc/self/cgroup",
        "5:cpu,cpuacct:/x\n4:memory:/app\n1:name=systemd:/y\n");
  group1("/app", "100000", "60000");
  group1("", "9223372036854771712", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 41024u);
}

TEST_F(Root, AVersion1GroupThatSharesItsHierarchy) {
  write("/proc/self/cgroup", "4:cpuset,memory:/app\n");
  group1("/app", "100000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 41024u);
}

TEST_F(Root, InAContainerTheMountIsTheGroup) {
  write("/proc/self/cgroup", "4:memory:/docker/0123\n");
  group1("", "100000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 41024u);
}

TEST_F(Root, AFullGroupHasNothingLeft) {
  write("/proc/self/cgroup", "0::/app\n");
  group2("/app", "50000", "60000");
  EXPECT_EQ(freeMemory(root).bytes, 0u);
}

TEST(FreeMemory, TheMarginIsATenthWithinBounds) {
  constexpr uint64_t kGiB = uint64_t(1) << 30;
  EXPECT_EQ(automaticBudget(20 * kGiB), 18 * kGiB);
  EXPECT_EQ(automaticBudget(4 * kGiB), 4 * kGiB - kGiB / 2);
  EXPECT_EQ(automaticBudget(kGiB / 2), kGiB / 4);
  EXPECT_EQ(automaticBudget(0), 0u);
}

TEST(FreeMemory, APlanThatFitsIsFine) {
  FreeMemory found{1000, 1000};
  Result<std::string> room = checkRoom("x.plan", 1000, 10, found);
  ASSERT_TRUE(room);
  EXPECT_EQ(*room, "");
}

TEST(FreeMemory, WhatOnlySwapGivesIsAWarning) {
  Result<std::string> room =
      checkRoom("x.plan", uint64_t(5000) << 20, 10,
                {uint64_t(4000) << 20, uint64_t(6000) << 20});
  ASSERT_TRUE(room);
  EXPECT_NE(room->find("x.plan: needs 4.9 GiB (5242880000 bytes), 3.9 GiB "
                       "(4194304000 bytes) are free, the rest is swap"),
            std::string::npos)
      << *room;
  EXPECT_NE(room->find("--vram 3657433088 (or --vram auto)"), std::string::npos)
      << *room;
}

TEST(FreeMemory, WhatCannotBeHadIsAnError) {
  FreeMemory found{uint64_t(4000) << 20, uint64_t(4500) << 20};
  Result<std::string> room =
      checkRoom("x.plan", uint64_t(5000) << 20, 10, found);
  ASSERT_FALSE(room);
  EXPECT_EQ(room.error().code, ErrorCode::OutOfMemory);
  EXPECT_NE(room.error().message.find("--vram auto"), std::string::npos);
  // No budget helps where not even the smallest plan fits.
  room = checkRoom("x.plan", uint64_t(5000) << 20, uint64_t(3900) << 20, found);
  ASSERT_FALSE(room);
  EXPECT_EQ(room.error().message.find("--vram auto"), std::string::npos);
  EXPECT_NE(room.error().message.find("needs less than 3.8 GiB"),
            std::string::npos)
      << room.error().message;
}
