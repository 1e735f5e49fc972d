//===- io_transfer.cpp - The transfer engine ------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "io_support.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <random>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace llmc;
using namespace llmc::io;
using namespace llmc::test;

static constexpr uint64_t kFileBytes = (3u << 20) + 777;

static std::unique_ptr<TransferEngine> engineFor(const WeightsSource &source,
                                                 const IoOptions &options) {
  auto engine = TransferEngine::create(source, options);
  EXPECT_TRUE(bool(engine)) << (engine ? "" : engine.error().message);
  return engine ? std::move(*engine) : nullptr;
}

/// The methods that this machine allows for this file.
static std::vector<Method> methodsFor(const WeightsSource &source) {
  std::vector<Method> methods;
  for (Method method :
       {Method::Uring, Method::Direct, Method::Buffered, Method::Cached}) {
    IoOptions options;
    options.method = method;
    if (TransferEngine::create(source, options)) {
      methods.push_back(method);
    }
  }
  EXPECT_GE(methods.size(), 2u); // the last two need nothing
  return methods;
}

struct Wanted {
  uint64_t offset;
  uint64_t bytes;
  uint8_t *target;
};

/// Memory with a known pattern around what is read.
struct Memory {
  explicit Memory(size_t bytes) : bytes(bytes + 4096) {
    const auto raw = reinterpret_cast<uintptr_t>(this->bytes.data());
    base = this->bytes.data() + (4096 - raw % 4096) % 4096;
    std::fill(this->bytes.begin(), this->bytes.end(), 0xEE);
  }
  std::vector<uint8_t> bytes;
  uint8_t *base;
};

static void transferAll(TransferEngine &engine,
                        const std::vector<Wanted> &wanted) {
  for (const Wanted &w : wanted) {
    ASSERT_TRUE(bool(engine.allow(w.offset, w.target, w.bytes)));
  }
  const uint64_t first = engine.completed();
  for (const Wanted &w : wanted) {
    while (engine.full() || engine.conflicts(w.target, w.bytes)) {
      engine.pump(true);
    }
    engine.begin(w.offset, w.target, w.bytes);
  }
  while (engine.completed() < first + wanted.size()) {
    ASSERT_FALSE(engine.failure().failed) << engine.failure().error;
    engine.pump(true);
  }
  EXPECT_TRUE(engine.idle());
}

static bool arrived(const Wanted &w, uint64_t base = 0) {
  for (uint64_t i = 0; i < w.bytes; ++i) {
    if (w.target[i] != contentAt(base + w.offset + i)) {
      ADD_FAILURE() << "byte " << i << " of " << w.bytes << " at " << w.offset;
      return false;
    }
  }
  return true;
}

/// Every combination of aligned and misaligned offset, size and address, in
/// requests small enough that several transfers are cut into many.
TEST(IoTransfer, AnyAlignmentByEveryMethod) {
  ContentFile file(kFileBytes);
  for (uint64_t base : {uint64_t(0), uint64_t(4096), uint64_t(100)}) {
    WeightsSource source = file.source;
    source.base = base;
    for (Method method : methodsFor(source)) {
      IoOptions options;
      options.method = method;
      options.depth = 4;
      options.requestBytes = 32 << 10;
      auto engine = engineFor(source, options);
      ASSERT_TRUE(engine);
      EXPECT_EQ(engine->method(), method);
      Memory memory(16 << 20);
      std::vector<Wanted> wanted;
      uint8_t *at = memory.base;
      for (uint64_t offset : {0, 4096, 512, 100}) {
        for (uint64_t bytes : {1, 511, 4096, 65536, 65536 + 512, 300001}) {
          for (uint64_t shift : {0, 64, 512}) {
            wanted.push_back({offset, bytes, at + shift});
            at += (bytes + 4095) / 4096 * 4096 + 4096;
          }
        }
      }
      wanted.push_back({8192, 0, at}); // nothing at all
      ASSERT_LT(at, memory.base + (16 << 20));
      transferAll(*engine, wanted);
      for (const Wanted &w : wanted) {
        ASSERT_TRUE(arrived(w, base)) << name(method) << ", base " << base;
        ASSERT_EQ(w.target[w.bytes], 0xEE) << "written beyond the end";
      }
    }
  }
}

TEST(IoTransfer, RandomTransfersWithShortAndInterruptedReads) {
  ContentFile file(kFileBytes);
  for (Method method : methodsFor(file.source)) {
    auto random = std::make_shared<std::mt19937>(7);
    IoOptions options;
    options.method = method;
    options.depth = 6;
    options.requestBytes = 64 << 10;
    options.wrap = withFaults([random](uint64_t, ReadRequest &request) {
      switch ((*random)() % 6) {
      case 0:
        return EINTR;
      case 1:
        return EAGAIN;
      case 2: { // short by any count
        const auto whole = request.bytes;
        request.bytes = 1 + (*random)() % whole;
        if (request.direct) { // of a smaller one, all: never more than asked
          request.bytes = std::min<uint32_t>(
              whole, std::max<uint32_t>(4096, request.bytes / 4096 * 4096));
        }
        return 0;
      }
      case 3:
        std::this_thread::sleep_for(
            std::chrono::microseconds((*random)() % 200));
        return 0;
      default:
        return 0;
      }
    });
    auto engine = engineFor(file.source, options);
    ASSERT_TRUE(engine);
    Memory memory(4 << 20);
    for (int round = 0; round < 20; ++round) {
      std::vector<Wanted> wanted;
      uint8_t *at = memory.base;
      for (int i = 0; i < 8; ++i) {
        const uint64_t bytes = (*random)() % 400000;
        const uint64_t offset = (*random)() % (kFileBytes - bytes);
        wanted.push_back({(*random)() % 2 ? offset / 4096 * 4096 : offset,
                          bytes, at + (*random)() % 3 * 64});
        at += bytes / 4096 * 4096 + 8192;
      }
      transferAll(*engine, wanted);
      for (const Wanted &w : wanted) {
        ASSERT_TRUE(arrived(w)) << name(method);
      }
    }
  }
}

TEST(IoTransfer, TheNthReadFailsAndTheEngineGoesOn) {
  ContentFile file(1 << 20);
  for (Method method : methodsFor(file.source)) {
    for (int error : {EIO, EBADF}) {
      // Sixteen reads, or one by one; the last round has none to fail.
      for (uint64_t n = 0; n < 17; ++n) {
        auto failing = std::make_shared<bool>(true);
        auto failedAt = std::make_shared<uint64_t>(UINT64_MAX);
        IoOptions options;
        options.method = method;
        options.depth = 3;
        options.requestBytes = 64 << 10;
        options.wrap = withFaults([=](uint64_t number, ReadRequest &request) {
          if (*failing && number == n) {
            *failedAt = request.offset;
            return error;
          }
          return 0;
        });
        auto engine = engineFor(file.source, options);
        ASSERT_TRUE(engine);
        Memory memory(2 << 20);
        const Wanted all{0, 1 << 20, memory.base};
        const ReadFailure failure =
            engine->read(all.offset, all.target, all.bytes);
        ASSERT_EQ(failure.failed, *failedAt != UINT64_MAX);
        if (failure.failed) {
          EXPECT_EQ(failure.error, error);
          EXPECT_EQ(failure.offset, *failedAt);
          const Error described = describe(file.source, failure);
          EXPECT_EQ(described.code, ErrorCode::TransferFailed);
          EXPECT_NE(described.message.find(file.source.path),
                    std::string::npos);
          EXPECT_NE(described.message.find(std::to_string(failure.offset)),
                    std::string::npos);
          EXPECT_NE(described.message.find(std::strerror(error)),
                    std::string::npos);
        } else {
          EXPECT_TRUE(arrived(all));
        }
        // The cause is gone: it reads.
        *failing = false;
        EXPECT_TRUE(engine->idle());
        EXPECT_FALSE(engine->read(all.offset, all.target, all.bytes).failed);
        EXPECT_TRUE(arrived(all));
      }
    }
  }
}

TEST(IoTransfer, RefusedDirectReadsGoThroughThePageCache) {
  ContentFile file(1 << 20);
  for (Method method : methodsFor(file.source)) {
    IoOptions options;
    options.method = method;
    auto refused = std::make_shared<int>(0);
    options.wrap = withFaults([refused](uint64_t, ReadRequest &request) {
      return request.direct ? ++*refused, EINVAL : 0;
    });
    auto engine = engineFor(file.source, options);
    ASSERT_TRUE(engine);
    Memory memory(2 << 20);
    const Wanted all{0, 1 << 20, memory.base};
    EXPECT_FALSE(engine->read(all.offset, all.target, all.bytes).failed);
    EXPECT_TRUE(arrived(all));
    EXPECT_EQ(*refused > 0,
              method == Method::Uring || method == Method::Direct);
  }
}

TEST(IoTransfer, TruncatedFileEndsBeforeAByte) {
  for (uint64_t length : {uint64_t(0), uint64_t(600000), uint64_t(589824)}) {
    ContentFile file(1 << 20);
    for (Method method : methodsFor(file.source)) {
      IoOptions options;
      options.method = method;
      options.requestBytes = 128 << 10;
      auto engine = engineFor(file.source, options);
      ASSERT_TRUE(engine);
      Memory memory(2 << 20);
      ASSERT_EQ(ftruncate(file.source.fd, static_cast<off_t>(length)), 0);
      const ReadFailure failure = engine->read(0, memory.base, 1 << 20);
      ASSERT_TRUE(failure.failed) << name(method);
      EXPECT_EQ(failure.error, 0);
      EXPECT_GE(failure.offset, length);
      EXPECT_EQ(describe(file.source, failure).code,
                ErrorCode::WeightsTruncated);
      // What is there can still be read.
      if (length) {
        const Wanted there{4096, 100000, memory.base};
        EXPECT_FALSE(
            engine->read(there.offset, there.target, there.bytes).failed);
        EXPECT_TRUE(arrived(there));
      }
      // Whole again for the next method.
      ASSERT_EQ(ftruncate(file.source.fd, 0), 0);
      std::vector<uint8_t> content(1 << 20);
      for (size_t i = 0; i < content.size(); ++i) {
        content[i] = contentAt(i);
      }
      ASSERT_EQ(pwrite(file.source.fd, content.data(), content.size(), 0),
                static_cast<ssize_t>(content.size()));
    }
  }
}

TEST(IoTransfer, TransfersIntoTheSamePlaceDoNotRace) {
  ContentFile file(kFileBytes);
  IoOptions options;
  options.method = methodsFor(file.source).front();
  options.requestBytes = 16 << 10;
  auto engine = engineFor(file.source, options);
  ASSERT_TRUE(engine);
  Memory memory(1 << 20);
  std::vector<Wanted> wanted;
  for (uint64_t i = 0; i < 100; ++i) {
    wanted.push_back({i * 4096, 200000, memory.base + i % 3 * 4096});
  }
  transferAll(*engine, wanted);
  EXPECT_TRUE(arrived(wanted.back())); // the last one wins
}

TEST(IoTransfer, AFileThatIsNotAFile) {
  WeightsSource source;
  source.path = "/tmp";
  source.fd = ::open("/tmp", O_RDONLY | O_DIRECTORY);
  for (Method method : {Method::Auto, Method::Buffered, Method::Cached}) {
    IoOptions options;
    options.method = method;
    auto engine = engineFor(source, options);
    ASSERT_TRUE(engine);
    uint8_t target[4096];
    const ReadFailure failure = engine->read(0, target, sizeof(target));
    ASSERT_TRUE(failure.failed);
    EXPECT_EQ(failure.error, EISDIR);
  }
  IoOptions options;
  options.method = Method::Uring;
  auto engine = TransferEngine::create(source, options);
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("--io uring"), std::string::npos)
      << engine.error().message;
  close(source.fd);
}

TEST(IoTransfer, AutoKeepsSmallFilesInThePageCache) {
  ContentFile file(1 << 20);
  EXPECT_EQ(engineFor(file.source, {})->method(), Method::Cached);
  // A hole reads like any file.
  ASSERT_EQ(ftruncate(file.source.fd, (64 << 20)), 0);
  EXPECT_NE(engineFor(file.source, {})->method(), Method::Cached);
}

TEST(IoTransfer, OnTmpfs) {
  if (access("/dev/shm", W_OK) != 0) {
    GTEST_SKIP() << "no /dev/shm";
  }
  ContentFile file(kFileBytes, "/dev/shm");
  Memory memory(4 << 20);
  const Wanted all{0, kFileBytes, memory.base + 64};
  for (Method method : methodsFor(file.source)) {
    IoOptions options;
    options.method = method;
    auto engine = engineFor(file.source, options);
    ASSERT_TRUE(engine);
    ASSERT_TRUE(bool(engine->allow(all.offset, all.target, all.bytes)));
    EXPECT_FALSE(engine->read(all.offset, all.target, all.bytes).failed);
    EXPECT_TRUE(arrived(all));
  }
}

/// Forbids one system call to this process for good.
static bool forbid(long call) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// 0 if all is well, in a process of its own.
static int underSeccomp(const WeightsSource &source) {
  if (!forbid(SYS_io_uring_setup)) {
    return 77;
  }
  IoOptions options;
  options.method = Method::Uring;
  auto none = TransferEngine::create(source, options);
  if (none ||
      (hasUring() && none.error().message.find("Operation not permitted") ==
                         std::string::npos)) {
    return 1;
  }
  auto engine = TransferEngine::create(source, {});
  if (!engine || (*engine)->method() == Method::Uring) {
    return 2;
  }
  Memory memory(1 << 20);
  if ((*engine)->read(0, memory.base, 300000).failed) {
    return 3;
  }
  return arrived({0, 300000, memory.base}) ? 0 : 4;
}

TEST(IoTransfer, WhereIoUringIsForbidden) {
  ContentFile file(1 << 20);
  ASSERT_EQ(ftruncate(file.source.fd, 64 << 20), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    _exit(underSeccomp(file.source));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "seccomp filters are not allowed here";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
