//===- kernels_parts.cpp - Attention and appends in parts -----------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A state may be cut into windows of blocks. What is computed window by window
// has the bits that the whole gives, and no token that is not there is read.
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;

namespace {

struct Shape {
  int64_t batch, heads, kvHeads, queries, tokens, depth, depthV;
  int64_t block;
  bool rowsFirst, causal;
  int64_t window;
  double softcap;
  bool bias, sinks;
  DType type;

  std::string text() const {
    std::string out;
    for (int64_t value :
         {batch, heads, kvHeads, queries, tokens, depth, depthV, block,
          int64_t(rowsFirst), int64_t(causal), window, int64_t(softcap),
          int64_t(bias), int64_t(sinks), int64_t(type)}) {
      out += std::to_string(value) + " ";
    }
    return out;
  }
};

/// A state of `tokens` random tokens; beyond them NaN.
Data makeState(Random &random, const Shape &s, int64_t depth,
               int64_t capacity) {
  int64_t heads = s.batch * s.kvHeads;
  Data state(s.type, {capacity / s.block, heads, s.block, depth},
             Values(capacity * heads * depth, NAN));
  Values values = random.reals(s.tokens * heads * depth, -2, 2);
  size_t next = 0;
  for (int64_t t = 0; t < s.tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t d = 0; d < depth; ++d) {
        state.set(((t / s.block * heads + h) * s.block + t % s.block) * depth +
                      d,
                  values[next++]);
      }
    }
  }
  state.dims = {s.batch, s.kvHeads, capacity, depth};
  return state;
}

/// Tokens [first, first + count) of a state.
Data windowOf(Data &state, int64_t first, int64_t count) {
  Data window(state.dtype,
              {state.dims[0], state.dims[1], count, state.dims[3]});
  size_t perToken = window.bytes / static_cast<size_t>(count);
  std::memcpy(window.raw(), state.raw() + static_cast<size_t>(first) * perToken,
              window.bytes);
  return window;
}

void expectSameInParts(const Shape &s, const std::vector<int64_t> &cuts,
                       unsigned seed) {
  Random random(seed);
  int64_t capacity = cuts.back();
  Data k = makeState(random, s, s.depth, capacity);
  Data v = makeState(random, s, s.depthV, capacity);
  Dims dims = s.rowsFirst ? Dims{s.batch, s.queries, s.heads, s.depth}
                          : Dims{s.batch, s.heads, s.queries, s.depth};
  Data q = random.tensor(DType::F32, dims, -2, 2);
  dims[3] = s.depthV;
  Data whole(DType::F32, dims), out(DType::F32, dims);
  dims[3] += 2;
  Data carry(DType::F32, dims);
  Data bias = random.tensor(DType::F32, {s.heads, s.queries, s.tokens}, -3, 3);
  Data sinks = random.tensor(DType::F32, {s.heads}, -1, 4);
  std::vector<Data *> rest;
  if (s.bias) {
    rest.push_back(&bias);
  }
  if (s.sinks) {
    rest.push_back(&sinks);
  }
  Call call{{s.tokens},
            {s.rowsFirst, 1, s.causal, s.window, s.bias, s.sinks, s.block},
            {0.3, s.softcap}};
  std::vector<Data *> operands = {&q, &k, &v};
  operands.insert(operands.end(), rest.begin(), rest.end());
  operands.push_back(&whole);
  ASSERT_LAUNCH(KernelId::Attention, operands, call, 2);

  call.ints.resize(13);
  int64_t first = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    Data kPart = windowOf(k, first, cuts[i] - first);
    Data vPart = windowOf(v, first, cuts[i] - first);
    bool isLast = i + 1 == cuts.size();
    call.ints[10] = first;
    call.ints[11] = i == 0;
    call.ints[12] = isLast;
    operands = {&q, &kPart, &vPart};
    operands.insert(operands.end(), rest.begin(), rest.end());
    operands.push_back(&carry);
    if (isLast) {
      operands.push_back(&out);
    }
    // Another number of threads cuts the rows differently.
    ASSERT_LAUNCH(KernelId::Attention, operands, call, 1 + int(i % 3));
    first = cuts[i];
  }
  EXPECT_EQ(out.contents(), whole.contents()) << s.text();
}

} // namespace

TEST(AttentionParts, GiveTheBitsOfTheWhole) {
  forEachIsa([&] {
    unsigned seed = 1;
    for (DType type : {DType::F32, DType::F16, DType::BF16}) {
      for (int64_t queries : {1, 7, 33}) {
        for (int64_t tokens : {40, 64, 65, 128, 200, 256}) {
          for (int64_t window : {0, 30, 100}) {
            for (int option = 0; option < 4; ++option) {
              if (queries > tokens) {
                continue;
              }
              Shape s{.batch = 1 + option % 2,
                      .heads = 6,
                      .kvHeads = option == 1   ? 6
                                 : option == 2 ? 1
                                               : 2,
                      .queries = queries,
                      .tokens = tokens,
                      .depth = option == 3 ? 20 : 16,
                      .depthV = option == 3 ? 12 : 16,
                      .block = option == 0 ? 16 : 64,
                      .rowsFirst = option != 2,
                      .causal = option != 1,
                      .window = window,
                      .softcap = option == 2 ? 5.0 : 0.0,
                      .bias = option == 1 || option == 3,
                      .sinks = option == 2,
                      .type = type};
              expectSameInParts(s, {64, 128, 192, 256}, seed++);
              expectSameInParts(s, {128, 320}, seed++);
              expectSameInParts(s, {192, 256, 448}, seed++);
            }
          }
        }
      }
    }
  });
}

// Keys and values in one state: [2, B, H, tokens, D] per block.
TEST(AttentionParts, OfSlicesGiveTheBitsOfTheWhole) {
  Random random(3);
  const int64_t heads = 3, block = 64, depth = 16, tokens = 170;
  Data pair = random.tensor(DType::F32, {4, 2, heads, block, depth}, -2, 2);
  pair.dims = {2, 1, heads, 4 * block, depth};
  Data q = random.tensor(DType::F32, {1, 5, heads, depth}, -2, 2);
  Data whole(DType::F32, q.dims), out(DType::F32, q.dims);
  Data carry(DType::F32, {1, 5, heads, depth + 2});
  Call call{{tokens}, {1, 1, 1, 0, 0, 0, block, 2, 1, 0}, {0.25, 0}};
  ASSERT_LAUNCH(KernelId::Attention, {&q, &pair, &pair, &whole}, call, 2);
  call.ints.resize(13);
  for (int64_t first = 0; first < 4 * block; first += 2 * block) {
    Data part(DType::F32, {2, 1, heads, 2 * block, depth});
    std::memcpy(part.raw(),
                pair.raw() +
                    static_cast<size_t>(first / block) * (part.bytes / 2),
                part.bytes);
    call.ints[10] = first;
    call.ints[11] = first == 0;
    call.ints[12] = first != 0;
    std::vector<Data *> operands = {&q, &part, &part, &carry};
    if (first != 0) {
      operands.push_back(&out);
    }
    ASSERT_LAUNCH(KernelId::Attention, operands, call, 2);
  }
  EXPECT_EQ(out.contents(), whole.contents());
}

TEST(AttentionParts, RefusesWrongParts) {
  Random random(1);
  Data q = random.tensor(DType::F32, {1, 1, 2, 8});
  Data k = random.tensor(DType::F32, {1, 2, 64, 8});
  Data out(DType::F32, {1, 1, 2, 8});
  auto run = [&](std::vector<int64_t> part, const Dims &carryDims,
                 int64_t fromState = 1, int64_t tokens = 64) {
    Data window = random.tensor(DType::F32, {1, 2, tokens, 8});
    Data carry(DType::F32, carryDims);
    Call call{{10}, {1, fromState, 1, 0, 0, 0, 64, 0, 0, 0}, {1, 0}};
    call.ints.insert(call.ints.end(), part.begin(), part.end());
    return launch(KernelId::Attention, {&q, &window, &window, &carry, &out},
                  call);
  };
  EXPECT_EQ(run({64, 0, 1}, {1, 1, 2, 10}), nullptr);
  EXPECT_NE(run({64, 0, 1}, {1, 1, 2, 9}), nullptr);
  EXPECT_NE(run({32, 0, 1}, {1, 1, 2, 10}), nullptr);
  EXPECT_NE(run({-64, 0, 1}, {1, 1, 2, 10}), nullptr);
  EXPECT_NE(run({64, 1, 1}, {1, 1, 2, 10}), nullptr);
  EXPECT_NE(run({64, 0, 1}, {1, 1, 2, 10}, 0), nullptr);
  EXPECT_NE(run({64, 0, 1}, {1, 1, 2, 10}, 1, 32), nullptr);
}

// Whatever is appended where, the windows together hold what the state holds.
TEST(KvAppendParts, WriteWhatFallsIntoTheirWindow) {
  const int64_t block = 4, outer = 3, inner = 5, capacity = 24;
  for (DType type : {DType::F32, DType::F16}) {
    for (int64_t position = 0; position <= capacity; ++position) {
      for (int64_t count = 0; count <= capacity - position; count += 3) {
        Random random(static_cast<unsigned>(position * 100 + count));
        Data before =
            random.tensor(type, {capacity / block, outer, block, inner});
        before.dims = {outer, capacity, inner};
        Data whole = before;
        Data fresh = random.tensor(DType::F32, {outer, count, inner});
        ASSERT_LAUNCH(KernelId::KvAppend, {&fresh, &whole},
                      {{position}, {block, 1}, {}}, 2);
        int64_t first = 0;
        for (int64_t end : {8, 12, 24}) {
          Data window(type, {outer, end - first, inner});
          size_t bytes = window.bytes;
          size_t from = bytes / static_cast<size_t>(end - first) *
                        static_cast<size_t>(first);
          std::memcpy(window.raw(), before.raw() + from, bytes);
          ASSERT_LAUNCH(KernelId::KvAppend, {&fresh, &window},
                        {{position}, {block, 1, first}, {}}, 3);
          EXPECT_EQ(std::memcmp(window.raw(), whole.raw() + from, bytes), 0)
              << position << " + " << count << " in [" << first << ", " << end
              << ")";
          first = end;
        }
      }
    }
  }
  Data fresh(DType::F32, {3, 1, 5}), window(DType::F32, {3, 8, 5});
  EXPECT_NE(launch(KernelId::KvAppend, {&fresh, &window}, {{0}, {4, 1, 2}, {}}),
            nullptr);
}
