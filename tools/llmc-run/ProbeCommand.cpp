//===- ProbeCommand.cpp - llmc probe: what this machine can do ------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Machine.h"
#include "runtime/io/DiskRate.h"
#include "runtime/io/OpenDirect.h"
#include "runtime/kernels/Kernel.h"
#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/HardwareProfile.h"
#include "tools/llmc-run/Commands.h"
#include "tools/llmc-run/MachineRates.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/sysinfo.h>
#include <unistd.h>

using namespace llmc;
using namespace llmc::tool;

namespace {
struct ProbeOptions {
  std::string output;
  std::string disk = "."; // a folder or a file
  int threads = 0;
  bool quick = false;
  bool json = false;
};

/// A file to measure with.
class MeasuredFile {
public:
  /// One without a name in a folder, full of bytes that do not repeat, on the
  /// disk and not in the page cache.
  static Result<MeasuredFile> create(const std::string &folder,
                                     uint64_t bytes) {
    MeasuredFile file;
    file.fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file.fd < 0) {
      // Some file systems have no nameless files.
      std::string name = folder + "/.llmc-probe-XXXXXX";
      file.fd = mkostemp(name.data(), O_CLOEXEC);
      if (file.fd >= 0) {
        unlink(name.c_str());
      }
    }
    if (file.fd < 0) {
      return {ErrorCode::FileUnwritable, folder +
                                             ": cannot write a file to measure "
                                             "the disk with: " +
                                             std::strerror(errno)};
    }
    std::vector<uint64_t> piece(1 << 17); // 1 MiB
    uint64_t state = 88172645463325252;
    for (uint64_t done = 0; done < bytes;) {
      for (uint64_t &word : piece) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word = state;
      }
      const ssize_t put = pwrite(file.fd, piece.data(), piece.size() * 8,
                                 static_cast<off_t>(done));
      if (put < 0 && errno == EINTR) {
        continue;
      }
      if (put <= 0) {
        return {ErrorCode::NoSpace,
                folder + ": cannot write " + llmc::formatBytes(bytes) +
                    " to measure the disk with: " + std::strerror(errno)};
      }
      done += static_cast<uint64_t>(put);
    }
    fsync(file.fd);
    posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
    return file;
  }
  /// One that is there.
  static Result<MeasuredFile> open(const std::string &path) {
    MeasuredFile file;
    file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file.fd < 0) {
      return {ErrorCode::FileUnreadable, path + ": " + std::strerror(errno)};
    }
    return file;
  }
  MeasuredFile(MeasuredFile &&other) noexcept
      : fd(std::exchange(other.fd, -1)) {}
  ~MeasuredFile() {
    if (fd >= 0) {
      close(fd);
    }
  }

  int fd = -1;

private:
  MeasuredFile() = default;
};
} // namespace

static void note(const char *what) {
  if (isatty(STDERR_FILENO)) {
    std::fprintf(stderr, "measuring %s\n", what);
  }
}

/// The file to read: `path` itself, or one that is made in that folder.
static Result<MeasuredFile> fileToRead(const std::string &path, bool quick,
                                       uint64_t &bytes) {
  if (std::filesystem::is_directory(path)) {
    bytes = uint64_t(quick ? 256 : 512) << 20;
    return MeasuredFile::create(path, bytes);
  }
  std::error_code code;
  const uint64_t size = std::filesystem::file_size(path, code);
  if (code) {
    return {ErrorCode::FileNotFound, path + ": " + code.message()};
  }
  constexpr uint64_t kLeast = uint64_t(64) << 20;
  if (size < kLeast) {
    return {ErrorCode::InvalidArgument,
            path + ": has " + llmc::formatBytes(size) +
                ", too little to measure a disk with (at least " +
                llmc::formatBytes(kLeast) + ")"};
  }
  bytes = size / 4096 * 4096;
  return MeasuredFile::open(path);
}

static Result<plan::DiskHardware> probeDisk(const ProbeOptions &options) {
  plan::DiskHardware disk;
  std::error_code code;
  disk.path = std::filesystem::canonical(options.disk, code).string();
  if (code) {
    return Error{ErrorCode::FileNotFound, options.disk + ": " + code.message()};
  }
  uint64_t bytes = 0;
  Result<MeasuredFile> file = fileToRead(disk.path, options.quick, bytes);
  if (!file) {
    return file.error();
  }
  io::FileRange range;
  range.files.buffered = file->fd;
  range.files.direct = io::openDirect(file->fd).fd;
  range.last = bytes;
  io::DiskRates rates = io::measureDisk(range, options.quick ? 0.04 : 0.1,
                                        options.quick ? 1.0 : 2.0);
  disk.ways = std::move(rates.ways);
  disk.bytesPerSecond = rates.bytesPerSecond;
  disk.latencySeconds = io::measureLatency(range, options.quick ? 50 : 500);
  if (range.files.direct >= 0) {
    close(range.files.direct);
  }
  if (disk.bytesPerSecond == 0) {
    return Error{ErrorCode::TransferFailed,
                 disk.path +
                     ": the disk cannot be measured: every read failed"};
  }
  disk.numaNode = numaNodeOfDisk(disk.path);
  return disk;
}

static void print(const plan::HardwareProfile &profile) {
  const plan::HostHardware &host = *profile.host;
  std::printf("%s, %llu threads, %s, %s of memory\n", host.cpu.c_str(),
              static_cast<unsigned long long>(host.threads), host.isa.c_str(),
              llmc::formatBytes(host.memoryBytes).c_str());
  const auto memory = [](const char *what, const plan::MemoryRates &rates) {
    std::printf("  %-22s read %6.1f  write %6.1f  copy %6.1f GB/s\n", what,
                rates.read / 1e9, rates.write / 1e9, rates.copy / 1e9);
  };
  memory("memory, all threads", host.memory);
  if (host.memoryOneThread) {
    memory("memory, one thread", *host.memoryOneThread);
  }
  for (const auto &[dtype, rate] : host.compute) {
    std::printf("  compute %-14s one row %7.1f  many rows %7.1f GFLOP/s\n",
                dtype.c_str(), rate.oneRow.value_or(0) / 1e9,
                rate.manyRows.value_or(0) / 1e9);
  }
  const plan::DiskHardware &disk = *profile.disk;
  std::printf("disk at %s: %.2f GB/s", disk.path.c_str(),
              disk.bytesPerSecond / 1e9);
  if (disk.latencySeconds) {
    std::printf(", latency %.0f us", *disk.latencySeconds * 1e6);
  }
  std::printf("\n");
  for (const plan::DiskWay &way : disk.ways) {
    std::printf(
        "  %-17s %-11s depth %2llu of %5s %7.2f GB/s\n", way.method.c_str(),
        way.hugePages ? "huge pages" : "small pages",
        static_cast<unsigned long long>(way.depth),
        llmc::formatBytes(way.requestBytes).c_str(), way.bytesPerSecond / 1e9);
  }
  for (const plan::NumaNode &node : profile.numa) {
    std::printf("NUMA node %lld: cpus %s, %s\n",
                static_cast<long long>(node.node), node.cpus.c_str(),
                llmc::formatBytes(node.memoryBytes).c_str());
  }
  for (const plan::GpuHardware &gpu : profile.gpus) {
    std::printf("GPU %s: PCIe %llu x%llu\n", gpu.name.c_str(),
                static_cast<unsigned long long>(gpu.pcieGeneration),
                static_cast<unsigned long long>(gpu.pcieLanes));
  }
  for (const std::string &remark : profile.remarks) {
    std::printf("note: %s\n", remark.c_str());
  }
}

static int run(const ProbeOptions &options) {
  plan::HardwareProfile profile;
  char host[256] = "this machine";
  gethostname(host, sizeof(host) - 1);
  profile.name = host;
  profile.source = "probe";
  note("the disk");
  Result<plan::DiskHardware> disk = probeDisk(options);
  if (!disk) {
    return fail(disk.error());
  }
  profile.disk = std::move(*disk);

  plan::HostHardware &machine = profile.host.emplace();
  kernels::ThreadPool pool(options.threads > 0 ? options.threads
                                               : defaultThreads());
  machine.cpu = findCpuName();
  machine.isa = kernels::hostIsa();
  machine.threads = static_cast<uint64_t>(pool.numThreads());
  struct sysinfo info{};
  sysinfo(&info);
  machine.memoryBytes = uint64_t(info.totalram) * info.mem_unit;
  note("memory");
  const double seconds = options.quick ? 0.05 : 0.4;
  const uint64_t bytes = std::min(uint64_t(options.quick ? 128 : 512) << 20,
                                  availableMemory() / 8);
  machine.memory = measureMemory(pool, pool.numThreads(), bytes, seconds);
  machine.memoryOneThread = measureMemory(pool, 1, bytes, seconds);
  note("compute");
  machine.compute = measureCompute(pool, seconds, options.quick);
  profile.numa = findNumaNodes();
  profile.gpus = findGpus();
  profile.remark();

  const std::string text = profile.json();
  // What is written must be read again.
  if (auto good = plan::parseHardwareProfile(text, "the profile"); !good) {
    return fail({ErrorCode::Internal, good.error().message});
  }
  if (!options.output.empty()) {
    Result<plan::AtomicFile> file =
        plan::AtomicFile::create(options.output, text.size());
    if (!file) {
      return fail(file.error());
    }
    if (Result<void> wrote = file->write(
            0, {reinterpret_cast<const uint8_t *>(text.data()), text.size()});
        !wrote) {
      return fail(wrote.error());
    }
    if (Result<void> placed = file->commit(); !placed) {
      return fail(placed.error());
    }
  }
  if (options.json) {
    std::fputs(text.c_str(), stdout);
  } else {
    print(profile);
  }
  return kDone;
}

void tool::addProbe(CLI::App &app, Job &job) {
  auto options = std::make_shared<ProbeOptions>();
  CLI::App *sub = app.add_subcommand(
      "probe", "Measure this machine: compute, memory, disk and what connects "
               "them");
  sub->add_option("-o", options->output,
                  "Write the profile, for --hardware (JSON)");
  sub->add_option("--disk", options->disk,
                  "What is read to measure the disk: a folder (default: this "
                  "one; needs 512 MiB there for a moment), or a large file, "
                  "which is closest to the truth for a weights file");
  sub->add_option("--threads", options->threads,
                  "Compute threads (default: all cores)")
      ->check(CLI::Range(1, 1024));
  sub->add_flag("--quick", options->quick,
                "A rough measurement in about five seconds");
  sub->add_flag("--json", options->json, "Print the profile as JSON");
  sub->callback([options, &job] { job = [options] { return run(*options); }; });
}
