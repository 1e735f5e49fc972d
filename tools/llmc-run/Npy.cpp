//===- Npy.cpp ------------------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/llmc-run/Npy.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;
using plan::DType;

namespace {

struct TypeCode {
  DType dtype;
  const char *code;
};

constexpr TypeCode kTypeCodes[] = {
    {DType::F32, "<f4"}, {DType::F16, "<f2"}, {DType::F64, "<f8"},
    {DType::I8, "|i1"},  {DType::U8, "|u1"},  {DType::I16, "<i2"},
    {DType::U16, "<u2"}, {DType::I32, "<i4"}, {DType::U32, "<u4"},
    {DType::I64, "<i8"}, {DType::U64, "<u8"}, {DType::Bool, "|b1"},
};

// Room for any shape a plan can have, and a multiple of 64 as NumPy wants it.
constexpr size_t kHeaderBytes = 256;

std::string header(DType dtype, std::span<const int64_t> dims) {
  const char *code = nullptr;
  for (const TypeCode &type : kTypeCodes) {
    code = type.dtype == dtype ? type.code : code;
  }
  if (dtype == DType::BF16) {
    code = "<u2";
  }
  if (!code) {
    return {};
  }
  std::string dict = std::string("{'descr': '") + code +
                     "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < dims.size(); ++i) {
    dict += std::to_string(dims[i]) + (dims.size() == 1 ? "," : "") +
            (i + 1 < dims.size() ? ", " : "");
  }
  dict += "), }";
  if (dict.size() + 11 > kHeaderBytes) {
    return {};
  }
  dict.resize(kHeaderBytes - 11, ' ');
  dict += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  const size_t length = kHeaderBytes - 10;
  out += static_cast<char>(length & 0xff);
  out += static_cast<char>(length >> 8);
  return out + dict;
}

Error systemError(ErrorCode code, const std::string &what,
                  const std::string &path) {
  return {code, what + " " + path + ": " + std::strerror(errno)};
}

bool writeAll(int fd, const void *data, size_t bytes) {
  const char *at = static_cast<const char *>(data);
  while (bytes) {
    const ssize_t n = ::write(fd, at, bytes);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

/// The text between the value's start and its end in the header's dictionary.
bool findValue(const std::string &dict, const std::string &key,
               std::string &value) {
  size_t at = dict.find("'" + key + "'");
  if (at == std::string::npos) {
    at = dict.find("\"" + key + "\"");
  }
  if (at == std::string::npos ||
      (at = dict.find(':', at)) == std::string::npos) {
    return false;
  }
  ++at;
  while (at < dict.size() && dict[at] == ' ') {
    ++at;
  }
  size_t end = at;
  if (at < dict.size() && (dict[at] == '\'' || dict[at] == '"')) {
    end = dict.find(dict[at], at + 1);
    ++at;
  } else if (at < dict.size() && dict[at] == '(') {
    end = dict.find(')', at);
    ++at;
  } else {
    end = dict.find_first_of(",}", at);
  }
  if (end == std::string::npos) {
    return false;
  }
  value = dict.substr(at, end - at);
  return true;
}

/// Turns Fortran order (first index fastest) to C order.
std::vector<uint8_t> toRowMajor(const std::vector<uint8_t> &data,
                                const std::vector<int64_t> &dims,
                                size_t elementBytes) {
  std::vector<uint8_t> out(data.size());
  const size_t count = data.size() / elementBytes;
  for (size_t i = 0; i < count; ++i) {
    size_t rest = i;
    size_t source = 0;
    size_t block = count;
    for (size_t d = dims.size(); d-- > 0;) {
      const auto extent = static_cast<size_t>(dims[d]);
      block /= extent;
      source += rest % extent * block;
      rest /= extent;
    }
    std::memcpy(out.data() + i * elementBytes,
                data.data() + source * elementBytes, elementBytes);
  }
  return out;
}

} // namespace

Result<npy::Array> npy::read(const std::string &path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return systemError(errno == ENOENT ? ErrorCode::FileNotFound
                                       : ErrorCode::FileUnreadable,
                       "cannot read", path);
  }
  std::vector<uint8_t> bytes;
  struct stat info{};
  if (fstat(fd, &info) == 0 && info.st_size > 0) {
    bytes.reserve(static_cast<size_t>(info.st_size) + 1);
  }
  uint8_t chunk[65536];
  ssize_t n = 0;
  while ((n = ::read(fd, chunk, sizeof(chunk))) > 0 ||
         (n < 0 && errno == EINTR)) {
    if (n > 0) {
      bytes.insert(bytes.end(), chunk, chunk + n);
    }
  }
  const int failure = n < 0 ? errno : 0;
  close(fd);
  if (failure) {
    errno = failure;
    return systemError(ErrorCode::FileUnreadable, "cannot read", path);
  }
  const auto malformed = [&](const std::string &what) {
    return Error{ErrorCode::FileMalformed, path + ": " + what};
  };
  if (bytes.size() < 10 || std::memcmp(bytes.data(), "\x93NUMPY", 6) != 0) {
    return malformed("not a .npy file");
  }
  const int version = bytes[6];
  size_t headerStart = 10;
  size_t headerLength = bytes[8] | size_t(bytes[9]) << 8;
  if (version >= 2) {
    if (version > 3 || bytes.size() < 12) {
      return malformed("unknown .npy version " + std::to_string(version));
    }
    headerStart = 12;
    headerLength |= size_t(bytes[10]) << 16 | size_t(bytes[11]) << 24;
  }
  if (headerLength > bytes.size() - headerStart) {
    return malformed("the header is cut off");
  }
  const std::string dict(
      reinterpret_cast<const char *>(bytes.data()) + headerStart, headerLength);
  std::string descr;
  std::string order;
  std::string shape;
  if (!findValue(dict, "descr", descr) ||
      !findValue(dict, "fortran_order", order) ||
      !findValue(dict, "shape", shape) || descr.empty()) {
    return malformed("the header lacks descr, fortran_order or shape");
  }
  Array array;
  bool known = false;
  for (const TypeCode &type : kTypeCodes) {
    // '=' and '|' mean the native order where there is one.
    if (descr.substr(1) == type.code + 1 && descr[0] != '>') {
      array.dtype = type.dtype;
      known = true;
    }
  }
  if (!known) {
    return malformed("elements of type '" + descr +
                     "' are not supported (little-endian bool, integers and "
                     "floats of 16 to 64 bits are)");
  }
  const size_t elementBytes = bitWidth(array.dtype) / 8;
  const size_t dataBytes = bytes.size() - headerStart - headerLength;
  uint64_t count = 1;
  for (size_t at = 0; at < shape.size();) {
    if (shape[at] == ' ' || shape[at] == ',') {
      ++at;
      continue;
    }
    uint64_t extent = 0;
    const size_t begin = at;
    while (at < shape.size() && shape[at] >= '0' && shape[at] <= '9' &&
           at - begin < 18) {
      extent = extent * 10 + static_cast<uint64_t>(shape[at++] - '0');
    }
    if (at == begin || __builtin_mul_overflow(count, extent, &count)) {
      return malformed("the shape (" + shape + ") is not valid");
    }
    array.dims.push_back(static_cast<int64_t>(extent));
  }
  uint64_t expected = 0;
  if (__builtin_mul_overflow(count, uint64_t(elementBytes), &expected) ||
      expected != dataBytes) {
    return malformed("the shape (" + shape + ") of '" + descr +
                     "' does not match the " + std::to_string(dataBytes) +
                     " bytes of data");
  }
  array.data.assign(bytes.begin() +
                        static_cast<ptrdiff_t>(headerStart + headerLength),
                    bytes.end());
  if (order == "True" && array.dims.size() > 1 && count > 0) {
    array.data = toRowMajor(array.data, array.dims, elementBytes);
  }
  return array;
}

Result<void> npy::write(const std::string &path, DType dtype,
                        std::span<const int64_t> dims, const void *data,
                        size_t bytes) {
  const std::string head = header(dtype, dims);
  if (head.empty()) {
    return {ErrorCode::Unsupported,
            path + ": .npy has no type for " + std::string(name(dtype))};
  }
  const std::string temporary = path + ".tmp" + std::to_string(getpid());
  const int fd =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    return systemError(ErrorCode::FileUnwritable, "cannot write", path);
  }
  bool good =
      writeAll(fd, head.data(), head.size()) && writeAll(fd, data, bytes);
  int failure = errno;
  if (close(fd) != 0 && good) {
    good = false;
    failure = errno;
  }
  if (good && std::rename(temporary.c_str(), path.c_str()) != 0) {
    good = false;
    failure = errno;
  }
  if (!good) {
    unlink(temporary.c_str());
    errno = failure;
    return systemError(ErrorCode::FileUnwritable, "cannot write", path);
  }
  return {};
}

npy::RowWriter::~RowWriter() {
  if (fd >= 0) {
    close(fd);
    unlink(temporary.c_str());
  }
}

Result<void> npy::RowWriter::open(const std::string &file, int64_t columns) {
  path = file;
  temporary = file + ".tmp" + std::to_string(getpid());
  width = columns;
  fd =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  const std::string blank(kHeaderBytes, ' ');
  if (fd < 0 || !writeAll(fd, blank.data(), blank.size())) {
    return systemError(ErrorCode::FileUnwritable, "cannot write", path);
  }
  return {};
}

Result<void> npy::RowWriter::append(std::span<const float> row) {
  ++rows;
  if (!writeAll(fd, row.data(), row.size() * sizeof(float))) {
    return systemError(ErrorCode::FileUnwritable, "cannot write", path);
  }
  return {};
}

Result<void> npy::RowWriter::finish() {
  const int64_t dims[] = {rows, width};
  const std::string head = header(DType::F32, dims);
  const bool good =
      lseek(fd, 0, SEEK_SET) == 0 && writeAll(fd, head.data(), head.size());
  const int closed = close(fd);
  fd = -1;
  if (!good || closed != 0 ||
      std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int failure = errno;
    unlink(temporary.c_str());
    errno = failure;
    return systemError(ErrorCode::FileUnwritable, "cannot write", path);
  }
  return {};
}
