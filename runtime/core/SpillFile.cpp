//===- SpillFile.cpp ------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/core/SpillFile.h"

#include "runtime/core/Machine.h"
#include "runtime/plan/CheckKernels.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

using namespace llmc;

/// Where a swapped activation lies while it is out.
static bool isSwappedPlace(const plan::Buffer &buffer) {
  return buffer.tier == plan::Tier::Disk &&
         buffer.kind == plan::BufferKind::Activation;
}

static std::string reason(int error) {
  return std::string(std::strerror(error)) + " (errno " +
         std::to_string(error) + ")";
}

/// An open file without a name in `folder`; -1 and errno.
static int openUnnamed(const std::string &folder) {
  int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
    return fd;
  }
  std::string name = folder + "/llmc-spill-XXXXXX";
  fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd >= 0) {
    unlink(name.c_str());
  }
  return fd;
}

Result<std::unique_ptr<SpillFile>> SpillFile::create(const plan::Plan &plan,
                                                     const TierMemory &memory,
                                                     const std::string &folder,
                                                     WriteHook hook) {
  std::unique_ptr<SpillFile> spill(new SpillFile());
  uint64_t bytes = 0;
  spill->states.resize(plan.states.size());
  for (size_t i = 0; i < plan.states.size(); ++i) {
    const plan::State &state = plan.states[i];
    if (state.spill == plan::kNone) {
      continue;
    }
    const plan::Buffer &below = plan.buffers[state.spill];
    State &mine = spill->states[i];
    mine.offset = below.offset;
    mine.firstBlock = static_cast<uint64_t>(state.residentBlocks);
    mine.blockBytes = plan::blockBytes(state).value_or(0);
    mine.tokens = static_cast<uint64_t>(state.blockTokens);
    const uint64_t tailAt = mine.firstBlock * mine.blockBytes;
    uint8_t *base = bufferAddress(plan, state.buffer, memory);
    if (!base || plan.buffers[state.buffer].size < tailAt + mine.blockBytes) {
      return Error{ErrorCode::PlanUnsafe,
                   "state '" + state.name +
                       "' has no room for the block that is being filled"};
    }
    mine.tail = base + tailAt;
    bytes = std::max(bytes, below.offset + below.size);
  }
  for (const plan::Buffer &buffer : plan.buffers) {
    if (isSwappedPlace(buffer)) {
      bytes = std::max(bytes, buffer.offset + buffer.size);
    }
  }
  if (bytes == 0) {
    return std::unique_ptr<SpillFile>();
  }
  const char *temporary = std::getenv("TMPDIR");
  const std::string where = !folder.empty()           ? folder
                            : temporary && *temporary ? temporary
                                                      : "/tmp";
  spill->file.path = where + " (spill file)";
  spill->file.fd = openUnnamed(where);
  if (spill->file.fd < 0) {
    return Error{ErrorCode::TransferFailed,
                 where + ": cannot make a spill file: " + reason(errno) +
                     "; name another folder with --spill-dir"};
  }
  // Now, and not in the middle of a text, is the time to find the disk full.
  const int error =
      posix_fallocate(spill->file.fd, 0, static_cast<off_t>(bytes));
  if (error != 0) {
    struct statvfs info{};
    const bool known = fstatvfs(spill->file.fd, &info) == 0;
    // What was reserved before it failed counts as taken.
    if (known && ftruncate(spill->file.fd, 0) == 0) {
      fstatvfs(spill->file.fd, &info);
    }
    const uint64_t available =
        known ? uint64_t(info.f_bavail) * info.f_frsize : 0;
    return Error{error == ENOSPC ? ErrorCode::NoSpace
                                 : ErrorCode::TransferFailed,
                 where + ": cannot reserve the spill file: " + reason(error) +
                     "; needed " + formatBytes(bytes) + " (" +
                     std::to_string(bytes) + " bytes), available " +
                     formatBytes(available) + " (" + std::to_string(available) +
                     " bytes); name another folder with --spill-dir"};
  }
  spill->writeSome = hook ? std::move(hook) : WriteHook(pwrite);
  return spill;
}

SpillFile::~SpillFile() {
  if (file.fd >= 0) {
    close(file.fd);
  }
}

SpillFile::Piece SpillFile::restore(const Action &action) const {
  const State &state = states[action.state];
  uint64_t blocks = action.moveEnd - action.moveBegin;
  // Only the last one can be the tail: past ends there.
  if (blocks != 0 &&
      action.firstBlock + action.moveEnd - 1 == state.tailBlock) {
    --blocks;
    std::memcpy(action.target + blocks * state.blockBytes, state.tail,
                state.blockBytes);
  }
  return {offsetOf(action), blocks * state.blockBytes};
}

WriteFailure SpillFile::write(uint64_t offset, const uint8_t *data,
                              uint64_t bytes) {
  const uint64_t end = offset + bytes;
  for (uint64_t at = offset; at != end;) {
    const ssize_t put =
        writeSome(file.fd, data, end - at, static_cast<off_t>(at));
    if (put <= 0) {
      if (put < 0 && errno == EINTR) {
        continue;
      }
      return {true, at, put == 0 ? ENOSPC : errno};
    }
    data += put;
    at += static_cast<uint64_t>(put);
  }
  if (bytes != 0) {
    // On its way, so that a direct read does not have to wait for it.
    sync_file_range(file.fd, static_cast<off_t>(offset),
                    static_cast<off_t>(bytes), SYNC_FILE_RANGE_WRITE);
  }
  return {};
}

WriteFailure SpillFile::take(const Action &action) {
  return action.kind == plan::StepKind::SwapOut
             ? write(action.fileOffset, action.target, action.bytes)
             : spill(action);
}

WriteFailure SpillFile::spill(const Action &action) {
  State &state = states[action.state];
  if (action.moveBegin == action.moveEnd) {
    return {};
  }
  const uint64_t begin = action.firstBlock + action.moveBegin;
  const uint64_t end = action.firstBlock + action.moveEnd;
  const uint64_t full = std::min(end, action.tokens / state.tokens);
  const uint8_t *data = action.target + action.moveBegin * state.blockBytes;
  const uint64_t offset =
      state.offset + (begin - state.firstBlock) * state.blockBytes;
  const uint64_t left = full > begin ? (full - begin) * state.blockBytes : 0;
  if (const WriteFailure failure = write(offset, data, left); failure.failed) {
    return failure;
  }
  data += left;
  if (state.tailBlock >= begin && state.tailBlock < full) {
    state.tailBlock = UINT64_MAX;
  }
  if (full < end) {
    state.tailBlock = end - 1;
    std::memcpy(state.tail, data, state.blockBytes);
  }
  return {};
}

Error SpillFile::describe(const WriteFailure &failure) const {
  return {ErrorCode::TransferFailed, file.path + ": cannot write at byte " +
                                         std::to_string(failure.offset) + ": " +
                                         reason(failure.error)};
}

Result<void> SpillFile::read(uint32_t index, uint64_t block,
                             uint8_t *target) const {
  const State &state = states[index];
  if (block == state.tailBlock) {
    std::memcpy(target, state.tail, state.blockBytes);
    return {};
  }
  uint64_t done = 0;
  const uint64_t offset =
      state.offset + (block - state.firstBlock) * state.blockBytes;
  while (done < state.blockBytes) {
    const ssize_t got = pread(file.fd, target + done, state.blockBytes - done,
                              static_cast<off_t>(offset + done));
    if (got <= 0) {
      if (got < 0 && errno == EINTR) {
        continue;
      }
      return Error{ErrorCode::TransferFailed,
                   file.path + ": cannot read at byte " +
                       std::to_string(offset + done) + ": " +
                       reason(got == 0 ? EIO : errno)};
    }
    done += static_cast<uint64_t>(got);
  }
  return {};
}
