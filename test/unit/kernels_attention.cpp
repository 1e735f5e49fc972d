//===- kernels_attention.cpp - Tests of attention, state and RoPE ---------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "kernels_support.h"

using namespace llmc::kernels;
using namespace llmc::kernels::testing;

namespace {

struct Shape {
  int64_t batch = 1, heads = 2, kvHeads = 2, queries = 1, tokens = 1;
  int64_t depth = 8, depthV = 8;
  bool rowsFirst = false;
  bool causal = true;
  int64_t window = 0;
  double softcap = 0;
  DType type = DType::F32; // of k and v
  Dims bias = {};          // empty: none
  bool sinks = false;
  int64_t block = 0; // tokens; 0: dense k and v
  int64_t capacity = 0;
  // Limited, see KernelId.h. ringBlocks 0: all blocks have places.
  bool limited = false;
  int64_t sinkTokens = 0, sinkBlocks = 0, ringBlocks = 0;
};

/// Dense [B, H, T, D] values into a state's blocks; what is not there yet is
/// NaN.
Data toState(DType type, const Values &dense, int64_t batch, int64_t heads,
             int64_t tokens, int64_t depth, int64_t capacity, int64_t block) {
  int64_t blocks = (capacity + block - 1) / block;
  Data storage(type, {blocks * batch * heads * block * depth},
               Values(blocks * batch * heads * block * depth, NAN));
  for (int64_t bh = 0; bh < batch * heads; ++bh) {
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t d = 0; d < depth; ++d) {
        int64_t at =
            ((t / block * batch * heads + bh) * block + t % block) * depth + d;
        storage.set(at, dense[(bh * tokens + t) * depth + d]);
      }
    }
  }
  storage.dims = {batch, heads, capacity, depth};
  return storage;
}

/// The same into sinkBlocks blocks and a ring: later tokens over earlier ones.
Data toRing(const Shape &s, const Values &dense, int64_t depth) {
  int64_t places = s.sinkBlocks + s.ringBlocks;
  int64_t pairs = s.batch * s.kvHeads;
  Data storage(s.type, {places * pairs * s.block * depth},
               Values(places * pairs * s.block * depth, NAN));
  for (int64_t bh = 0; bh < pairs; ++bh) {
    for (int64_t t = 0; t < s.tokens; ++t) {
      int64_t block = t / s.block;
      if (block >= s.sinkBlocks) {
        block = s.sinkBlocks + (block - s.sinkBlocks) % s.ringBlocks;
      }
      for (int64_t d = 0; d < depth; ++d) {
        int64_t at = ((block * pairs + bh) * s.block + t % s.block) * depth + d;
        storage.set(at, dense[(bh * s.tokens + t) * depth + d]);
      }
    }
  }
  storage.dims = {s.batch, s.kvHeads, places * s.block, depth};
  return storage;
}

struct Case {
  Shape s;
  Data q, k, v, bias, sinks, out;
  Values kDense, vDense;
  double scale;

  Case(const Shape &s, unsigned seed)
      : s(s), q(DType::F32, {}), k(s.type, {}), v(s.type, {}),
        bias(DType::F32, {}), sinks(DType::F32, {}), out(DType::F32, {}) {
    Random random(seed);
    Dims qDims = s.rowsFirst ? Dims{s.batch, s.queries, s.heads, s.depth}
                             : Dims{s.batch, s.heads, s.queries, s.depth};
    q = random.tensor(DType::F32, qDims, -2, 2);
    qDims[3] = s.depthV;
    out = Data(DType::F32, qDims);
    Dims kDims = {s.batch, s.kvHeads, s.tokens, s.depth};
    Dims vDims = {s.batch, s.kvHeads, s.tokens, s.depthV};
    k = random.tensor(s.type, kDims, -2, 2);
    v = random.tensor(s.type, vDims, -2, 2);
    kDense = k.decode();
    vDense = v.decode();
    if (s.ringBlocks) {
      k = toRing(s, kDense, s.depth);
      v = toRing(s, vDense, s.depthV);
    } else if (s.block) {
      k = toState(s.type, kDense, s.batch, s.kvHeads, s.tokens, s.depth,
                  s.capacity, s.block);
      v = toState(s.type, vDense, s.batch, s.kvHeads, s.tokens, s.depthV,
                  s.capacity, s.block);
    }
    if (!s.bias.empty()) {
      bias = random.tensor(DType::F32, s.bias, -3, 3);
    }
    sinks = random.tensor(DType::F32, {s.heads}, -1, 4);
    scale = 1 / std::sqrt(static_cast<double>(s.depth));
  }

  Status run(int threads = 1) {
    std::vector<Data *> operands = {&q, &k, &v};
    if (!s.bias.empty()) {
      operands.push_back(&bias);
    }
    if (s.sinks) {
      operands.push_back(&sinks);
    }
    operands.push_back(&out);
    std::vector<int64_t> ints = {s.rowsFirst, s.block != 0,    s.causal,
                                 s.window,    !s.bias.empty(), s.sinks,
                                 s.block};
    if (s.limited) {
      ints.insert(ints.end(), {0, 0, 0, s.sinkTokens, s.sinkBlocks});
    }
    return launch(KernelId::Attention, operands,
                  {{s.tokens}, ints, {scale, s.softcap}}, threads);
  }

  int64_t rowOf(int64_t b, int64_t h, int64_t i) const {
    return s.rowsFirst ? (b * s.queries + i) * s.heads + h
                       : (b * s.heads + h) * s.queries + i;
  }

  Values reference() {
    Values result(product(out.dims));
    Values qs = q.decode();
    auto biasAt = [&](int64_t b, int64_t h, int64_t i, int64_t j) {
      if (s.bias.empty()) {
        return 0.0;
      }
      const int64_t index[4] = {b, h, i, j};
      int64_t at = 0;
      for (size_t d = 0; d < s.bias.size(); ++d) {
        int64_t position = index[4 - s.bias.size() + d];
        at = at * s.bias[d] + (s.bias[d] == 1 ? 0 : position);
      }
      return bias.get(at);
    };
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t h = 0; h < s.heads; ++h) {
        int64_t kv = b * s.kvHeads + h / (s.heads / s.kvHeads);
        for (int64_t i = 0; i < s.queries; ++i) {
          int64_t position = i + s.tokens - s.queries;
          Values scores;
          std::vector<int64_t> keys;
          double top = s.sinks ? sinks.get(h) : -INFINITY;
          for (int64_t j = 0; j < s.tokens; ++j) {
            if ((s.causal && j > position) ||
                (s.window > 0 && j <= position - s.window &&
                 j >= s.sinkTokens)) {
              continue;
            }
            double sum = 0;
            for (int64_t d = 0; d < s.depth; ++d) {
              sum += qs[rowOf(b, h, i) * s.depth + d] *
                     kDense[(kv * s.tokens + j) * s.depth + d];
            }
            sum *= scale;
            if (s.softcap > 0) {
              sum = s.softcap * std::tanh(sum / s.softcap);
            }
            sum += biasAt(b, h, i, j);
            scores.push_back(sum);
            keys.push_back(j);
            top = std::max(top, sum);
          }
          double total = s.sinks ? std::exp(sinks.get(h) - top) : 0;
          for (double score : scores) {
            total += std::exp(score - top);
          }
          for (int64_t d = 0; d < s.depthV; ++d) {
            double sum = 0;
            for (size_t n = 0; n < scores.size(); ++n) {
              sum += std::exp(scores[n] - top) *
                     vDense[(kv * s.tokens + keys[n]) * s.depthV + d];
            }
            result[rowOf(b, h, i) * s.depthV + d] =
                scores.empty() || top == -INFINITY ? 0 : sum / total;
          }
        }
      }
    }
    return result;
  }
};

} // namespace

TEST(Attention, MatchesReference) {
  std::vector<Shape> shapes;
  shapes.push_back({});
  shapes.push_back({.queries = 5, .tokens = 5});
  shapes.push_back({.queries = 5, .tokens = 5, .causal = false});
  shapes.push_back({.batch = 2,
                    .heads = 6,
                    .kvHeads = 2,
                    .queries = 70,
                    .tokens = 150,
                    .depth = 20,
                    .depthV = 13});
  shapes.push_back({.batch = 2,
                    .heads = 4,
                    .kvHeads = 1,
                    .queries = 3,
                    .tokens = 200,
                    .depth = 64,
                    .depthV = 64,
                    .rowsFirst = true,
                    .block = 16,
                    .capacity = 256});
  shapes.push_back({.heads = 4,
                    .kvHeads = 4,
                    .queries = 1,
                    .tokens = 130,
                    .depth = 128,
                    .depthV = 128,
                    .block = 64,
                    .capacity = 200});
  shapes.push_back({.heads = 8,
                    .kvHeads = 2,
                    .queries = 33,
                    .tokens = 77,
                    .depth = 32,
                    .depthV = 32,
                    .window = 10,
                    .type = DType::F16,
                    .block = 32,
                    .capacity = 96});
  shapes.push_back({.queries = 4,
                    .tokens = 90,
                    .window = 20,
                    .type = DType::BF16,
                    .block = 7,
                    .capacity = 91});
  shapes.push_back(
      {.heads = 4, .queries = 6, .tokens = 70, .softcap = 5, .sinks = true});
  shapes.push_back({.batch = 2,
                    .heads = 4,
                    .queries = 6,
                    .tokens = 70,
                    .causal = false,
                    .bias = {2, 1, 6, 70}});
  shapes.push_back({.batch = 2,
                    .heads = 4,
                    .queries = 6,
                    .tokens = 9,
                    .bias = {1, 4, 6, 9},
                    .sinks = true});
  shapes.push_back({.queries = 6, .tokens = 9, .bias = {6, 9}});
  shapes.push_back({.queries = 6, .tokens = 9, .bias = {2, 1, 1}});
  // More queries than tokens: the first rows see nothing.
  shapes.push_back({.queries = 6, .tokens = 4});
  shapes.push_back({.queries = 6, .tokens = 4, .sinks = true});
  shapes.push_back({.queries = 3, .tokens = 0, .causal = false});
  shapes.push_back({.queries = 0, .tokens = 4});
  shapes.push_back({.queries = 2, .tokens = 300, .depth = 3, .depthV = 1});
  forEachIsa([&] {
    for (size_t i = 0; i < shapes.size(); ++i) {
      Case c(shapes[i], static_cast<unsigned>(i));
      Status status = c.run(3);
      ASSERT_EQ(status, nullptr) << i << ": " << status;
      expectNear(c.out.decode(), c.reference(), 3e-6, 3e-6,
                 "shape " + std::to_string(i));
    }
  });
}

TEST(Attention, AllMaskedByBiasIsZeros) {
  forEachIsa([&] {
    Case c({.queries = 2, .tokens = 5, .causal = false, .bias = {2, 5}}, 1);
    for (int64_t j = 0; j < 5; ++j) {
      c.bias.set(j, -INFINITY);
    }
    ASSERT_EQ(c.run(), nullptr);
    Values want = c.reference();
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t d = 0; d < 8; ++d) {
        EXPECT_EQ(c.out.get(c.rowOf(0, h, 0) * 8 + d), 0);
      }
    }
    for (int64_t d = 0; d < 8; ++d) {
      EXPECT_NEAR(c.out.get(c.rowOf(0, 0, 1) * 8 + d),
                  want[c.rowOf(0, 0, 1) * 8 + d], 1e-6);
    }
  });
}

// A token's row has the same bits whether it comes alone or in a prompt, from
// one thread or three, from dense tensors or from blocks of any size.
TEST(Attention, RowsThreadsAndBlocksDoNotChangeBits) {
  forEachIsa([&] {
    for (int64_t window : {0, 30}) {
      for (bool sinks : {false, true}) {
        Shape shape{.heads = 6,
                    .kvHeads = 2,
                    .queries = 17,
                    .tokens = 140,
                    .depth = 40,
                    .depthV = 24,
                    .rowsFirst = true,
                    .window = window,
                    .sinks = sinks};
        Case whole(shape, 3);
        ASSERT_EQ(whole.run(1), nullptr);
        std::vector<std::byte> bits = whole.out.contents();
        ASSERT_EQ(whole.run(3), nullptr);
        EXPECT_EQ(whole.out.contents(), bits);
        for (int64_t block : {5, 16, 64, 128}) {
          Shape blocks = shape;
          blocks.block = block;
          blocks.capacity = 200;
          Case other(blocks, 3);
          ASSERT_EQ(other.run(3), nullptr);
          EXPECT_EQ(other.out.contents(), bits) << block;
        }
        for (int64_t i : {0, 7, 16}) {
          Shape single = shape;
          single.queries = 1;
          single.tokens = 140 - 16 + i;
          single.block = 16;
          single.capacity = 144;
          Case one(single, 4);
          std::memcpy(one.q.raw(), whole.q.raw() + i * 6 * 40 * 4, one.q.bytes);
          auto cut = [&](const Values &dense, int64_t depth) {
            Values part;
            for (int64_t h = 0; h < 2; ++h) {
              auto begin = dense.begin() + h * 140 * depth;
              part.insert(part.end(), begin, begin + single.tokens * depth);
            }
            return toState(DType::F32, part, 1, 2, single.tokens, depth, 144,
                           16);
          };
          one.k = cut(whole.kDense, 40);
          one.v = cut(whole.vDense, 24);
          one.sinks = whole.sinks;
          ASSERT_EQ(one.run(1), nullptr);
          EXPECT_EQ(0, std::memcmp(one.out.raw(), &bits[i * 6 * 24 * 4],
                                   one.out.bytes))
              << "row " << i << " window " << window;
        }
      }
    }
  });
}

// A row sees its window and the first tokens. Whether the blocks between have
// places does not change a bit, nor do more sinks or a larger window than there
// are tokens.
TEST(Attention, SinksAndRings) {
  forEachIsa([&] {
    for (int64_t sinks : {0, 4, 64, 70}) {
      for (int64_t window : {1, 30, 64, 100}) {
        for (int64_t queries : {1, 7, 40}) {
          for (int64_t tokens : {40, 100, 131, 640, 777}) {
            Shape shape = {.heads = 4,
                           .kvHeads = 2,
                           .queries = queries,
                           .tokens = tokens,
                           .depth = 24,
                           .depthV = 16,
                           .window = window,
                           .block = 64,
                           .capacity = 832,
                           .limited = true,
                           .sinkTokens = sinks,
                           .sinkBlocks = (sinks + 63) / 64};
            Case whole(shape, 3);
            ASSERT_EQ(whole.run(1), nullptr);
            Values want = whole.reference();
            Values found = whole.out.decode();
            for (size_t i = 0; i < want.size(); ++i) {
              ASSERT_NEAR(found[i], want[i], 1e-5) << i;
            }
            shape.ringBlocks = (window + queries - 1 + 63) / 64;
            Case ring(shape, 3);
            ASSERT_EQ(ring.run(3), nullptr);
            EXPECT_EQ(ring.out.contents(), whole.out.contents())
                << sinks << " sinks, window " << window << ", " << queries
                << " of " << tokens;
            if (window + sinks >= tokens || window >= tokens) {
              Shape plain = shape;
              plain.limited = false;
              plain.ringBlocks = plain.sinkTokens = plain.window = 0;
              Case all(plain, 3);
              ASSERT_EQ(all.run(2), nullptr);
              EXPECT_EQ(all.out.contents(), whole.out.contents());
            }
          }
        }
      }
    }
  });
}

TEST(Attention, RingsAreCheckedForSense) {
  Shape shape = {.tokens = 100,
                 .window = 30,
                 .block = 64,
                 .capacity = 832,
                 .limited = true,
                 .sinkTokens = 4,
                 .sinkBlocks = 1,
                 .ringBlocks = 1};
  EXPECT_EQ(Case(shape, 1).run(), nullptr);
  auto refused = [&](auto change) {
    Case wrong(shape, 1);
    change(wrong.s);
    EXPECT_NE(wrong.run(), nullptr);
  };
  refused([](Shape &s) { s.window = 0; });
  refused([](Shape &s) { s.sinkTokens = 65; });
  refused([](Shape &s) { s.sinkTokens = -1; });
  refused([](Shape &s) { s.sinkBlocks = 2; }); // no block is left for the ring
  refused([](Shape &s) { s.sinkBlocks = -1; });
}

namespace {
/// Slices 0, 1, .. of one state; a slice that is nullptr is NaN everywhere.
Data stacked(const std::vector<Data *> &slices, int64_t block) {
  Data *some = nullptr;
  for (Data *slice : slices) {
    some = slice ? slice : some;
  }
  Dims dims = some->dims;
  int64_t blocks = (dims[2] + block - 1) / block;
  int64_t run = dims[0] * dims[1] * block * dims[3]; // of a slice in a block
  auto count = static_cast<int64_t>(slices.size());
  Data all(some->dtype, {blocks * count * run},
           Values(blocks * count * run, NAN));
  int64_t bytes = all.bytes / (blocks * count);
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t s = 0; s < count; ++s) {
      if (slices[s]) {
        std::memcpy(all.raw() + (b * count + s) * bytes,
                    slices[s]->raw() + b * bytes, bytes);
      }
    }
  }
  all.dims = {count, dims[0], dims[1], dims[2], dims[3]};
  return all;
}
} // namespace

// Keys and values in one state, or in slices of two, give the bits that states
// of their own give, and no other slice is read.
TEST(Attention, SlicesOfAStateDoNotChangeBits) {
  forEachIsa([&] {
    for (DType type : {DType::F32, DType::F16}) {
      for (int64_t block : {4, 16, 64}) {
        for (int64_t queries : {1, 19}) {
          Case c({.batch = 2,
                  .heads = 6,
                  .kvHeads = 2,
                  .queries = queries,
                  .tokens = 90,
                  .depth = 24,
                  .depthV = 24,
                  .rowsFirst = true,
                  .type = type,
                  .block = block,
                  .capacity = 100},
                 7);
          ASSERT_EQ(c.run(2), nullptr);
          std::vector<std::byte> want = c.out.contents();
          Call call{{c.s.tokens}, {}, {c.scale, 0}};
          auto expectSame = [&](Data &k, Data &v, std::vector<int64_t> slices) {
            Data out(DType::F32, c.out.dims);
            call.ints = {1, 1, 1, 0, 0, 0, block};
            call.ints.insert(call.ints.end(), slices.begin(), slices.end());
            ASSERT_LAUNCH(KernelId::Attention, {&c.q, &k, &v, &out}, call, 3);
            EXPECT_EQ(out.contents(), want)
                << "block " << block << ", slices " << slices[1] << " and "
                << slices[2] << " of " << slices[0];
          };
          Data pair = stacked({&c.k, &c.v}, block);
          expectSame(pair, pair, {2, 0, 1});
          Data swapped = stacked({&c.v, nullptr, &c.k}, block);
          expectSame(swapped, swapped, {3, 2, 0});
          Data keys = stacked({nullptr, &c.k}, block);
          Data values = stacked({nullptr, &c.v}, block);
          expectSame(keys, values, {2, 1, 1});
          Data alone = stacked({&c.k}, block);
          Data other = stacked({&c.v}, block);
          expectSame(alone, other, {1, 0, 0});
        }
      }
    }
  });
}

TEST(Attention, RefusesSlicesThatAreNotThere) {
  Case c({.tokens = 5, .block = 4, .capacity = 8}, 1);
  Data pair = stacked({&c.k, &c.v}, 4);
  auto run = [&](std::vector<int64_t> slices, int64_t fromState = 1) {
    Call call{{5}, {0, fromState, 1, 0, 0, 0, 4}, {c.scale, 0}};
    call.ints.insert(call.ints.end(), slices.begin(), slices.end());
    return launch(KernelId::Attention, {&c.q, &pair, &pair, &c.out}, call);
  };
  EXPECT_EQ(run({2, 0, 1}), nullptr);
  EXPECT_NE(run({2, 0, 2}), nullptr);
  EXPECT_NE(run({2, -1, 1}), nullptr);
  EXPECT_NE(run({3, 0, 1}), nullptr);
  EXPECT_NE(run({2, 0, 1}, 0), nullptr);
  EXPECT_NE(run({}), nullptr); // rank 5
}

TEST(Attention, RefusesWrongShapes) {
  Case heads({.heads = 3, .kvHeads = 2}, 1);
  EXPECT_NE(heads.run(), nullptr);
  Case tokens({.tokens = 3}, 1);
  tokens.s.tokens = 4;
  EXPECT_NE(tokens.run(), nullptr);
  Case bias({.queries = 2, .tokens = 3, .bias = {2, 2}}, 1);
  EXPECT_NE(bias.run(), nullptr);
}

TEST(KvAppend, ThenKvReadGivesTheTokensBack) {
  for (DType type : {DType::F32, DType::F16}) {
    for (int64_t block : {4, 16}) {
      // Outer [2, 3], inner [5]; capacity 10.
      int64_t blocks = (10 + block - 1) / block;
      Data state(type, {blocks * 6 * block * 5});
      state.dims = {2, 3, 10, 5};
      Random random(1);
      Data first = random.tensor(DType::F32, {2, 3, 7, 5});
      Data second = random.tensor(DType::F32, {2, 3, 2, 5});
      Data none(DType::F32, {2, 3, 0, 5});
      Call call{{0}, {block, 2}, {}};
      ASSERT_LAUNCH(KernelId::KvAppend, {&first, &state}, call, 3);
      call.params = {7};
      ASSERT_LAUNCH(KernelId::KvAppend, {&none, &state}, call);
      ASSERT_LAUNCH(KernelId::KvAppend, {&second, &state}, call);
      Data out(DType::F32, {2, 3, 9, 5});
      ASSERT_LAUNCH(KernelId::KvRead, {&state, &out}, {{9}, {block, 2}, {}}, 3);
      Values want;
      for (int64_t o = 0; o < 6; ++o) {
        for (int64_t i = 0; i < 35; ++i) {
          want.push_back(first.get(o * 35 + i));
        }
        for (int64_t i = 0; i < 10; ++i) {
          want.push_back(second.get(o * 10 + i));
        }
      }
      expectNear(out.decode(), want, 0, type == DType::F32 ? 0 : 0x1p-11);
      call.params = {9};
      EXPECT_STREQ(launch(KernelId::KvAppend, {&second, &state}, call),
                   "state capacity exceeded");
      Data empty(DType::F32, {2, 3, 0, 5});
      ASSERT_LAUNCH(KernelId::KvRead, {&state, &empty}, {{0}, {block, 2}, {}});
    }
  }
}

TEST(Rope, MatchesReference) {
  struct RopeCase {
    bool rowsFirst, interleaved;
    int64_t rotated;
    bool perBatch, wide;
    DType type;
  };
  const RopeCase cases[] = {
      {false, false, 8, false, false, DType::F32},
      {true, false, 8, false, true, DType::F32},
      {false, true, 8, true, false, DType::F32},
      {true, true, 6, true, true, DType::F32},
      {true, false, 4, false, false, DType::F16},
  };
  for (const RopeCase &c : cases) {
    int64_t B = 2, H = 3, S = 5, D = 8;
    Random random(1);
    Data x = random.tensor(c.type,
                           c.rowsFirst ? Dims{B, S, H, D} : Dims{B, H, S, D});
    int64_t half = c.rotated / 2;
    int64_t width = c.wide ? c.rotated : half;
    Dims table = c.perBatch ? Dims{B, S, width} : Dims{S, width};
    Data angles = random.tensor(DType::F32, table, 0, 6);
    if (c.wide) {
      for (int64_t r = 0; r < product(table) / width; ++r) {
        for (int64_t i = 0; i < half; ++i) {
          angles.set(r * width + half + i, angles.get(r * width + i));
        }
      }
    }
    Data cosines(DType::F32, table);
    Data sines(DType::F32, table);
    for (int64_t i = 0; i < product(table); ++i) {
      cosines.set(i, std::cos(angles.get(i)));
      sines.set(i, std::sin(angles.get(i)));
    }
    Values want = x.decode();
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        for (int64_t s = 0; s < S; ++s) {
          int64_t at =
              (c.rowsFirst ? (b * S + s) * H + h : (b * H + h) * S + s) * D;
          for (int64_t i = 0; i < half; ++i) {
            double angle =
                angles.get(((c.perBatch ? b * S : 0) + s) * width + i);
            int64_t p = at + (c.interleaved ? 2 * i : i);
            int64_t q = at + (c.interleaved ? 2 * i + 1 : i + half);
            double first = x.get(p);
            double second = x.get(q);
            want[p] = first * std::cos(angle) - second * std::sin(angle);
            want[q] = second * std::cos(angle) + first * std::sin(angle);
          }
        }
      }
    }
    Data out(c.type, x.dims);
    Call call{{}, {c.rowsFirst, c.interleaved, c.rotated}, {}};
    ASSERT_LAUNCH(KernelId::Rope, {&x, &cosines, &sines, &out}, call, 3);
    expectNear(out.decode(), want, 1e-6, unitOf(c.type) * 1.1);
    ASSERT_LAUNCH(KernelId::Rope, {&x, &cosines, &sines, &x}, call);
    EXPECT_EQ(x.contents(), out.contents());
  }
}
