//===- Session.cpp - Session: loading -------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Session.h"

#include "runtime/core/Machine.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/Target.h"
#include "runtime/support/Hash.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>

using namespace llmc;
using namespace llmc::plan;

static constexpr uint64_t kLoadChunk = uint64_t(4) << 20;

Result<Plan> llmc::readPlanAt(const std::string &path,
                              const SessionOptions &options) {
  if (options.planSize == 0) {
    return readPlan(path);
  }
  Result<InputFile> file =
      InputFile::openRange(path, options.planOffset, options.planSize);
  if (!file) {
    return file.error();
  }
  std::vector<uint8_t> bytes(options.planSize);
  if (Result<void> read = file->read(0, bytes.size(), bytes.data()); !read) {
    return read.error();
  }
  Result<Plan> plan = decodePlan(bytes);
  if (!plan) {
    return {plan.error().code, path + ": " + plan.error().message};
  }
  return plan;
}

Result<std::unique_ptr<Session>> Session::load(const std::string &planPath,
                                               const SessionOptions &options) {
  const uint64_t begin = nowNanoseconds();
  try {
    std::unique_ptr<Session> s(new Session());
    s->path = planPath;
    s->poison = options.poison;
    Result<Plan> plan = readPlanAt(planPath, options);
    if (!plan) {
      return plan.error();
    }
    s->thePlan = std::move(*plan);
    const auto named = [&](const Error &error) {
      return Error{error.code, planPath + ": " + error.message};
    };
    if (Result<void> fits = checkTarget(s->thePlan, hostTarget()); !fits) {
      return named(fits.error());
    }
    if (s->thePlan.target != "cpu") {
      return Error{ErrorCode::PlanTarget,
                   planPath + ": made for target " + s->thePlan.target +
                       ", this build runs cpu; compile the model again with "
                       "--target cpu"};
    }
    if (s->thePlan.entries.empty()) {
      return Error{ErrorCode::PlanMalformed, planPath + ": no entries"};
    }
    if (Result<Certificate> proof = check(s->thePlan); !proof) {
      return named(proof.error());
    }
    // The proof assumes that no state is ever asked to hold more.
    s->contextTokens = s->thePlan.context;
    for (const State &state : s->thePlan.states) {
      s->contextTokens = std::min(s->contextTokens, state.capacity);
    }
    if (Result<void> opened = s->openWeights(options); !opened) {
      return opened.error();
    }
    if (Result<void> taken = s->takeMemory(); !taken) {
      return taken.error();
    }
    if (Result<void> filled = s->fillArena(options.checksum); !filled) {
      return filled.error();
    }
    s->pool = std::make_unique<kernels::ThreadPool>(
        options.threads > 0 ? options.threads : defaultThreads());
    if (options.profile || options.traceEvents) {
      s->profile = std::make_unique<Profiler>(s->thePlan, options.traceEvents);
    }
    Result<std::unique_ptr<Executor>> executor =
        Executor::create(s->thePlan, s->memory, s->weights, s->pool.get(),
                         s->profile.get(), options.poison);
    if (!executor) {
      return named(executor.error());
    }
    s->executor = std::move(*executor);
    if (Result<void> prepared = s->prepareGeneration(); !prepared) {
      return named(prepared.error());
    }
    s->reset();
    touchProgram();
    s->secondsToLoad = static_cast<double>(nowNanoseconds() - begin) / 1e9;
    return s;
  } catch (const std::bad_alloc &) {
    return Error{ErrorCode::OutOfMemory,
                 planPath + ": not enough memory to load the plan"};
  }
}

Session::~Session() = default;

static std::string folderOf(const std::string &path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

Result<WeightsFile> llmc::openWeightsOf(const Plan &plan,
                                        const std::string &path,
                                        const SessionOptions &options) {
  Result<WeightsFile> file =
      options.planSize != 0
          ? WeightsFile::openRange(path, options.weightsOffset,
                                   options.weightsSize)
      : !options.weightsPath.empty() ? WeightsFile::open(options.weightsPath)
      : plan.weightsFile.starts_with("/")
          ? WeightsFile::open(plan.weightsFile)
          : WeightsFile::open(folderOf(path) + plan.weightsFile);
  if (!file) {
    return file;
  }
  if (Result<void> same = checkWeights(plan, *file); !same) {
    return same.error();
  }
  return file;
}

Result<void> Session::openWeights(const SessionOptions &options) {
  if (thePlan.segments.empty()) {
    return {};
  }
  Result<WeightsFile> file = openWeightsOf(thePlan, path, options);
  if (!file) {
    return file.error();
  }
  weightsFile = std::move(*file);
  weights.path = weightsFile->path();
  weights.fd = weightsFile->descriptor();
  weights.base = weightsFile->base();
  return {};
}

Result<void> Session::takeMemory() {
  uint64_t deviceBytes = thePlan.totals.arenaBytes;
  uint64_t hostBytes = thePlan.totals.hostBytes;
  for (const Buffer &buffer : thePlan.buffers) {
    uint64_t end = 0;
    if (__builtin_add_overflow(buffer.offset, buffer.size, &end)) {
      return {ErrorCode::PlanUnsafe,
              path + ": buffer '" + buffer.name + "' lies beyond 2^64"};
    }
    if (buffer.tier == Tier::Disk && buffer.kind != BufferKind::Weight) {
      return {ErrorCode::Unsupported,
              path + ": buffer '" + buffer.name +
                  "' is kept on disk, which this version does not run"};
    }
    const uint64_t room = buffer.tier == Tier::Device ? deviceBytes : hostBytes;
    if (buffer.tier != Tier::Disk && end > room) {
      return {ErrorCode::PlanUnsafe,
              path + ": buffer '" + buffer.name + "' ends at byte " +
                  std::to_string(end) + " of an arena of " +
                  std::to_string(room)};
    }
  }
  // What is already reserved for other uses on the device is part of the
  // plan's one number, but on a CPU nothing else takes it.
  const uint64_t needed = thePlan.totals.deviceBytes + hostBytes;
  const uint64_t available = availableMemory();
  if (needed > available) {
    return {ErrorCode::OutOfMemory,
            path + ": needs " + formatBytes(needed) + " (" +
                std::to_string(needed) + " bytes), the machine has " +
                formatBytes(available) +
                " free; compile the model again with --vram " +
                std::to_string(available / 10 * 9)};
  }
  Result<Arena> deviceArena = Arena::create(deviceBytes, "device");
  if (!deviceArena) {
    return deviceArena.error();
  }
  Result<Arena> hostArena = Arena::create(hostBytes, "host");
  if (!hostArena) {
    return hostArena.error();
  }
  device = std::move(*deviceArena);
  host = std::move(*hostArena);
  memory.base = {device.data(), host.data(), nullptr};
  memory.size = {device.size(), host.size(), 0};
  return {};
}

Result<void> Session::loadSegment(const Buffer &buffer,
                                  const StoredSegment *expected) {
  const Segment &segment = thePlan.segments[buffer.segment];
  uint8_t *target =
      memory.base[static_cast<size_t>(buffer.tier)] + buffer.offset;
  if (segment.size > buffer.size) {
    return {ErrorCode::PlanUnsafe,
            path + ": segment '" + segment.name + "' does not fit its buffer"};
  }
  Hasher hasher;
  for (uint64_t done = 0; done < segment.size;) {
    const uint64_t piece = std::min(kLoadChunk, segment.size - done);
    const ReadFailure failure =
        readFully(weights, segment.offset + done, target + done, piece);
    if (failure.failed) {
      return describe(weights, failure);
    }
    if (expected) {
      hasher.update(target + done, piece);
    }
    done += piece;
  }
  if (expected && hasher.finish() != expected->checksum) {
    return {ErrorCode::WeightsChecksum,
            weights.path + ": checksum mismatch in segment '" + segment.name +
                "' at byte " + std::to_string(segment.offset) + ": found " +
                hasher.finish().text() + ", expected " +
                expected->checksum.text()};
  }
  return {};
}

Result<void> Session::fillArena(bool checksum) {
  for (const Plan::ConstantData &constant : thePlan.constants) {
    uint8_t *target = bufferAddress(thePlan, constant.buffer, memory);
    if (!target ||
        constant.bytes.size() > thePlan.buffers[constant.buffer].size) {
      return {ErrorCode::PlanUnsafe,
              path + ": a constant does not fit its buffer"};
    }
    if (!constant.bytes.empty()) {
      std::memcpy(target, constant.bytes.data(), constant.bytes.size());
    }
  }
  thePlan.constants = {}; // the arena has them now

  std::map<uint64_t, size_t> storedAt;
  if (weightsFile) {
    for (size_t i = 0; i < weightsFile->segments().size(); ++i) {
      if (weightsFile->segments()[i].size != 0) {
        storedAt[weightsFile->segments()[i].offset] = i;
      }
    }
  }
  std::vector<bool> verified(thePlan.segments.size());
  for (const Buffer &buffer : thePlan.buffers) {
    if (buffer.kind != BufferKind::Weight || buffer.segment == kNone ||
        buffer.tier == Tier::Disk ||
        thePlan.segments[buffer.segment].size == 0) {
      continue;
    }
    const auto stored = storedAt.find(thePlan.segments[buffer.segment].offset);
    const StoredSegment *expected =
        checksum && stored != storedAt.end()
            ? &weightsFile->segments()[stored->second]
            : nullptr;
    if (Result<void> loaded = loadSegment(buffer, expected); !loaded) {
      return loaded;
    }
    verified[buffer.segment] = true;
  }
  // Streamed weights are compared once, here; while they stream only lengths
  // are.
  for (size_t i = 0; checksum && i < thePlan.segments.size(); ++i) {
    const auto stored = storedAt.find(thePlan.segments[i].offset);
    if (!verified[i] && thePlan.segments[i].size != 0 &&
        stored != storedAt.end()) {
      if (Result<void> good = weightsFile->verify(stored->second); !good) {
        return good;
      }
    }
  }
  return {};
}

void Session::reset() {
  pastTokens = 0;
  lastEntry = kNone;
  if (poison) {
    // A kernel that looks behind the tokens it was given shows.
    for (const State &state : thePlan.states) {
      if (uint8_t *data = bufferAddress(thePlan, state.buffer, memory)) {
        fillPoison(data, thePlan.buffers[state.buffer].size);
      }
    }
  }
}
