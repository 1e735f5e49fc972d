//===- Session.cpp - Session: loading -------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Session.h"

#include "runtime/core/Machine.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/FreeMemory.h"
#include "runtime/plan/PlanReader.h"
#include "runtime/plan/Target.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <new>

using namespace llmc;
using namespace llmc::plan;

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
    if (Result<void> taken = s->takeMemory(options.warn); !taken) {
      return taken.error();
    }
    if (Result<void> opened = s->openSpill(options); !opened) {
      return named(opened.error());
    }
    s->pool = std::make_unique<kernels::ThreadPool>(
        options.threads > 0 ? options.threads : defaultThreads());
    if (options.profile || options.traceEvents) {
      s->profile = std::make_unique<Profiler>(s->thePlan, options.traceEvents);
    }
    Result<std::unique_ptr<GeneratedCode>> code = GeneratedCode::load(
        s->thePlan, hostTarget().level, archLevel(kernels::hostIsa()));
    if (!code) {
      return named(code.error());
    }
    s->code = std::move(*code);
    Result<std::unique_ptr<Executor>> executor = Executor::create(
        s->thePlan, s->memory, s->weights,
        CopySources{s->engine.get(), s->spillEngine.get(), s->spill.get()},
        *s->firstUse, s->pool.get(), s->profile.get(), options.poison,
        s->code.get());
    s->thePlan.code.variants = {}; // the chosen one has been copied
    if (!executor) {
      return named(executor.error());
    }
    s->executor = std::move(*executor);
    if (Result<void> filled = s->fillArena(); !filled) {
      return filled.error();
    }
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
  firstUse = std::make_unique<FirstUse>(thePlan, options.checksum);
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
  Result<std::unique_ptr<io::TransferEngine>> made =
      io::TransferEngine::create(weights, options.io);
  if (!made) {
    return made.error();
  }
  engine = std::move(*made);
  return {};
}

Result<void> Session::openSpill(const SessionOptions &options) {
  Result<std::unique_ptr<SpillFile>> made = SpillFile::create(
      thePlan, memory, options.spillFolder, options.spillWrite);
  if (!made) {
    return made.error();
  }
  spill = std::move(*made);
  if (!spill) {
    return {};
  }
  // Reads in flight share the disk: the first one of a run, for which everybody
  // waits, takes as long as all of them. A few are as fast as many.
  constexpr uint32_t kReadsInFlight = 4;
  io::IoOptions io = options.io;
  io.depth = std::min(io.depth, kReadsInFlight);
  Result<std::unique_ptr<io::TransferEngine>> reader =
      io::TransferEngine::create(spill->source(), io);
  if (!reader) {
    return reader.error();
  }
  spillEngine = std::move(*reader);
  return {};
}

Result<void> Session::takeMemory(void (*warn)(const std::string &)) {
  uint64_t deviceBytes = thePlan.totals.arenaBytes;
  uint64_t hostBytes = thePlan.totals.hostBytes;
  for (const Buffer &buffer : thePlan.buffers) {
    uint64_t end = 0;
    if (__builtin_add_overflow(buffer.offset, buffer.size, &end)) {
      return {ErrorCode::PlanUnsafe,
              path + ": buffer '" + buffer.name + "' lies beyond 2^64"};
    }
    if (buffer.tier == Tier::Disk && buffer.kind != BufferKind::Weight &&
        buffer.kind != BufferKind::State &&
        buffer.kind != BufferKind::Activation) {
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
  Result<std::string> warning =
      checkRoom(path, needed, thePlan.totals.minimumBytes, freeMemory());
  if (!warning) {
    return warning.error();
  }
  if (!warning->empty() && warn) {
    warn(*warning);
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

Result<void> Session::fillArena() {
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
  if (Result<void> loaded = loadResident(); !loaded) {
    return loaded;
  }
  return compareRest();
}

Result<void> Session::loadResident() {
  struct Load {
    uint32_t segment;
    uint64_t offset; // in the segment
    uint64_t bytes;
    uint8_t *target;
  };
  std::vector<Load> loads;
  const auto add = [&](const Load &load) -> Result<void> {
    loads.push_back(load);
    return engine->allow(thePlan.segments[load.segment].offset + load.offset,
                         load.target, load.bytes);
  };
  for (const Buffer &buffer : thePlan.buffers) {
    if (buffer.kind != BufferKind::Weight || buffer.segment == kNone ||
        buffer.tier == Tier::Disk ||
        thePlan.segments[buffer.segment].size == 0) {
      continue;
    }
    const Segment &segment = thePlan.segments[buffer.segment];
    uint8_t *target =
        memory.base[static_cast<size_t>(buffer.tier)] + buffer.offset;
    if (segment.size > buffer.size || !engine) {
      return {ErrorCode::PlanUnsafe, path + ": segment '" + segment.name +
                                         "' does not fit its buffer"};
    }
    if (Result<void> added = add({buffer.segment, 0, segment.size, target});
        !added) {
      return added;
    }
  }
  for (const CarriedSlot &slot : thePlan.carried) {
    if (Result<void> added = add({slot.segment, slot.sourceOffset, slot.bytes,
                                  device.data() + slot.offset});
        !added) {
      return added;
    }
  }
  // Checksums are taken while the next segments are being read.
  const uint64_t first = engine ? engine->completed() : 0;
  size_t begun = 0;
  size_t done = 0;
  while (done < loads.size()) {
    for (; begun < loads.size() && !engine->full(); ++begun) {
      const Load &load = loads[begun];
      engine->begin(thePlan.segments[load.segment].offset + load.offset,
                    load.target, load.bytes);
    }
    engine->pump(true);
    if (engine->failure().failed) {
      return io::describe(weights, engine->failure());
    }
    for (; done < engine->completed() - first; ++done) {
      const Load &load = loads[done];
      if (load.bytes == thePlan.segments[load.segment].size &&
          firstUse->pending(load.segment) &&
          !firstUse->arrived(load.segment, 0, load.target, load.bytes)) {
        return firstUse->mismatch(weights, load.segment);
      }
    }
  }
  return {};
}

/// What is neither resident nor streamed in order.
Result<void> Session::compareRest() {
  std::map<uint64_t, size_t> storedAt;
  for (size_t i = 0; weightsFile && i < weightsFile->segments().size(); ++i) {
    if (weightsFile->segments()[i].size != 0) {
      storedAt[weightsFile->segments()[i].offset] = i;
    }
  }
  for (uint32_t i = 0; i < thePlan.segments.size(); ++i) {
    // What is not resident is still pending.
    if (!firstUse->pending(i) || firstUse->deferred(i) ||
        !firstUse->streamed(i)) {
      continue;
    }
    const auto stored = storedAt.find(thePlan.segments[i].offset);
    if (stored != storedAt.end()) {
      if (Result<void> good = weightsFile->verify(stored->second); !good) {
        return good;
      }
    }
    firstUse->trust(i);
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
