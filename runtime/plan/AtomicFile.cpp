//===- AtomicFile.cpp - Whole files in, whole files out -------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/AtomicFile.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

namespace llmc::plan {

/// The kernel moves at most 2 GiB - 4096 per call; smaller pieces also keep
/// the time between two signals short.
static constexpr uint64_t kMaxTransfer = uint64_t(1) << 30;

std::string formatBytes(uint64_t bytes) {
  static constexpr const char *units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  }
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof(text), "%.2f %s", value, units[unit]);
  return text;
}

static std::string folderOf(const std::string &path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

//===----------------------------------------------------------------------===//
// AtomicFile
//===----------------------------------------------------------------------===//

Error AtomicFile::failure(const char *what, int error) const {
  ErrorCode code = error == ENOSPC || error == EFBIG || error == EDQUOT
                       ? ErrorCode::NoSpace
                       : ErrorCode::FileUnwritable;
  return {code, target + ": " + what + ": " + std::strerror(error)};
}

Result<AtomicFile> AtomicFile::create(const std::string &path, uint64_t bytes) {
  AtomicFile file;
  file.target = path;
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::FileUnwritable,
                 path + ": exists and is not a regular file"};
  }
  std::string folder = folderOf(path);
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) != 0) {
    return file.failure("cannot write into its folder", errno);
  }
  __extension__ using Wide = unsigned __int128;
  Wide available = Wide(space.f_bavail) * space.f_frsize;
  if (available < bytes) {
    return Error{ErrorCode::NoSpace,
                 path + ": needs " + formatBytes(bytes) + " (" +
                     std::to_string(bytes) + " bytes) of disk space, " +
                     formatBytes(static_cast<uint64_t>(available)) + " (" +
                     std::to_string(static_cast<uint64_t>(available)) +
                     " bytes) are free in " + folder};
  }
  file.temporary = path + ".tmp.XXXXXX";
  file.fd = ::mkostemp(file.temporary.data(), O_CLOEXEC);
  if (file.fd < 0) {
    int error = errno;
    file.temporary.clear();
    return file.failure("cannot create a file there", error);
  }
  // mkostemp makes it private; a result has the permissions of any new file.
  mode_t mask = ::umask(0);
  ::umask(mask);
  (void)::fchmod(file.fd, 0666 & ~mask);
  return file;
}

AtomicFile::AtomicFile(AtomicFile &&other) noexcept
    : target(std::move(other.target)), temporary(std::move(other.temporary)),
      fd(std::exchange(other.fd, -1)) {
  other.temporary.clear();
}

AtomicFile &AtomicFile::operator=(AtomicFile &&other) noexcept {
  if (this != &other) {
    discard();
    target = std::move(other.target);
    temporary = std::move(other.temporary);
    other.temporary.clear();
    fd = std::exchange(other.fd, -1);
  }
  return *this;
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() {
  if (fd >= 0) {
    ::close(fd);
    fd = -1;
  }
  if (!temporary.empty()) {
    ::unlink(temporary.c_str());
    temporary.clear();
  }
}

Result<void> AtomicFile::write(uint64_t offset,
                               std::span<const uint8_t> bytes) {
  const uint8_t *data = bytes.data();
  uint64_t left = bytes.size();
  while (left != 0) {
    ssize_t done = ::pwrite(fd, data, left < kMaxTransfer ? left : kMaxTransfer,
                            static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done <= 0) {
      return failure(("cannot write at byte " + std::to_string(offset)).c_str(),
                     done == 0 ? ENOSPC : errno);
    }
    data += done;
    offset += static_cast<uint64_t>(done);
    left -= static_cast<uint64_t>(done);
  }
  return {};
}

Result<void> AtomicFile::commit() {
  if (::fsync(fd) != 0 && errno != EINVAL) {
    return failure("cannot flush to the disk", errno);
  }
  int closed = ::close(std::exchange(fd, -1));
  if (closed != 0 && errno != EINTR) {
    return failure("cannot close", errno);
  }
  if (::rename(temporary.c_str(), target.c_str()) != 0) {
    return failure("cannot rename the finished file", errno);
  }
  temporary.clear();
  return {};
}

//===----------------------------------------------------------------------===//
// InputFile
//===----------------------------------------------------------------------===//

Result<InputFile> InputFile::open(const std::string &path) {
  InputFile file;
  file.name = path;
  // O_NONBLOCK: a FIFO by mistake is refused below instead of waited for.
  file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0) {
    return Error{errno == ENOENT ? ErrorCode::FileNotFound
                                 : ErrorCode::FileUnreadable,
                 path + ": cannot open: " + std::strerror(errno)};
  }
  struct stat status{};
  if (::fstat(file.fd, &status) != 0) {
    return Error{ErrorCode::FileUnreadable,
                 path + ": cannot stat: " + std::strerror(errno)};
  }
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::FileUnreadable,
                 path + (S_ISDIR(status.st_mode) ? ": is a folder, not a file"
                                                 : ": is not a regular file")};
  }
  file.length = static_cast<uint64_t>(status.st_size);
  return file;
}

Result<InputFile> InputFile::openRange(const std::string &path, uint64_t base,
                                       uint64_t bytes) {
  Result<InputFile> file = open(path);
  if (file && (base > file->length || bytes > file->length - base)) {
    return Error{ErrorCode::FileTruncated,
                 path + ": " + std::to_string(file->length) +
                     " bytes, expected " + std::to_string(bytes) + " at byte " +
                     std::to_string(base)};
  }
  if (file) {
    file->start = base;
    file->length = bytes;
  }
  return file;
}

InputFile::InputFile(InputFile &&other) noexcept
    : name(std::move(other.name)), start(other.start), length(other.length),
      fd(std::exchange(other.fd, -1)) {}

InputFile &InputFile::operator=(InputFile &&other) noexcept {
  if (this != &other) {
    if (fd >= 0) {
      ::close(fd);
    }
    name = std::move(other.name);
    start = other.start;
    length = other.length;
    fd = std::exchange(other.fd, -1);
  }
  return *this;
}

InputFile::~InputFile() {
  if (fd >= 0) {
    ::close(fd);
  }
}

Result<void> InputFile::read(uint64_t offset, uint64_t bytes,
                             void *target) const {
  auto *data = static_cast<uint8_t *>(target);
  while (bytes != 0) {
    ssize_t done =
        ::pread(fd, data, bytes < kMaxTransfer ? bytes : kMaxTransfer,
                static_cast<off_t>(start + offset));
    if (done < 0 && errno == EINTR) {
      continue;
    }
    if (done < 0) {
      return Error{ErrorCode::FileUnreadable, name + ": cannot read at byte " +
                                                  std::to_string(offset) +
                                                  ": " + std::strerror(errno)};
    }
    if (done == 0) {
      return Error{ErrorCode::FileTruncated,
                   name + ": ends at byte " + std::to_string(offset) +
                       ", expected " + std::to_string(bytes) + " more bytes"};
    }
    data += done;
    offset += static_cast<uint64_t>(done);
    bytes -= static_cast<uint64_t>(done);
  }
  return {};
}

} // namespace llmc::plan
