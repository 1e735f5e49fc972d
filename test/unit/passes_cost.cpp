//===- passes_cost.cpp - Work, times and two streams, worked by hand ------===//

#include "passes/memory/HardwareRates.h"
#include "passes/memory/Rates.h"
#include "passes/memory/StreamSimulation.h"
#include "passes/memory/Work.h"

#include <gtest/gtest.h>

using namespace llmc;
using namespace llmc::memory;
using plan::Access;
using plan::BufferKind;
using plan::DType;
using plan::KernelId;

namespace {

OperandNumbers operand(BufferKind kind, DType dtype, std::vector<int64_t> dims,
                       Access access = Access::Read) {
  OperandNumbers out;
  out.kind = kind;
  out.dtype = dtype;
  out.dims = std::move(dims);
  out.access = access;
  static uint32_t next = 0;
  out.buffer = next++;
  return out;
}

OperandNumbers read(std::vector<int64_t> dims) {
  return operand(BufferKind::Activation, DType::F32, std::move(dims));
}
OperandNumbers written(std::vector<int64_t> dims) {
  return operand(BufferKind::Activation, DType::F32, std::move(dims),
                 Access::Write);
}

OperandNumbers panels(int64_t outputs, int64_t depth, DType dtype) {
  OperandNumbers out = operand(BufferKind::Weight, dtype, {outputs, depth});
  out.packing = plan::Packing::Panel64;
  return out;
}

/// 1 GFLOP/s, 1 GB/s, one thread, no overheads, no cache.
Rates plainRates() {
  Rates rates;
  for (ProductRate *rate :
       {&rates.f32, &rates.f16, &rates.bf16, &rates.int8, &rates.int4,
        &rates.attention, &rates.convolution}) {
    *rate = {1e9, 1e9};
  }
  rates.scoreSeconds = 0;
  rates.elementwise = 1e9;
  rates.memory = 1e9;
  rates.cache = 1e12;
  rates.scattered = 1e9;
  rates.cacheBytes = 0;
  rates.coreCacheBytes = 0;
  rates.threads = 1;
  rates.launchSeconds = 0;
  rates.handOverSeconds = 0;
  rates.link = 1e9;
  rates.linkSeconds = 0;
  rates.computeWhileCopying = 1;
  return rates;
}

} // namespace

//===----------------------------------------------------------------------===//
// Work
//===----------------------------------------------------------------------===//

TEST(Work, LinearCountsWholePanels) {
  // 100 outputs are two panels of 64: 128 * 32 weights of two bytes.
  Work work = workOf(
      {KernelId::Linear,
       {read({2, 3, 32}), panels(100, 32, DType::F16), written({2, 3, 100})},
       {},
       {0, 0}});
  EXPECT_EQ(work.kind, WorkKind::Product);
  EXPECT_EQ(work.element, DType::F16);
  EXPECT_EQ(work.rows, 6);
  EXPECT_EQ(work.operations, 2.0 * 6 * 128 * 32);
  EXPECT_EQ(work.coldBytes, 128 * 32 * 2);
  EXPECT_EQ(work.warmBytes, (6 * 32 + 6 * 100) * 4);
  EXPECT_EQ(work.tasks, 2);
}

TEST(Work, APieceOfAProductWritesItsColumnsOnly) {
  // Outputs 64 to 127 of 640.
  Work work = workOf({KernelId::Linear,
                      {read({2, 32}), panels(64, 32, DType::F32),
                       operand(BufferKind::Activation, DType::F32, {2, 640},
                               Access::ReadWrite)},
                      {},
                      {0, 0, 64}});
  EXPECT_EQ(work.operations, 2.0 * 2 * 64 * 32);
  EXPECT_EQ(work.warmBytes, (2 * 32 + 2 * 64) * 4);
}

TEST(Work, QuantizedLinearReadsCodesNotFloats) {
  // 64 x 64 codes of 4 bits: 2048 bytes; 64 x 2 scales of f16: 256.
  Work work = workOf(
      {KernelId::LinearQuant,
       {read({1, 64}), operand(BufferKind::Weight, DType::U8, {64, 32}),
        operand(BufferKind::Weight, DType::F16, {64, 2}), written({1, 64})},
       {},
       {64, 64, 4, 32, 0, 0, 0, 0, 8}});
  EXPECT_EQ(work.element, DType::I4);
  EXPECT_EQ(work.operations, 2.0 * 64 * 64);
  EXPECT_EQ(work.coldBytes, 2048 + 256);
}

TEST(Work, GatherReadsThePickedRowsOnly) {
  Work work = workOf(
      {KernelId::Gather,
       {operand(BufferKind::Weight, DType::F16, {32000, 64}),
        operand(BufferKind::Input, DType::I64, {1, 3}), written({1, 3, 64})},
       {},
       {0}});
  EXPECT_EQ(work.coldBytes, 3 * 64 * 2);
  EXPECT_EQ(work.warmBytes, 3 * 8 + 3 * 64 * 4);
}

TEST(Work, StatesCountTokensNotCapacity) {
  OperandNumbers state =
      operand(BufferKind::State, DType::F32, {1, 4, 2048, 8});
  state.access = Access::ReadWrite;
  Work append =
      workOf({KernelId::KvAppend, {read({1, 4, 3, 8}), state}, {100}, {64, 2}});
  EXPECT_EQ(append.coldBytes, 4 * 3 * 8 * 4);
  Work dense = workOf(
      {KernelId::KvRead, {state, written({1, 4, 103, 8})}, {103}, {64, 2}});
  EXPECT_EQ(dense.coldBytes, 4 * 103 * 8 * 4);
}

/// 8 query heads on 2 key heads of 16 features, `queries` after `past`.
static Work attentionWork(int64_t queries, int64_t past, int64_t causal,
                          int64_t window) {
  OperandNumbers state =
      operand(BufferKind::State, DType::F32, {1, 2, 1024, 16});
  return workOf(
      {KernelId::Attention,
       {read({1, 8, queries, 16}), state, state, written({1, 8, queries, 16})},
       {past + queries},
       {0, 1, causal, window, 0, 0, 64}});
}

TEST(Work, AttentionOfOneTokenSeesThePast) {
  Work work = attentionWork(1, 99, 1, 0);
  EXPECT_EQ(work.scores, 8 * 128); // chunks of 64
  EXPECT_EQ(work.operations, 8.0 * 100 * 2 * (16 + 16));
  EXPECT_EQ(work.coldBytes, 2.0 * 100 * (16 + 16) * 4); // each head's once
  EXPECT_EQ(work.rows, 4);                              // GQA shares the keys
}

TEST(Work, CausalAttentionOfAChunkIsATriangle) {
  // Rows of a chunk of 4 after 10 see 11, 12, 13, 14 keys.
  EXPECT_EQ(attentionWork(4, 10, 1, 0).operations,
            8.0 * (11 + 12 + 13 + 14) * 2 * (16 + 16));
  EXPECT_EQ(attentionWork(4, 10, 0, 0).operations,
            8.0 * 4 * 14 * 2 * (16 + 16));
  // Rows that see 63, 64, 65 and 66 keys weigh one chunk or two.
  EXPECT_EQ(attentionWork(4, 62, 1, 0).scores, 8 * (64 + 64 + 128 + 128));
}

TEST(Work, AWindowBoundsWhatIsRead) {
  // Rows see 5 keys each; from key 10 - 4 = 6 to 13 there are 8.
  Work work = attentionWork(4, 10, 1, 5);
  EXPECT_EQ(work.operations, 8.0 * 4 * 5 * 2 * (16 + 16));
  EXPECT_EQ(work.coldBytes, 2.0 * 8 * (16 + 16) * 4);
}

TEST(Work, SlicesOfOneStateCostWhatStatesOfTheirOwnDo) {
  OperandNumbers state =
      operand(BufferKind::State, DType::F32, {2, 1, 2, 1024, 16});
  Work work =
      workOf({KernelId::Attention,
              {read({1, 8, 1, 16}), state, state, written({1, 8, 1, 16})},
              {100},
              {0, 1, 1, 0, 0, 0, 64, 2, 0, 1}});
  Work apart = attentionWork(1, 99, 1, 0);
  EXPECT_EQ(work.operations, apart.operations);
  EXPECT_EQ(work.coldBytes, apart.coldBytes);
  EXPECT_EQ(work.rows, apart.rows);
}

TEST(Work, ConvolutionCountsTheKernelPerOutput) {
  // 3 x 3 kernels over 8 channels, 16 outputs of 10 x 10.
  Work work = workOf({KernelId::Conv,
                      {read({1, 8, 12, 12}),
                       operand(BufferKind::Weight, DType::F32, {16, 8, 3, 3}),
                       written({1, 16, 10, 10})},
                      {},
                      {2, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0}});
  EXPECT_EQ(work.operations, 2.0 * 16 * 10 * 10 * 8 * 3 * 3);
}

TEST(Work, PointwiseWeighsItsInstructions) {
  // x * sigmoid(x): two inputs loaded, 8 for the sigmoid, 1 for the product.
  Work work = workOf({KernelId::Pointwise,
                      {read({10}), read({10}), written({10})},
                      {},
                      {2, 2, int64_t(plan::PointwiseOp::Sigmoid), 0, 0, 0, 0,
                       int64_t(plan::PointwiseOp::Mul), 0, 1, 2, 0}});
  EXPECT_EQ(work.operations, 10 * (2 + 8 + 1));
  EXPECT_EQ(work.warmBytes, 3 * 10 * 4);
}

TEST(Work, AScatterInPlaceWritesItsUpdatesOnly) {
  LaunchNumbers launch{KernelId::ScatterND,
                       {read({1000}),
                        operand(BufferKind::Activation, DType::I64, {5, 1}),
                        read({5}), written({1000})},
                       {},
                       {0}};
  EXPECT_EQ(workOf(launch).warmBytes, 2 * 1000 * 4 + 5 * 8 + 2 * 5 * 4);
  launch.operands[3].buffer = launch.operands[0].buffer;
  EXPECT_EQ(workOf(launch).warmBytes, 5 * 8 + 2 * 5 * 4);
}

TEST(Work, StridedCopyMovesItsExtents) {
  // A slice of 2 x 8 out of 4 x 8.
  Work work = workOf({KernelId::StridedCopy,
                      {read({4, 8}), written({2, 8})},
                      {0, 0, 2, 8, 8, 1, 8, 1},
                      {2}});
  EXPECT_EQ(work.warmBytes, 2 * (2 * 8 * 4));
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

TEST(Rates, ComputeOrMemoryWhicheverIsLonger) {
  Work work;
  work.kind = WorkKind::Product;
  work.operations = 3e6; // 3 ms
  work.coldBytes = 1e6;  // 1 ms
  LaunchTime time = timeOf(work, 1e6, plainRates());
  EXPECT_NEAR(time.seconds, 3e-3, 1e-12);
  EXPECT_EQ(time.bound, Bound::Compute);
  work.coldBytes = 5e6;
  time = timeOf(work, 5e6, plainRates());
  EXPECT_NEAR(time.seconds, 5e-3, 1e-12);
  EXPECT_EQ(time.bound, Bound::Memory);
}

TEST(Rates, AWorkingSetInCacheIsReadFaster) {
  Rates rates = plainRates();
  rates.cacheBytes = 1000000;
  rates.cache = 10e9;
  Work work;
  work.coldBytes = 500000;
  // All in cache, half of it, nothing.
  EXPECT_NEAR(timeOf(work, 1.0e6, rates).seconds, 50e-6, 1e-12);
  EXPECT_NEAR(timeOf(work, 1.5e6, rates).seconds, 25e-6 + 250e-6, 1e-12);
  EXPECT_NEAR(timeOf(work, 2.0e6, rates).seconds, 500e-6, 1e-12);
}

TEST(Rates, ActivationsStayNearUnlessTheyAreLarge) {
  Rates rates = plainRates();
  rates.cacheBytes = 1000000;
  rates.coreCacheBytes = 10000;
  rates.cache = 10e9;
  Work work;
  work.warmBytes = 10000; // 1 us near, 10 us far
  EXPECT_NEAR(timeOf(work, 5e6, rates).seconds, 1e-6, 1e-12);
  work.warmBytes = 20000; // 2 us near, 20 us far
  EXPECT_NEAR(timeOf(work, 5e6, rates).seconds, 20e-6, 1e-12);
  EXPECT_NEAR(timeOf(work, 1e6, rates).seconds, 2e-6, 1e-12);
}

TEST(Rates, AttentionReadsItsStateInPieces) {
  Rates rates = plainRates();
  rates.scattered = 0.25e9;
  Work work;
  work.kind = WorkKind::Attention;
  work.coldBytes = 1000;
  EXPECT_NEAR(timeOf(work, 1000, rates).seconds, 4e-6, 1e-12);
  work.scores = 5000; // 5 us at 1 ns each
  rates.scoreSeconds = 1e-9;
  EXPECT_NEAR(timeOf(work, 1000, rates).seconds, 5e-6, 1e-12);
}

TEST(Rates, ShortWorkStaysOnOneThread) {
  Rates rates = plainRates();
  rates.threads = 4;
  rates.shareFromSeconds = 10e-6;
  rates.handOverSeconds = 1e-6;
  Work work;
  work.kind = WorkKind::Elementwise;
  work.operations = 2000; // 2 us of four threads, 8 us of one
  EXPECT_NEAR(timeOf(work, 0, rates).seconds, 8e-6, 1e-12);
  work.operations = 4000; // 4 us of four threads, 16 us of one
  EXPECT_NEAR(timeOf(work, 0, rates).seconds, 5e-6, 1e-12);
  // Five pieces on four threads: one thread has two of them.
  work.tasks = 5;
  EXPECT_NEAR(timeOf(work, 0, rates).seconds, 1e-6 + 4e-6 * 2 * 4 / 5, 1e-12);
  // One piece is no faster than one thread.
  work.tasks = 1;
  EXPECT_NEAR(timeOf(work, 0, rates).seconds, 1e-6 + 16e-6, 1e-12);
}

TEST(Rates, RowsShareTheLoadOfAWeight) {
  // One row: 2 operations at 0.5/s, 4 s per weight; many: 1 s per row. So the
  // load takes 3 s, and 4 rows 7 s for 8 operations.
  ProductRate rate{0.5, 2};
  EXPECT_NEAR(rate.seconds(2, 1), 4, 1e-9);
  EXPECT_NEAR(rate.seconds(8, 4), 7, 1e-9);
}

TEST(Rates, OverheadBindsTinyLaunches) {
  Rates rates = plainRates();
  rates.launchSeconds = 1e-6;
  Work work;
  work.coldBytes = 100;
  LaunchTime time = timeOf(work, 100, rates);
  EXPECT_NEAR(time.seconds, 1.1e-6, 1e-12);
  EXPECT_EQ(time.bound, Bound::Overhead);
}

TEST(Rates, CopiesPayLatencyAndBytes) {
  Rates rates = plainRates();
  rates.linkSeconds = 1e-3;
  rates.copySeconds = 0;
  rates.cachedFileBytes = 5000;
  rates.smallCopyBytes = 100;
  rates.cachedLink = 10e9;
  rates.cachedLinkSeconds = 1e-6;
  EXPECT_NEAR(copySeconds(2000, 1000000, rates), 1e-3 + 2e-6, 1e-12);
  // A small file, and a small piece of a large one, are in the page cache.
  EXPECT_NEAR(copySeconds(2000, 5000, rates), 1e-6 + 0.2e-6, 1e-12);
  EXPECT_NEAR(copySeconds(99, 1000000, rates), 1e-6 + 9.9e-9, 1e-12);
}

TEST(HardwareRates, TheProfileSaysWhatItSays) {
  plan::HardwareProfile profile;
  profile.name = "bench";
  plan::HostHardware &host = profile.host.emplace();
  host.threads = 8;
  host.memory = {100e9, 50e9, 40e9};
  // One row of f32: 22e9 / 2 * 4 = 44 GB/s, not near what memory gives.
  // One row of bf16: 48e9 / 2 * 2 = 48 GB/s, neither.
  host.compute["f32"] = {22e9, 800e9};
  host.compute["int8"] = {20e9, std::nullopt};
  profile.disk.emplace().bytesPerSecond = 10e9;
  profile.disk->latencySeconds = 1e-4;
  Result<Rates> rates = ratesOf(profile, "cpu");
  ASSERT_TRUE(rates) << rates.error().message;
  EXPECT_EQ(rates->threads, 8u);
  EXPECT_EQ(rates->memory, 100e9);
  EXPECT_EQ(rates->f32.oneRow, 22e9);
  EXPECT_EQ(rates->f32.manyRows, 800e9);
  EXPECT_EQ(rates->int8.oneRow, 20e9);
  EXPECT_EQ(rates->link, 10e9);
  EXPECT_EQ(rates->linkSeconds, 1e-4);
  EXPECT_NEAR(rates->computeWhileCopying, 0.9, 1e-12);
  // The best of many ways is not what every transfer gets.
  profile.disk->ways = {{"direct", true, 1, 2 << 20, 10e9},
                        {"uring", true, 16, 2 << 20, 9e9}};
  EXPECT_EQ(ratesOf(profile, "cpu")->link, 9e9);
  // What it does not speak of is in proportion to the products.
  Rates reference;
  EXPECT_NEAR(rates->int8.manyRows / reference.int8.manyRows,
              800e9 / reference.f32.manyRows, 1e-9);
}

TEST(HardwareRates, OneRowBoundByMemorySaysWhatMemoryGives) {
  plan::HardwareProfile profile;
  plan::HostHardware &host = profile.host.emplace();
  host.threads = 2;
  host.memory = {50e9, 25e9, 20e9};
  host.compute["f32"] = {20e9, 200e9}; // 40 GB/s
  Result<Rates> rates = ratesOf(profile, "cpu");
  ASSERT_TRUE(rates);
  EXPECT_NEAR(rates->memory, 40e9, 1);
  EXPECT_GT(rates->f32.oneRow, 20e9); // in cache it is faster
}

TEST(HardwareRates, GpusComeFromTheirDataSheets) {
  plan::HardwareProfile profile;
  profile.name = "card";
  plan::GpuHardware gpu;
  gpu.memoryBytesPerSecond = 1e12;
  gpu.linkBytesPerSecond = 30e9;
  gpu.flops = {{"f32", 10e12}, {"f16", 100e12}};
  profile.gpus.push_back(gpu);
  Result<Rates> rates = ratesOf(profile, "cuda");
  ASSERT_TRUE(rates);
  EXPECT_EQ(rates->threads, 1u);
  EXPECT_LT(rates->memory, 1e12);
  EXPECT_LT(rates->link, 30e9);
  EXPECT_NEAR(rates->f16.manyRows, 10 * rates->f32.manyRows, 1e3);
  Result<Rates> none = ratesOf(profile, "cpu");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("'card' describes no processor"),
            std::string::npos);
}

//===----------------------------------------------------------------------===//
// Two streams
//===----------------------------------------------------------------------===//

using Stream = SimulatedStep::Stream;

/// Three launches, each with a copy that it waits for. Copies are ahead of
/// compute as far as the slots allow: copy i starts when launch i - slots is
/// through.
static std::vector<SimulatedStep> pipeline(double copy, double launch,
                                           uint32_t slots) {
  constexpr uint32_t n = 3;
  std::vector<SimulatedStep> steps;
  for (uint32_t i = 0; i < n; ++i) {
    if (i >= slots) {
      steps.push_back(SimulatedStep::wait(Stream::Copy, n + i - slots));
    }
    steps.push_back(SimulatedStep::work(Stream::Copy, copy));
    steps.push_back(SimulatedStep::signal(Stream::Copy, i));
  }
  for (uint32_t i = 0; i < n; ++i) {
    steps.push_back(SimulatedStep::wait(Stream::Compute, i));
    steps.push_back(SimulatedStep::work(Stream::Compute, launch));
    steps.push_back(SimulatedStep::signal(Stream::Compute, n + i));
  }
  return steps;
}

TEST(StreamSimulation, BoundByCopies) {
  // Copies end at 5, 10, 15; the last launch runs from 15 to 17.
  std::optional<SimulatedRun> run = simulate(pipeline(5, 2, 3));
  ASSERT_TRUE(run);
  EXPECT_NEAR(run->seconds, 17, 1e-9);
  EXPECT_NEAR(run->linkSeconds, 15, 1e-9);
  EXPECT_NEAR(run->computeSeconds, 6, 1e-9);
  EXPECT_NEAR(run->stallSeconds, 11, 1e-9); // 5, then 3 and 3
}

TEST(StreamSimulation, BoundByCompute) {
  // Only the first copy is waited for: 2 + 3 * 5.
  std::optional<SimulatedRun> run = simulate(pipeline(2, 5, 3));
  ASSERT_TRUE(run);
  EXPECT_NEAR(run->seconds, 17, 1e-9);
  EXPECT_NEAR(run->linkSeconds, 6, 1e-9);
  EXPECT_NEAR(run->stallSeconds, 2, 1e-9);
}

TEST(StreamSimulation, OneSlotIsSerial) {
  // Copy, launch, copy, launch, ...: 3 * (5 + 2).
  std::optional<SimulatedRun> run = simulate(pipeline(5, 2, 1));
  ASSERT_TRUE(run);
  EXPECT_NEAR(run->seconds, 21, 1e-9);
  EXPECT_NEAR(run->stallSeconds, 15, 1e-9);
}

TEST(StreamSimulation, CopiesSlowComputeWhileTheyRun) {
  // Beside the copy of 4 s half of the launch's 6 s is done at speed 1/2: 2;
  // the other 4 take 4.
  std::vector<SimulatedStep> steps = {SimulatedStep::work(Stream::Copy, 4),
                                      SimulatedStep::work(Stream::Compute, 6)};
  std::optional<SimulatedRun> run = simulate(steps, 0.5);
  ASSERT_TRUE(run);
  EXPECT_NEAR(run->seconds, 8, 1e-9);
  EXPECT_NEAR(run->computeSeconds, 8, 1e-9);
}

TEST(StreamSimulation, OnlyACopyThatFindsTheLinkIdlePaysLatency) {
  using Stream = SimulatedStep::Stream;
  // Two copies at once, then one that waits for 10 seconds of compute.
  std::vector<SimulatedStep> steps = {
      SimulatedStep::work(Stream::Copy, 2, 0.5),
      SimulatedStep::work(Stream::Copy, 2, 0.5),
      SimulatedStep::work(Stream::Compute, 10),
      SimulatedStep::signal(Stream::Compute, 0),
      SimulatedStep::wait(Stream::Copy, 0),
      SimulatedStep::work(Stream::Copy, 2, 0.5),
  };
  std::optional<SimulatedRun> run = simulate(steps);
  ASSERT_TRUE(run);
  EXPECT_DOUBLE_EQ(run->linkSeconds, 0.5 + 2 + 2 + 0.5 + 2);
  EXPECT_DOUBLE_EQ(run->seconds, 10 + 0.5 + 2);
}

TEST(StreamSimulation, TheEndWaitsForBothStreams) {
  std::vector<SimulatedStep> steps = {SimulatedStep::work(Stream::Copy, 4),
                                      SimulatedStep::work(Stream::Compute, 1)};
  std::optional<SimulatedRun> run = simulate(steps);
  ASSERT_TRUE(run);
  EXPECT_NEAR(run->seconds, 4, 1e-9);
  EXPECT_NEAR(run->stallSeconds, 3, 1e-9);
  EXPECT_EQ(simulate({})->seconds, 0);
}

TEST(StreamSimulation, ADeadlockIsReported) {
  EXPECT_FALSE(simulate({SimulatedStep::wait(Stream::Compute, 0),
                         SimulatedStep::signal(Stream::Compute, 0)}));
  EXPECT_FALSE(simulate({SimulatedStep::wait(Stream::Compute, 0),
                         SimulatedStep::signal(Stream::Compute, 1),
                         SimulatedStep::wait(Stream::Copy, 1),
                         SimulatedStep::signal(Stream::Copy, 0)}));
}
