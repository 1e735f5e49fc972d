//===- SentencePieceModel.cpp - Reading sentencepiece's .model ------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// A .model is one protobuf message, ModelProto of sentencepiece_model.proto.
// The few fields that matter are read from the wire format directly.
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/ConfigJson.h"
#include "runtime/tokenizer/Spec.h"

#include <bit>
#include <unordered_set>

namespace llmc::tokenizer {

namespace {

/// One field of a protobuf message.
struct Field {
  uint32_t number = 0;
  uint64_t value = 0;     // varint, fixed32 or fixed64
  std::string_view bytes; // length-delimited
  bool isBytes = false;

  bool flag() const { return value != 0; }
  float real() const {
    return std::bit_cast<float>(static_cast<uint32_t>(value));
  }
};

/// Walks the fields of a message.
class Message {
public:
  explicit Message(std::string_view bytes) : left(bytes) {}

  /// The next field; false at the end or at malformed bytes.
  bool next(Field &field) {
    if (left.empty()) {
      return false;
    }
    uint64_t tag = 0;
    if (!varint(tag) || tag >> 3 == 0 || tag >> 32 != 0) {
      return stop();
    }
    field = {};
    field.number = static_cast<uint32_t>(tag >> 3);
    switch (tag & 7) {
    case 0:
      return varint(field.value) || stop();
    case 1:
      return fixed(8, field.value) || stop();
    case 2: {
      uint64_t size = 0;
      if (!varint(size) || size > left.size()) {
        return stop();
      }
      field.isBytes = true;
      field.bytes = left.substr(0, size);
      left.remove_prefix(size);
      return true;
    }
    case 5:
      return fixed(4, field.value) || stop();
    default: // groups do not occur
      return stop();
    }
  }
  bool isMalformed() const { return malformed; }

private:
  bool stop() {
    malformed = true;
    left = {};
    return false;
  }
  bool varint(uint64_t &value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !left.empty(); shift += 7) {
      unsigned char byte = static_cast<unsigned char>(left.front());
      left.remove_prefix(1);
      value |= uint64_t(byte & 0x7F) << shift;
      if (byte < 0x80) {
        return true;
      }
    }
    return false;
  }
  bool fixed(unsigned size, uint64_t &value) {
    if (left.size() < size) {
      return false;
    }
    for (unsigned i = 0; i < size; ++i) {
      value |= uint64_t(static_cast<unsigned char>(left[i])) << (8 * i);
    }
    left.remove_prefix(size);
    return true;
  }
  std::string_view left;
  bool malformed = false;
};

struct TrainerSpec {
  uint64_t modelType = 1;
  bool whitespaceAsSuffix = false;
  bool byteFallback = false;
  std::string unknownSurface = " \xE2\x81\x87 "; // U+2047
  std::string bosPiece = "<s>";
  std::string eosPiece = "</s>";
};

Error malformed(const std::string &what) {
  return {ErrorCode::TokenizerMalformed, "sentencepiece model: " + what};
}
Error unsupported(const std::string &what) {
  return {ErrorCode::TokenizerUnsupported,
          "sentencepiece model: " + what + " is not supported"};
}

bool readPiece(std::string_view bytes, Spec &spec) {
  std::string_view text;
  float score = 0;
  uint64_t type = 1;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1 && field.isBytes) {
      text = field.bytes;
    } else if (field.number == 2) {
      score = field.real();
    } else if (field.number == 3) {
      type = field.value;
    }
  }
  constexpr PieceKind kKinds[] = {PieceKind::Absent,      PieceKind::Normal,
                                  PieceKind::Unknown,     PieceKind::Control,
                                  PieceKind::UserDefined, PieceKind::Unused,
                                  PieceKind::Byte};
  if (message.isMalformed() || type == 0 || type > 6 || text.empty()) {
    return false;
  }
  spec.pieces.push(text);
  spec.scores.push_back(score);
  spec.kinds.push_back(static_cast<uint8_t>(kKinds[type]));
  return true;
}

bool readTrainer(std::string_view bytes, TrainerSpec &trainer) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    switch (field.number) {
    case 3:
      trainer.modelType = field.value;
      break;
    case 24:
      trainer.whitespaceAsSuffix = field.flag();
      break;
    case 35:
      trainer.byteFallback = field.flag();
      break;
    case 44:
      trainer.unknownSurface = field.bytes;
      break;
    case 46:
      trainer.bosPiece = field.bytes;
      break;
    case 47:
      trainer.eosPiece = field.bytes;
      break;
    default:
      break;
    }
  }
  return !message.isMalformed();
}

bool readNormalizer(std::string_view bytes, SentencePieceSpec &spec) {
  Message message(bytes);
  for (Field field; message.next(field);) {
    switch (field.number) {
    case 2:
      spec.charsmap = field.bytes;
      break;
    case 3:
      spec.addDummyPrefix = field.flag();
      break;
    case 4:
      spec.removeExtraWhitespaces = field.flag();
      break;
    case 5:
      spec.escapeWhitespaces = field.flag();
      break;
    default:
      break;
    }
  }
  return !message.isMalformed();
}

/// Unknown, begin and end tokens; every piece once.
Result<void> readPieceRoles(const TrainerSpec &trainer, Spec &spec) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(spec.pieces.size());
  for (uint32_t id = 0; id < spec.pieces.size(); ++id) {
    std::string_view piece = spec.pieces[id];
    if (!seen.insert(piece).second) {
      return malformed("the piece \"" + std::string(piece) + "\" occurs twice");
    }
    PieceKind kind = static_cast<PieceKind>(spec.kinds[id]);
    if (kind == PieceKind::Unknown) {
      if (spec.unknown != kNoToken) {
        return malformed("there are two unknown pieces");
      }
      spec.unknown = static_cast<int32_t>(id);
    } else if (kind == PieceKind::Control) {
      if (piece == trainer.bosPiece) {
        spec.bos = static_cast<int32_t>(id);
      }
      if (piece == trainer.eosPiece) {
        spec.eos = {static_cast<int32_t>(id)};
      }
    }
  }
  if (spec.unknown == kNoToken) {
    return malformed("there is no unknown piece");
  }
  return {};
}

} // namespace

Result<Spec> readSentencePiece(std::string_view modelBytes,
                               std::string_view configJson) {
  Spec spec;
  TrainerSpec trainer;
  Message message(modelBytes);
  for (Field field; message.next(field);) {
    bool good = true;
    if (field.number == 1 && field.isBytes) {
      good =
          spec.pieces.size() < kMaxVocabulary && readPiece(field.bytes, spec);
    } else if (field.number == 2) {
      good = readTrainer(field.bytes, trainer);
    } else if (field.number == 3) {
      good = readNormalizer(field.bytes, spec.sentencePiece);
    } else if (field.number == 5) {
      SentencePieceSpec denormalizer;
      good = readNormalizer(field.bytes, denormalizer);
      if (!denormalizer.charsmap.empty()) {
        return unsupported("a denormalizer");
      }
    }
    if (!good) {
      return malformed("field " + std::to_string(field.number) +
                       " is malformed, after " +
                       std::to_string(spec.pieces.size()) + " pieces");
    }
  }
  if (message.isMalformed() || spec.pieces.size() == 0) {
    return malformed("not a sentencepiece model, or cut short, after " +
                     std::to_string(spec.pieces.size()) + " pieces");
  }
  constexpr const char *kTypes[] = {"0", "UNIGRAM", "BPE", "WORD", "CHAR"};
  if (trainer.modelType == 1) {
    spec.model = ModelKind::SentencePieceUnigram;
  } else if (trainer.modelType == 2) {
    spec.model = ModelKind::ScoreBpe;
  } else {
    return unsupported("the model type " +
                       (trainer.modelType < 5
                            ? std::string(kTypes[trainer.modelType])
                            : std::to_string(trainer.modelType)));
  }
  if (trainer.whitespaceAsSuffix) {
    return unsupported("treat_whitespace_as_suffix");
  }
  spec.byteFallback = trainer.byteFallback;
  spec.sentencePiece.unknownSurface = trainer.unknownSurface;
  if (Result<void> roles = readPieceRoles(trainer, spec); !roles) {
    return roles.error();
  }
  // sentencepiece leaves begin tokens to its caller; language models that ship
  // a .model with one are fed it.
  if (spec.bos != kNoToken) {
    spec.prefix = {spec.bos};
  }
  if (Result<void> applied = applyConfig(configJson, spec); !applied) {
    return applied.error();
  }
  return spec;
}

} // namespace llmc::tokenizer
