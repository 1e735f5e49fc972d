//===- plan_hardware_test.cpp - Hardware profiles -------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/HardwareProfile.h"

#include <gtest/gtest.h>

#include <filesystem>

using namespace llmc;
using namespace llmc::plan;

static HardwareProfile sample() {
  HardwareProfile p;
  p.name = "a machine";
  p.source = "probe";
  HostHardware &host = p.host.emplace();
  host.cpu = "some \"CPU\"";
  host.isa = "x86-64-v4";
  host.threads = 16;
  host.memoryBytes = uint64_t(64) << 30;
  host.memory = {40e9, 30e9, 20e9};
  host.memoryOneThread = MemoryRates{20e9, 15e9, 10e9};
  host.compute["f32"] = {30e9, 5e11};
  host.compute["int8"] = {std::nullopt, 1.5e12};
  DiskHardware &disk = p.disk.emplace();
  disk.path = "/data";
  disk.bytesPerSecond = 3.25e9;
  disk.latencySeconds = 8e-5;
  disk.numaNode = 0;
  disk.ways = {{"uring", true, 8, 2 << 20, 3.25e9},
               {"buffered", false, 1, 1 << 20, 1.1e9}};
  p.numa = {{0, "0-7", uint64_t(32) << 30}, {1, "8-15", uint64_t(32) << 30}};
  GpuHardware gpu;
  gpu.name = "a GPU";
  gpu.memoryBytes = uint64_t(24) << 30;
  gpu.memoryBytesPerSecond = 1e12;
  gpu.pcieGeneration = 4;
  gpu.pcieLanes = 16;
  gpu.linkBytesPerSecond = 25e9;
  gpu.flops = {{"f32", 8e13}, {"f16", 1.6e14}};
  gpu.numaNode = 1;
  p.gpus = {gpu};
  return p;
}

TEST(HardwareProfile, ComesBackAsItWent) {
  HardwareProfile p = sample();
  p.remark();
  const std::string text = p.json();
  Result<HardwareProfile> back = parseHardwareProfile(text, "p.json");
  ASSERT_TRUE(bool(back)) << back.error().message;
  EXPECT_EQ(back->json(), text);
  EXPECT_EQ(back->host->memory.read, 40e9);
  EXPECT_EQ(*back->host->compute["f32"].manyRows, 5e11);
  EXPECT_FALSE(back->host->compute["int8"].oneRow);
  EXPECT_EQ(back->disk->ways[0].requestBytes, 2u << 20);
  EXPECT_EQ(back->gpus[0].flops["f16"], 1.6e14);
  EXPECT_EQ(*back->gpus[0].numaNode, 1);
}

TEST(HardwareProfile, SaysWhatHoldsTheMachineBack) {
  HardwareProfile p = sample();
  p.remark();
  ASSERT_EQ(p.remarks.size(), 3u);
  EXPECT_NE(p.remarks[0].find("3.2 GB/s (under 7 GB/s)"), std::string::npos)
      << p.remarks[0];
  EXPECT_NE(p.remarks[1].find("40.0 GB/s (under 50 GB/s)"), std::string::npos);
  EXPECT_NE(p.remarks[2].find("a GPU is on NUMA node 1, the disk on node 0"),
            std::string::npos);
  p.disk->bytesPerSecond = 7e9;
  p.host->memory.read = 50e9;
  p.gpus[0].numaNode = 0;
  p.remark();
  EXPECT_TRUE(p.remarks.empty());
  p.gpus[0].numaNode.reset(); // nothing is known, so nothing is said
  p.remark();
  EXPECT_TRUE(p.remarks.empty());
}

TEST(HardwareProfile, RefusesWhatIsWrongAndNamesIt) {
  const std::string good = sample().json();
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"\"llmc_hardware\": 1", "\"llmc_hardware\": 2",
       "p.json: hardware profile version 2, this program reads version 1"},
      {"\"llmc_hardware\": 1,", "", "not a hardware profile"},
      {"{", "", "not a hardware profile: it is not JSON"},
      {"\"source\": \"probe\"", "\"source\": \"hearsay\"",
       "'source' is 'hearsay'"},
      {"\"threads\": 16", "\"threads\": 0",
       "'host' 'threads' is 0, expected a positive whole number"},
      {"\"threads\": 16", "\"threads\": -3", "'threads' is -3"},
      {"\"threads\": 16,", "", "'host' has no 'threads'"},
      {"\"threads\": 16", "\"threads\": 16, \"cores\": 8",
       "'host' has the unknown field 'cores'"},
      {"\"latency_seconds\": 8e-05", "\"latency_seconds\": \"8e-05\"",
       "'latency_seconds' is \"8e-05\", expected a positive number"},
      {"\"latency_seconds\": 8e-05", "\"latency_seconds\": -1.0",
       "'latency_seconds' is -1.0"},
      {"\"latency_seconds\": 8e-05", "\"latency_seconds\": 1e999", "JSON"},
      {"\"latency_seconds\": 8e-05", "\"latency_seconds\": 80",
       "'latency_seconds' is 80, which cannot be seconds"},
      {"\"link_bytes_per_second\": 25000000000.0",
       "\"link_bytes_per_second\": 25.0",
       "'link_bytes_per_second' is 25.0, which cannot be bytes per second"},
      {"\"f16\": 160000000000000.0", "\"f16\": 160.0",
       "'f16' is 160.0, which cannot be flops per second"},
      {"\"f32\": {", "\"f33\": {", "'host.compute' has the unknown field"},
      {"\"depth\": 8", "\"depth\": 8.5", "'disk.ways[0]' 'depth' is 8.5"},
      {"\"numa_node\": 1", "\"numa_node\": -1", "'gpus[0]' 'numa_node' is -1"},
      {"\"cpus\": \"8-15\"", "\"cpus\": 8", "'numa[1]' 'cpus' is not a string"},
      {"\"huge_pages\": true", "\"huge_pages\": 1", "is not true or false"},
  };
  for (const auto &c : cases) {
    std::string text = good;
    const size_t at = text.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    text.replace(at, std::string(c.from).size(), c.to);
    Result<HardwareProfile> parsed = parseHardwareProfile(text, "p.json");
    ASSERT_FALSE(parsed) << c.to;
    EXPECT_EQ(parsed.error().code, ErrorCode::FileMalformed);
    EXPECT_NE(parsed.error().message.find(c.message), std::string::npos)
        << parsed.error().message << "\nexpected " << c.message;
  }
  // No prefix of a profile is one, and none crashes the reader.
  for (size_t n = 0; n + 2 < good.size(); n += 7) {
    EXPECT_FALSE(parseHardwareProfile(good.substr(0, n), "p.json"));
  }
}

TEST(HardwareProfile, ShippedProfilesAreGood) {
  int count = 0;
  for (const auto &file :
       std::filesystem::directory_iterator(LLMC_HARDWARE_FOLDER)) {
    if (file.path().extension() != ".json") {
      continue;
    }
    Result<HardwareProfile> p = readHardwareProfile(file.path().string());
    ASSERT_TRUE(bool(p)) << p.error().message;
    EXPECT_EQ(p->source, "data sheet");
    ASSERT_EQ(p->gpus.size(), 1u);
    const GpuHardware &gpu = p->gpus[0];
    EXPECT_EQ(gpu.name, p->name);
    // PCIe 3 moves 0.985 GB/s per lane, each generation twice that.
    const double lanes = static_cast<double>(gpu.pcieLanes) *
                         static_cast<double>(1u << (gpu.pcieGeneration - 3));
    EXPECT_NEAR(gpu.linkBytesPerSecond, lanes * 0.985e9, 0.01e9 * lanes);
    // Data sheets round.
    EXPECT_GE(gpu.flops.at("f16"), 1.98 * gpu.flops.at("f32"));
    EXPECT_GE(gpu.flops.at("int8"), 1.9 * gpu.flops.at("f16"));
    EXPECT_EQ(gpu.memoryBytes % (uint64_t(1) << 30), 0u);
    ++count;
  }
  EXPECT_EQ(count, 12);
}

TEST(HardwareProfile, MissingFile) {
  Result<HardwareProfile> none = readHardwareProfile("/nonexistent/p.json");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::FileNotFound);
}
