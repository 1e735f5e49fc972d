//===- Table.cpp - A tokenizer in bytes -----------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// The table inside a plan file: magic, version, then the Spec field by field.
// Integers are LEB128 of 64 bits, signed ones zigzag; strings have their
// length before them; scores are IEEE doubles, little-endian. The plan's own
// checksum covers it, but the reader trusts nothing: a count is believed only
// as far as the bytes that are left could hold it.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Spec.h"

#include <bit>
#include <limits>

namespace llmc::tokenizer {

namespace {

constexpr std::string_view kMagic = "LLMCTOK";
constexpr uint64_t kVersion = 1;

/// Walks the fields once for both directions, so that they cannot differ. A
/// Stream has `number`, `flag`, `text`, `real`, `kind` and `count`.
template <class Stream> class Fields {
public:
  explicit Fields(Stream &stream) : s(stream) {}

  template <class S> void all(S &spec) {
    s.kind(spec.model);
    pieces(spec);
    list(spec.merges, 3, [&](auto &merge) {
      s.number(merge.left);
      s.number(merge.right);
      s.number(merge.merged);
    });
    s.text(spec.continuingPrefix);
    s.text(spec.endOfWordSuffix);
    s.signedNumber(spec.unknown);
    s.flag(spec.byteFallback);
    s.flag(spec.ignoreMerges);
    s.flag(spec.fuseUnknown);
    list(spec.added, 7, [&](auto &token) {
      s.signedNumber(token.id);
      s.text(token.content);
      s.flag(token.special);
      s.flag(token.lstrip);
      s.flag(token.rstrip);
      s.flag(token.singleWord);
      s.flag(token.normalized);
    });
    list(spec.normalizers, 5, [&](auto &op) {
      s.kind(op.kind);
      s.flag(op.left);
      s.flag(op.right);
      s.text(op.pattern);
      s.text(op.content);
    });
    list(spec.preTokenizers, 6, [&](auto &op) {
      s.kind(op.kind);
      s.kind(op.behavior);
      s.kind(op.scheme);
      s.flag(op.invert);
      s.flag(op.split);
      s.text(op.pattern);
    });
    list(spec.decoders, 5, [&](auto &op) {
      s.kind(op.kind);
      s.flag(op.dropFirst);
      s.number(op.count);
      s.text(op.pattern);
      s.text(op.content);
    });
    s.flag(spec.joinWithSpaces);
    s.flag(spec.sentencePiece.addDummyPrefix);
    s.flag(spec.sentencePiece.removeExtraWhitespaces);
    s.flag(spec.sentencePiece.escapeWhitespaces);
    s.text(spec.sentencePiece.charsmap);
    s.text(spec.sentencePiece.unknownSurface);
    auto id = [&](auto &value) { s.signedNumber(value); };
    list(spec.prefix, 1, id);
    list(spec.suffix, 1, id);
    s.signedNumber(spec.bos);
    list(spec.eos, 1, id);
  }

private:
  template <class S> void pieces(S &spec) {
    // A piece takes at least its length and its kind.
    size_t count = s.count(spec.pieces.size(), 2);
    s.beginPieces(spec, count);
    for (uint32_t id = 0; id < count && s.good(); ++id) {
      s.piece(spec, id);
    }
    size_t scores = s.count(spec.scores.size(), 8);
    s.resize(spec.scores, scores);
    for (size_t i = 0; i < scores && s.good(); ++i) {
      s.real(spec.scores[i]);
    }
  }

  template <class List, class Function>
  void list(List &items, size_t leastBytes, Function each) {
    size_t count = s.count(items.size(), leastBytes);
    s.resize(items, count);
    for (size_t i = 0; i < count && s.good(); ++i) {
      each(items[i]);
    }
  }

  Stream &s;
};

class Writer {
public:
  std::string out;

  bool good() const { return true; }
  void number(uint64_t value) {
    while (value >= 0x80) {
      out += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out += static_cast<char>(value);
  }
  void signedNumber(int64_t value) {
    number(static_cast<uint64_t>(value) << 1 ^
           static_cast<uint64_t>(value >> 63));
  }
  void flag(bool value) { out += value ? '\1' : '\0'; }
  void text(std::string_view value) {
    number(value.size());
    out += value;
  }
  void real(double value) {
    uint64_t bits = std::bit_cast<uint64_t>(value);
    for (int i = 0; i < 8; ++i) {
      out += static_cast<char>(bits >> (8 * i));
    }
  }
  template <class Enum> void kind(Enum value) {
    out += static_cast<char>(value);
  }
  size_t count(size_t value, size_t) {
    number(value);
    return value;
  }
  template <class List> void resize(const List &, size_t) {}
  void beginPieces(const Spec &, size_t) {}
  void piece(const Spec &spec, uint32_t id) {
    text(spec.pieces[id]);
    out += static_cast<char>(spec.kinds[id]);
  }
};

class Reader {
public:
  explicit Reader(std::string_view bytes) : left(bytes), all(bytes.size()) {}

  bool good() const { return error.empty(); }
  std::string error;
  bool atEnd() const { return left.empty(); }

  void fail(const std::string &what) {
    if (good()) {
      error = what + " at byte " + std::to_string(all - left.size());
    }
    left = {};
  }

  template <class Int> void number(Int &value) {
    uint64_t wide = wideNumber();
    if (wide > static_cast<uint64_t>(std::numeric_limits<Int>::max())) {
      fail("a number out of range");
      return;
    }
    value = static_cast<Int>(wide);
  }
  void signedNumber(int32_t &value) {
    uint64_t wide = wideNumber();
    int64_t number =
        static_cast<int64_t>(wide >> 1) ^ -static_cast<int64_t>(wide & 1);
    if (number < INT32_MIN || number > INT32_MAX) {
      fail("a number out of range");
      return;
    }
    value = static_cast<int32_t>(number);
  }
  void flag(bool &value) {
    unsigned char byte = 0;
    take(byte);
    if (byte > 1) {
      fail("a flag that is neither 0 nor 1");
    }
    value = byte == 1;
  }
  void text(std::string &value) { value = view(); }
  void real(double &value) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) {
      unsigned char byte = 0;
      take(byte);
      bits |= uint64_t(byte) << (8 * i);
    }
    value = std::bit_cast<double>(bits);
  }
  template <class Enum> void kind(Enum &value) {
    unsigned char byte = 0;
    take(byte);
    if (byte > static_cast<unsigned char>(Enum::Last)) {
      fail("an unknown kind");
      byte = 0;
    }
    value = static_cast<Enum>(byte);
  }
  size_t count(size_t, size_t leastBytes) {
    uint64_t value = wideNumber();
    if (value > left.size() / leastBytes) {
      fail("a count of " + std::to_string(value) + " where " +
           std::to_string(left.size()) + " bytes are left");
      return 0;
    }
    return static_cast<size_t>(value);
  }
  template <class List> void resize(List &list, size_t size) {
    list.resize(size);
  }
  void beginPieces(Spec &spec, size_t count) {
    if (count > kMaxVocabulary) {
      fail("a vocabulary of " + std::to_string(count));
      return;
    }
    spec.pieces.reserve(count, 0);
    spec.kinds.resize(count);
  }
  void piece(Spec &spec, uint32_t id) {
    spec.pieces.push(view());
    PieceKind value = PieceKind::Absent;
    kind(value);
    spec.kinds[id] = static_cast<uint8_t>(value);
  }
  bool expect(std::string_view magic) {
    if (!left.starts_with(magic)) {
      return false;
    }
    left.remove_prefix(magic.size());
    return true;
  }

private:
  void take(unsigned char &byte) {
    if (left.empty()) {
      fail("an unexpected end");
      return;
    }
    byte = static_cast<unsigned char>(left.front());
    left.remove_prefix(1);
  }
  uint64_t wideNumber() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      unsigned char byte = 0;
      take(byte);
      if (shift == 63 && byte > 1) {
        break;
      }
      value |= uint64_t(byte & 0x7F) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
    fail("a number of more than 64 bits");
    return 0;
  }
  std::string_view view() {
    size_t size = count(0, 1);
    std::string_view value = left.substr(0, size);
    left.remove_prefix(size);
    return value;
  }

  std::string_view left;
  size_t all;
};

} // namespace

std::string writeTable(const Spec &spec) {
  Writer writer;
  writer.out = kMagic;
  writer.number(kVersion);
  Fields<Writer>(writer).all(spec);
  return std::move(writer.out);
}

Result<Spec> readTable(std::string_view bytes) {
  auto fail = [](const std::string &what) {
    return Error{ErrorCode::TokenizerTable, "the tokenizer table has " + what};
  };
  Reader reader(bytes);
  if (!reader.expect(kMagic)) {
    return fail("no magic " + std::string(kMagic));
  }
  uint64_t version = 0;
  reader.number(version);
  if (reader.good() && version != kVersion) {
    return fail("version " + std::to_string(version) + ", expected " +
                std::to_string(kVersion));
  }
  Spec spec;
  Fields<Reader>(reader).all(spec);
  if (!reader.good()) {
    return fail(reader.error);
  }
  if (!reader.atEnd()) {
    return fail("bytes after its end");
  }
  return spec;
}

} // namespace llmc::tokenizer
