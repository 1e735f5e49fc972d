//===- runtool_npy.cpp - .npy files and streamed text ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "core_plans.h"

#include "tools/llmc-run/Npy.h"
#include "tools/llmc-run/TextStream.h"

#include "runtime/tokenizer/Tokenizer.h"

#include <cstdint>

using namespace llmc;
using llmc::test::TemporaryFolder;
using plan::DType;

static void writeBytes(const std::string &path, const std::string &bytes) {
  std::FILE *file = std::fopen(path.c_str(), "wb");
  std::fwrite(bytes.data(), 1, bytes.size(), file);
  std::fclose(file);
}

/// A .npy file as NumPy writes it.
static std::string npyFile(const std::string &dict, const std::string &data,
                           int version = 1) {
  std::string header = dict;
  const size_t prefix = version == 1 ? 10 : 12;
  while ((header.size() + prefix + 1) % 64 != 0) {
    header += ' ';
  }
  header += '\n';
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  for (size_t i = 0; i < prefix - 8; ++i) {
    out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  return out + header + data;
}

TEST(RuntoolNpy, EveryTypeComesBack) {
  TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  const std::vector<uint8_t> bytes = {
      1, 0, 1, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8,
      1, 0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 2, 3, 4, 5};
  for (DType dtype : {DType::F32, DType::F16, DType::F64, DType::I8, DType::U8,
                      DType::I16, DType::U16, DType::I32, DType::U32,
                      DType::I64, DType::U64, DType::Bool}) {
    const int64_t dims[] = {2, 3};
    const size_t size = 6 * bitWidth(dtype) / 8;
    ASSERT_TRUE(bool(npy::write(path, dtype, dims, bytes.data(), size)));
    Result<npy::Array> back = npy::read(path);
    ASSERT_TRUE(bool(back)) << back.error().message;
    EXPECT_EQ(back->dtype, dtype);
    EXPECT_EQ(back->dims, (std::vector<int64_t>{2, 3}));
    EXPECT_TRUE(
        std::equal(back->data.begin(), back->data.end(), bytes.begin()));
    EXPECT_EQ(back->data.size(), size);
  }
  EXPECT_FALSE(npy::write(path, DType::I4, std::vector<int64_t>{2}, "a", 1));
  ASSERT_TRUE(bool(npy::write(path, DType::F32, {}, bytes.data(), 4)));
  EXPECT_EQ(npy::read(path)->dims.size(), 0u);
  ASSERT_TRUE(bool(
      npy::write(path, DType::F32, std::vector<int64_t>{1}, bytes.data(), 4)));
  EXPECT_EQ(npy::read(path)->dims, std::vector<int64_t>{1});
}

TEST(RuntoolNpy, ReadsWhatNumPyWrites) {
  TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  writeBytes(
      path,
      npyFile("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }",
              std::string("\x01\0\x04\0\x02\0\x05\0\x03\0\x06\0", 12)));
  Result<npy::Array> array = npy::read(path);
  ASSERT_TRUE(bool(array)) << array.error().message;
  EXPECT_EQ(array->data,
            (std::vector<uint8_t>{1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}));
  writeBytes(path, npyFile("{'shape': (0, 5), 'fortran_order': False, "
                           "'descr': '|b1'}",
                           "", 2));
  array = npy::read(path);
  ASSERT_TRUE(bool(array)) << array.error().message;
  EXPECT_EQ(array->dims, (std::vector<int64_t>{0, 5}));
}

TEST(RuntoolNpy, RefusesWhatItDoesNotUnderstand) {
  TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  const auto messageFor = [&](const std::string &bytes) {
    writeBytes(path, bytes);
    Result<npy::Array> array = npy::read(path);
    EXPECT_FALSE(array) << bytes;
    return array ? "" : array.error().message;
  };
  const std::string order = "'fortran_order': False, ";
  EXPECT_NE(messageFor("hello").find("not a .npy file"), std::string::npos);
  EXPECT_NE(messageFor(
                npyFile("{'descr': '>f4', " + order + "'shape': (1,)}", "abcd"))
                .find("'>f4'"),
            std::string::npos);
  EXPECT_NE(messageFor(
                npyFile("{'descr': '<U4', " + order + "'shape': (1,)}", "abcd"))
                .find("'<U4'"),
            std::string::npos);
  EXPECT_NE(messageFor(
                npyFile("{'descr': '<f4', " + order + "'shape': (2,)}", "abcd"))
                .find("4 bytes of data"),
            std::string::npos);
  messageFor(npyFile("{'descr': '<f4', " + order + "'shape': (-1,)}", "abcd"));
  messageFor(npyFile("{'descr': '<f4', " + order +
                         "'shape': (99999999999, 99999999999, 99999999)}",
                     "abcd"));
  messageFor(npyFile("{'descr': '<f4'}", "abcd"));
  messageFor(npyFile("", ""));
  messageFor(std::string("\x93NUMPY\x01\0\xff\xff", 10) + "{");
  messageFor(npyFile("{'descr': '<f4', 'shape': (1,)}", "abcd", 9));
  EXPECT_EQ(npy::read(folder / "none").error().code, ErrorCode::FileNotFound);
}

TEST(RuntoolNpy, RowsAppearOnlyWhenFinished) {
  TemporaryFolder folder;
  const std::string path = folder / "rows.npy";
  {
    npy::RowWriter abandoned;
    ASSERT_TRUE(bool(abandoned.open(path, 3)));
    ASSERT_TRUE(bool(abandoned.append(std::vector<float>{1, 2, 3})));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / ""));
  npy::RowWriter rows;
  ASSERT_TRUE(bool(rows.open(path, 3)));
  for (float i = 0; i < 5; ++i) {
    ASSERT_TRUE(bool(rows.append(std::vector<float>{i, i + 1, i + 2})));
  }
  ASSERT_TRUE(bool(rows.finish()));
  Result<npy::Array> array = npy::read(path);
  ASSERT_TRUE(bool(array)) << array.error().message;
  EXPECT_EQ(array->dims, (std::vector<int64_t>{5, 3}));
  float last = 0;
  std::memcpy(&last, array->data.data() + 14 * 4, 4);
  EXPECT_EQ(last, 6);
}

//===----------------------------------------------------------------------===//
// TextStream
//===----------------------------------------------------------------------===//

/// A byte-level tokenizer whose tokens are single characters.
static tokenizer::Tokenizer letters() {
  std::string vocabulary;
  const std::string alphabet = "abcdefghijklmnopqrstuvwxyz";
  for (size_t i = 0; i < alphabet.size(); ++i) {
    vocabulary +=
        (i ? ",\"" : "\"") + alphabet.substr(i, 1) + "\":" + std::to_string(i);
  }
  auto made = tokenizer::Tokenizer::fromTokenizerJson(
      R"({"model":{"type":"BPE","vocab":{)" + vocabulary +
      R"(},"merges":[]},"pre_tokenizer":{"type":"ByteLevel",)"
      R"("add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
      R"("decoder":{"type":"ByteLevel","add_prefix_space":false,)"
      R"("trim_offsets":true,"use_regex":true}})");
  EXPECT_TRUE(bool(made)) << (made ? "" : made.error().message);
  return *made;
}

/// Feeds letters; returns what was written, with '|' where a token ended.
static std::string stream(const std::string &text,
                          std::vector<std::string> stops, bool *stopped,
                          std::string *collected) {
  const tokenizer::Tokenizer tokens = letters();
  char *buffer = nullptr;
  size_t size = 0;
  std::FILE *out = open_memstream(&buffer, &size);
  tool::TextStream stream(&tokens, std::move(stops), out, 10);
  std::string shown;
  size_t seen = 0;
  *stopped = false;
  for (char letter : text) {
    *stopped = stream.push(letter - 'a');
    std::fflush(out);
    shown += std::string(buffer + seen, size - seen) + "|";
    seen = size;
    if (*stopped) {
      break;
    }
  }
  stream.finish();
  std::fflush(out);
  shown += std::string(buffer + seen, size - seen);
  std::fclose(out);
  std::free(buffer);
  *collected = stream.text();
  return shown;
}

TEST(RuntoolTextStream, HoldsBackWhatMayBeAStop) {
  bool stopped = false;
  std::string text;
  EXPECT_EQ(stream("hello", {}, &stopped, &text), "h|e|l|l|o|");
  EXPECT_FALSE(stopped);
  EXPECT_EQ(stream("abxabc", {"abc"}, &stopped, &text), "||abx||||");
  EXPECT_TRUE(stopped);
  EXPECT_EQ(text, "abx");
  // What was held back comes at the end.
  EXPECT_EQ(stream("xab", {"abc"}, &stopped, &text), "x|||ab");
  EXPECT_FALSE(stopped);
  EXPECT_EQ(text, "xab");
  // A stop that overlaps itself, the earliest of several, and an empty one.
  EXPECT_EQ(stream("aaab", {"aab"}, &stopped, &text), "||a||");
  EXPECT_EQ(text, "a");
  stream("abcd", {"cd", "bcd", ""}, &stopped, &text);
  EXPECT_TRUE(stopped);
  EXPECT_EQ(text, "a");
}
