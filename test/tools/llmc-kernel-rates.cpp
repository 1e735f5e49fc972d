//===- llmc-kernel-rates.cpp - Limits of this machine, and kernels --------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
//   llmc-kernel-rates limits [THREADS]
//   llmc-kernel-rates linear ROWS N K WEIGHT [X [THREADS]]
//   llmc-kernel-rates attention QUERIES TOKENS HEADS KVHEADS D DTYPE [THREADS]
//   llmc-kernel-rates pool [THREADS]
//
// Prints one JSON object; rates are of the best of many calls and per second.
// What is measured as a limit shares no code with the kernels: plain reads of a
// buffer that no cache holds, and independent chains of one instruction.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Arena.h"
#include "runtime/kernels/Kernel.h"
#include "runtime/kernels/ThreadPool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>
#include <string>
#include <thread>
#include <vector>

using namespace llmc;
using plan::DType;

static double now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Seconds of the fastest call in about `seconds`.
template <class Work> static double best(double seconds, const Work &work) {
  double least = 1e30;
  const double begin = now();
  for (int i = 0; i < 3 || now() - begin < seconds; ++i) {
    const double from = now();
    work();
    least = std::min(least, now() - from);
  }
  return least;
}

/// Runs body(thread) on `threads` threads of its own.
template <class Body> static void each(int threads, const Body &body) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) {
    others.emplace_back([&body, i] { body(i); });
  }
  body(0);
  for (std::thread &thread : others) {
    thread.join();
  }
}

//===----------------------------------------------------------------------===//
// Limits
//===----------------------------------------------------------------------===//

static uint64_t sink;

__attribute__((target("avx512f"))) static uint64_t readWide(const uint8_t *at,
                                                            uint64_t bytes) {
  __m512i sum[4] = {};
  for (uint64_t i = 0; i < bytes; i += 256) {
    for (int lane = 0; lane < 4; ++lane) {
      sum[lane] = _mm512_add_epi64(
          sum[lane], _mm512_load_si512(at + i + uint64_t(lane) * 64));
    }
    _mm_prefetch(reinterpret_cast<const char *>(at + i + 4096), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char *>(at + i + 4160), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char *>(at + i + 4224), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char *>(at + i + 4288), _MM_HINT_T0);
  }
  return uint64_t(_mm512_reduce_add_epi64(_mm512_add_epi64(
      _mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]))));
}

static uint64_t readPlain(const uint8_t *at, uint64_t bytes) {
  uint64_t sum[8] = {};
  for (uint64_t i = 0; i < bytes; i += 64) {
    for (int lane = 0; lane < 8; ++lane) {
      uint64_t word;
      std::memcpy(&word, at + i + uint64_t(lane) * 8, 8);
      sum[lane] += word;
    }
  }
  for (int lane = 1; lane < 8; ++lane) {
    sum[0] += sum[lane];
  }
  return sum[0];
}

static double readRate(int threads, double seconds) {
  constexpr uint64_t kShare = uint64_t(512) << 20;
  Result<Arena> arena =
      Arena::create(kShare * uint64_t(threads) + 8192, "rates");
  if (!arena) {
    return 0;
  }
  each(threads, [&](int i) {
    std::memset(arena->data() + kShare * uint64_t(i), i + 1, kShare);
  });
  const bool wide = __builtin_cpu_supports("avx512f") != 0;
  double rate = 0;
  for (int way = 0; way < (wide ? 2 : 1); ++way) {
    double time = best(seconds, [&] {
      each(threads, [&](int i) {
        const uint8_t *at = arena->data() + kShare * uint64_t(i);
        uint64_t sum = way == 1 ? readWide(at, kShare) : readPlain(at, kShare);
        __atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
      });
    });
    rate = std::max(rate, double(kShare) * threads / time);
  }
  return rate;
}

// Sixteen chains hide the latency of any of these.
__attribute__((target("avx512f"))) static void chainsFma512(int64_t n) {
  __m512 s[16], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (auto &x : s) {
    x = _mm512_set1_ps(1);
  }
  for (int64_t i = 0; i < n; ++i) {
#pragma unroll
    for (auto &x : s) {
      x = _mm512_fmadd_ps(x, a, b);
      asm volatile("" : "+v"(x));
    }
  }
  for (auto &x : s) {
    asm volatile("" ::"v"(x));
  }
}
__attribute__((target("avx2,fma"))) static void chainsFma256(int64_t n) {
  __m256 s[14], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (auto &x : s) {
    x = _mm256_set1_ps(1);
  }
  for (int64_t i = 0; i < n; ++i) {
#pragma unroll
    for (auto &x : s) {
      x = _mm256_fmadd_ps(x, a, b);
      asm volatile("" : "+x"(x));
    }
  }
}
__attribute__((target("avx512bf16"))) static void chainsDot(int64_t n) {
  __m512 s[16];
  __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f00);
  for (auto &x : s) {
    x = _mm512_set1_ps(1);
  }
  for (int64_t i = 0; i < n; ++i) {
#pragma unroll
    for (auto &x : s) {
      x = _mm512_dpbf16_ps(x, a, a);
      asm volatile("" : "+v"(x));
    }
  }
}

template <class Chains>
static double flopRate(int threads, double seconds, double perRound,
                       const Chains &chains) {
  constexpr int64_t kRounds = 1 << 20;
  double time =
      best(seconds, [&] { each(threads, [&](int) { chains(kRounds); }); });
  return perRound * double(kRounds) * threads / time;
}

static void limits(int threads) {
  __builtin_cpu_init();
  const double s = 1.0;
  const double read = readRate(threads, s);
  double fma = 0;
  if (__builtin_cpu_supports("avx512f")) {
    fma = flopRate(threads, s, 16 * 16 * 2, chainsFma512);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    fma = std::max(fma, flopRate(threads, s, 14 * 8 * 2, chainsFma256));
  }
  const double dot = __builtin_cpu_supports("avx512bf16")
                         ? flopRate(threads, s, 16 * 32 * 2, chainsDot)
                         : 0;
  std::printf("{\"threads\": %d, \"read_gb\": %.2f, \"fma_gflop\": %.1f, "
              "\"dot_bf16_gflop\": %.1f}\n",
              threads, read / 1e9, fma / 1e9, dot / 1e9);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

static DType typeOf(const std::string &name) {
  return name == "bf16" ? DType::BF16 : name == "f16" ? DType::F16 : DType::F32;
}

static kernels::Tensor tensor(void *data, DType type,
                              std::initializer_list<int64_t> dims,
                              plan::Packing packing = plan::Packing::Raw) {
  kernels::Tensor t;
  t.data = data;
  t.dtype = type;
  t.packing = packing;
  for (int64_t d : dims) {
    t.dims[t.rank++] = d;
  }
  return t;
}

/// Small values, none a denormal.
static void fill(uint8_t *at, DType type, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = (float(i * 7 % 31) - 15.0f) / 64.0f;
    if (type == DType::F32) {
      std::memcpy(at + i * 4, &value, 4);
      continue;
    }
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const auto half = static_cast<_Float16>(value);
    uint16_t word = uint16_t(bits >> 16);
    if (type == DType::F16) {
      std::memcpy(&word, &half, 2);
    }
    std::memcpy(at + i * 2, &word, 2);
  }
}

static int64_t padded(int64_t bytes) { return (bytes + 127) / 64 * 64; }

static int linear(int64_t rows, int64_t n, int64_t k, DType type, DType xType,
                  int threads) {
  kernels::ThreadPool pool(threads);
  const int64_t width = plan::bitWidth(type) / 8;
  const int64_t xWidth = plan::bitWidth(xType) / 8;
  const int64_t weight = (n + 63) / 64 * 64 * k * width;
  // As many weights as a model has: none is in a cache when its turn comes.
  const int64_t copies =
      std::max<int64_t>(1, (int64_t(512) << 20) / padded(weight));
  Result<Arena> arena = Arena::create(uint64_t(padded(weight) * copies +
                                               padded(rows * k * xWidth) +
                                               padded(rows * n * xWidth)),
                                      "rates");
  if (!arena) {
    return 1;
  }
  uint8_t *x = arena->data() + padded(weight) * copies;
  uint8_t *out = x + padded(rows * k * xWidth);
  for (int64_t i = 0; i < copies; ++i) {
    fill(arena->data() + i * padded(weight), type, weight / width);
  }
  fill(x, xType, rows * k);
  kernels::KernelFn kernel = kernels::lookupHostKernel(plan::KernelId::Linear);
  const int64_t ints[2] = {0, 0};
  int64_t turn = 0;
  auto call = [&] {
    kernels::Tensor operands[3] = {
        tensor(x, xType, {rows, k}),
        tensor(arena->data() + turn++ % copies * padded(weight), type, {n, k},
               plan::Packing::Panel64),
        tensor(out, xType, {rows, n})};
    kernels::Launch launch;
    launch.operands = operands;
    launch.ints = ints;
    launch.pool = &pool;
    if (const char *error = kernel(launch)) {
      std::fprintf(stderr, "%s\n", error);
      std::exit(1);
    }
  };
  // A round over all copies: what single calls gain by chance evens out.
  const int64_t calls = rows > 16 ? 1 : copies;
  const double time = best(1.5,
                           [&] {
                             for (int64_t i = 0; i < calls; ++i) {
                               call();
                             }
                           }) /
                      double(calls);
  std::printf("{\"rows\": %ld, \"n\": %ld, \"k\": %ld, \"microseconds\": %.1f, "
              "\"weight_gb\": %.2f, \"gflop\": %.1f}\n",
              long(rows), long(n), long(k), time * 1e6,
              double(weight) / time / 1e9,
              2.0 * double(rows) * double(n) * double(k) / time / 1e9);
  return 0;
}

static int attention(int64_t queries, int64_t tokens, int64_t heads,
                     int64_t kvHeads, int64_t d, DType type, int threads) {
  kernels::ThreadPool pool(threads);
  const int64_t width = plan::bitWidth(type) / 8;
  const int64_t block = 64, capacity = (tokens + block - 1) / block * block;
  const int64_t kv = kvHeads * capacity * d, q = queries * heads * d;
  const int64_t copies =
      queries > 1 ? 1
                  : std::max<int64_t>(1, (int64_t(256) << 20) /
                                             (2 * padded(kv * width)));
  Result<Arena> arena = Arena::create(
      uint64_t(2 * copies * padded(kv * width) + 2 * padded(q * width)),
      "rates");
  if (!arena) {
    return 1;
  }
  uint8_t *in = arena->data() + 2 * copies * padded(kv * width);
  uint8_t *out = in + padded(q * width);
  for (int64_t i = 0; i < 2 * copies; ++i) {
    fill(arena->data() + i * padded(kv * width), type, kv);
  }
  fill(in, type, q);
  kernels::KernelFn kernel =
      kernels::lookupHostKernel(plan::KernelId::Attention);
  const int64_t ints[7] = {1, 1, 1, 0, 0, 0, block};
  const double floats[2] = {0.125, 0};
  int64_t turn = 0;
  auto call = [&] {
    uint8_t *k = arena->data() + 2 * (turn++ % copies) * padded(kv * width);
    kernels::Tensor operands[4] = {
        tensor(in, type, {1, queries, heads, d}),
        tensor(k, type, {1, kvHeads, capacity, d}),
        tensor(k + padded(kv * width), type, {1, kvHeads, capacity, d}),
        tensor(out, type, {1, queries, heads, d})};
    kernels::Launch launch;
    launch.operands = operands;
    launch.ints = ints;
    launch.floats = floats;
    launch.params = {&tokens, 1};
    launch.pool = &pool;
    if (const char *error = kernel(launch)) {
      std::fprintf(stderr, "%s\n", error);
      std::exit(1);
    }
  };
  const double time = best(1.0,
                           [&] {
                             for (int64_t i = 0; i < copies; ++i) {
                               call();
                             }
                           }) /
                      double(copies);
  // What a causal mask leaves.
  const double seen = double(queries) * double(tokens - queries) +
                      double(queries) * double(queries + 1) / 2;
  std::printf("{\"microseconds\": %.1f, \"kv_gb\": %.2f, \"gflop\": %.1f}\n",
              time * 1e6,
              2.0 * double(kvHeads * tokens * d * width) / time / 1e9,
              4.0 * seen * double(heads * d) / time / 1e9);
  return 0;
}

static int poolCost(int threads) {
  kernels::ThreadPool pool(threads);
  constexpr int kCalls = 10000;
  auto calls = [&] {
    for (int i = 0; i < kCalls; ++i) {
      // Each waits for all: one thread alone cannot take every task.
      std::atomic<int> arrived{0};
      pool.parallelFor(threads, [&](int64_t, int) {
        arrived.fetch_add(1);
        while (arrived.load() < threads) {
          _mm_pause();
        }
      });
    }
  };
  const double time = best(0.5, calls) / kCalls;
  std::printf("{\"threads\": %d, \"microseconds_per_launch\": %.3f}\n", threads,
              time * 1e6);
  return 0;
}

int main(int argc, char **argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  auto number = [&](int i, int64_t otherwise) {
    return argc > i ? std::atoll(argv[i]) : otherwise;
  };
  const int all = int(std::thread::hardware_concurrency());
  if (what == "limits") {
    limits(int(number(2, all)));
    return 0;
  }
  if (what == "linear" && argc >= 6) {
    const DType type = typeOf(argv[5]);
    return linear(number(2, 1), number(3, 1), number(4, 1), type,
                  argc > 6 ? typeOf(argv[6]) : type, int(number(7, all)));
  }
  if (what == "attention" && argc >= 8) {
    return attention(number(2, 1), number(3, 1), number(4, 1), number(5, 1),
                     number(6, 1), typeOf(argv[7]), int(number(8, all)));
  }
  if (what == "pool") {
    return poolCost(int(number(2, all)));
  }
  std::fprintf(stderr, "usage: llmc-kernel-rates limits | linear | attention "
                       "| pool ..., see the file's head\n");
  return 2;
}
