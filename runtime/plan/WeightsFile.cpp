//===- WeightsFile.cpp - Packed weights, written once ---------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/WeightsFile.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace llmc::plan {

namespace {

constexpr uint64_t kPage = kSegmentAlignment;
constexpr char kMagic[8] = {'L', 'L', 'M', 'C', 'W', 'G', 'T', 'S'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMaxNameBytes = 1 << 16;

/// The first bytes of the file, exactly as they lie there (little-endian).
struct WeightsPage {
  char magic[8] = {};
  uint32_t version = 0;
  uint32_t pageBytes = 0;
  uint64_t fileBytes = 0;
  uint64_t tableOffset = 0;
  uint64_t tableBytes = 0;
  uint64_t numSegments = 0;
  uint64_t tableHash[2] = {}; // of the table as it lies in the file
  uint8_t reserved[4016] = {};
  uint64_t pageHash[2] = {}; // of all bytes of the page before this field
};
static_assert(sizeof(WeightsPage) == kPage);
static_assert(offsetof(WeightsPage, tableHash) == 48);
static_assert(offsetof(WeightsPage, pageHash) == 4080);

/// The table is an array of these, then all names back to back.
struct TableRecord {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t source[2] = {};
  uint64_t checksum[2] = {};
  uint32_t nameBytes = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(TableRecord) == 56);

Hash128 hashOfPage(const WeightsPage &page) {
  return hash128(&page, offsetof(WeightsPage, pageHash));
}

std::string number(uint64_t value) { return std::to_string(value); }

Hash128 identityOf(std::span<const StoredSegment> segments) {
  Hasher hasher;
  for (const StoredSegment &segment : segments) {
    hasher.update(uint64_t(segment.name.size()));
    hasher.update(segment.name);
    for (uint64_t word : {segment.offset, segment.size, segment.checksum.low,
                          segment.checksum.high}) {
      hasher.update(word);
    }
  }
  return hasher.finish();
}

std::span<const uint8_t> bytesOf(const void *data, size_t size) {
  return {static_cast<const uint8_t *>(data), size};
}

/// Where everything lies. nullopt if a sum overflows.
struct Layout {
  std::vector<uint64_t> offsets;
  uint64_t tableOffset = 0;
  uint64_t tableBytes = 0;
};
std::optional<Layout> layOut(std::span<const WantedSegment> segments) {
  constexpr uint64_t limit = INT64_MAX; // of off_t
  Layout layout;
  uint64_t end = kPage;
  for (const WantedSegment &segment : segments) {
    if (segment.size > limit - kPage || end > limit - kPage - segment.size) {
      return std::nullopt;
    }
    layout.offsets.push_back(end);
    end += (segment.size + kPage - 1) / kPage * kPage;
    layout.tableBytes += sizeof(TableRecord) + segment.name.size();
  }
  if (layout.tableBytes > limit - end) {
    return std::nullopt;
  }
  layout.tableOffset = end;
  return layout;
}

} // namespace

std::optional<uint64_t>
weightsFileBytes(std::span<const WantedSegment> segments) {
  std::optional<Layout> layout = layOut(segments);
  return layout ? std::optional(layout->tableOffset + layout->tableBytes)
                : std::nullopt;
}

//===----------------------------------------------------------------------===//
// WeightsWriter
//===----------------------------------------------------------------------===//

WeightsWriter::WeightsWriter(AtomicFile file, std::vector<StoredSegment> stored,
                             Progress progress, uint64_t total)
    : file(std::move(file)), stored(std::move(stored)),
      progress(std::move(progress)), total(total) {
  skipFull();
}

Result<WeightsWriter> WeightsWriter::create(const std::string &path,
                                            std::vector<WantedSegment> segments,
                                            Progress progress) {
  std::unordered_set<std::string> names;
  for (const WantedSegment &segment : segments) {
    if (segment.name.size() > kMaxNameBytes ||
        !names.insert(segment.name).second) {
      return Error{ErrorCode::InvalidArgument,
                   path + ": two segments are named '" +
                       segment.name.substr(0, 200) + "', or the name is " +
                       "longer than " + number(kMaxNameBytes) + " bytes"};
    }
  }
  std::optional<Layout> layout = layOut(segments);
  if (!layout) {
    return Error{ErrorCode::InvalidArgument,
                 path + ": the weights need more than 2^63 bytes"};
  }
  Result<AtomicFile> file =
      AtomicFile::create(path, layout->tableOffset + layout->tableBytes);
  if (!file) {
    return file.error();
  }
  std::vector<StoredSegment> stored;
  uint64_t total = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    total += segments[i].size;
    stored.push_back({std::move(segments[i].name), segments[i].source,
                      layout->offsets[i], segments[i].size, Hash128()});
  }
  return WeightsWriter(std::move(*file), std::move(stored), std::move(progress),
                       total);
}

/// Closes every segment that has all its bytes, empty ones included.
void WeightsWriter::skipFull() {
  while (current < stored.size() && filled == stored[current].size) {
    stored[current].checksum = hasher.finish();
    hasher = Hasher();
    filled = 0;
    ++current;
  }
}

Result<void> WeightsWriter::append(std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return {};
  }
  if (current == stored.size() ||
      bytes.size() > stored[current].size - filled) {
    return Error{
        ErrorCode::Internal,
        file.path() + ": " + number(bytes.size()) + " bytes are too many for " +
            (current == stored.size()
                 ? std::string("a complete file")
                 : "segment '" + stored[current].name + "' with " +
                       number(stored[current].size - filled) + " to go")};
  }
  hasher.update(bytes);
  if (Result<void> written = file.write(stored[current].offset + filled, bytes);
      !written) {
    return written;
  }
  filled += bytes.size();
  done += bytes.size();
  skipFull();
  if (progress) {
    progress(done, total);
  }
  return {};
}

Result<Hash128> WeightsWriter::finish() {
  if (current != stored.size()) {
    return Error{ErrorCode::Internal,
                 file.path() + ": segment '" + stored[current].name + "' has " +
                     number(filled) + " of " + number(stored[current].size) +
                     " bytes"};
  }
  std::vector<uint8_t> table;
  uint64_t end = kPage;
  for (const StoredSegment &segment : stored) {
    TableRecord record;
    record.offset = segment.offset;
    record.size = segment.size;
    record.source[0] = segment.source.low;
    record.source[1] = segment.source.high;
    record.checksum[0] = segment.checksum.low;
    record.checksum[1] = segment.checksum.high;
    record.nameBytes = static_cast<uint32_t>(segment.name.size());
    std::span<const uint8_t> bytes = bytesOf(&record, sizeof(record));
    table.insert(table.end(), bytes.begin(), bytes.end());
    end = segment.offset + (segment.size + kPage - 1) / kPage * kPage;
  }
  for (const StoredSegment &segment : stored) {
    table.insert(table.end(), segment.name.begin(), segment.name.end());
  }
  WeightsPage page;
  std::memcpy(page.magic, kMagic, sizeof(kMagic));
  page.version = kVersion;
  page.pageBytes = kPage;
  page.fileBytes = end + table.size();
  page.tableOffset = end;
  page.tableBytes = table.size();
  page.numSegments = stored.size();
  Hash128 tableHash = hash128(table);
  page.tableHash[0] = tableHash.low;
  page.tableHash[1] = tableHash.high;
  Hash128 head = hashOfPage(page);
  page.pageHash[0] = head.low;
  page.pageHash[1] = head.high;
  if (Result<void> written = file.write(end, table); !written) {
    return written.error();
  }
  if (Result<void> written = file.write(0, bytesOf(&page, sizeof(page)));
      !written) {
    return written.error();
  }
  if (Result<void> placed = file.commit(); !placed) {
    return placed.error();
  }
  return identityOf(stored);
}

//===----------------------------------------------------------------------===//
// WeightsFile
//===----------------------------------------------------------------------===//

WeightsFile::WeightsFile(InputFile file, Hash128 identity,
                         std::vector<StoredSegment> stored)
    : file(std::move(file)), identity(identity), stored(std::move(stored)) {}

static Error malformed(const std::string &path, std::string message) {
  return {ErrorCode::WeightsMalformed,
          path + ": damaged weights file: " + std::move(message)};
}

/// Everything that page 0 says, against a file of `actual` bytes.
static Result<void> checkPage(const std::string &path, const WeightsPage &page,
                              uint64_t actual) {
  if (page.version != kVersion) {
    return Error{ErrorCode::WeightsVersion,
                 path + ": weights format version " + number(page.version) +
                     ", this program reads version " + number(kVersion) +
                     "; compile the model again"};
  }
  Hash128 expected(page.pageHash[0], page.pageHash[1]);
  Hash128 found = hashOfPage(page);
  if (found != expected) {
    return Error{ErrorCode::WeightsChecksum,
                 path + ": checksum mismatch in page 0: found " + found.text() +
                     ", expected " + expected.text()};
  }
  if (page.pageBytes != kPage) {
    return malformed(path, "page 0 says it has " + number(page.pageBytes) +
                               " bytes, expected " + number(kPage));
  }
  if (actual < page.fileBytes) {
    return Error{ErrorCode::WeightsTruncated,
                 path + ": truncated: " + number(actual) + " bytes, expected " +
                     number(page.fileBytes)};
  }
  if (actual > page.fileBytes) {
    return malformed(path, number(actual) + " bytes, expected " +
                               number(page.fileBytes));
  }
  if (page.tableOffset < kPage || page.tableOffset % kPage != 0 ||
      page.tableOffset > actual ||
      page.tableBytes != actual - page.tableOffset ||
      page.numSegments > page.tableBytes / sizeof(TableRecord)) {
    return malformed(
        path, "its table of " + number(page.numSegments) + " segments at [" +
                  number(page.tableOffset) + ", +" + number(page.tableBytes) +
                  ") does not end the file of " + number(actual) + " bytes");
  }
  return {};
}

static Result<std::vector<StoredSegment>>
decodeTable(const std::string &path, const WeightsPage &page,
            std::span<const uint8_t> table) {
  std::vector<StoredSegment> stored(page.numSegments);
  uint64_t nameAt = page.numSegments * sizeof(TableRecord);
  uint64_t freeFrom = kPage;
  for (size_t i = 0; i < stored.size(); ++i) {
    TableRecord record;
    std::memcpy(&record, table.data() + i * sizeof(TableRecord),
                sizeof(record));
    if (record.nameBytes > table.size() - nameAt) {
      return malformed(path, "the name of segment " + number(i) + " has " +
                                 number(record.nameBytes) + " bytes, " +
                                 number(table.size() - nameAt) + " are left");
    }
    StoredSegment &segment = stored[i];
    segment.name.assign(reinterpret_cast<const char *>(table.data()) + nameAt,
                        record.nameBytes);
    nameAt += record.nameBytes;
    // Segments lie in order, so that none can overlap another.
    if (record.offset % kPage != 0 || record.offset < freeFrom ||
        record.offset > page.tableOffset ||
        record.size > page.tableOffset - record.offset) {
      return malformed(
          path, "segment '" + segment.name + "' at [" + number(record.offset) +
                    ", +" + number(record.size) +
                    ") is misaligned, or does not lie in [" + number(freeFrom) +
                    ", " + number(page.tableOffset) + ")");
    }
    freeFrom = record.offset + record.size;
    segment.offset = record.offset;
    segment.size = record.size;
    segment.source = Hash128(record.source[0], record.source[1]);
    segment.checksum = Hash128(record.checksum[0], record.checksum[1]);
  }
  if (nameAt != table.size()) {
    return malformed(path, number(table.size() - nameAt) +
                               " bytes after the last name of its table");
  }
  return stored;
}

Result<WeightsFile> WeightsFile::open(const std::string &path) {
  return readTable(InputFile::open(path));
}

Result<WeightsFile> WeightsFile::openRange(const std::string &path,
                                           uint64_t base, uint64_t bytes) {
  return readTable(InputFile::openRange(path, base, bytes));
}

Result<WeightsFile> WeightsFile::readTable(Result<InputFile> file) try {
  if (!file) {
    return file.error();
  }
  const std::string path = file->path();
  WeightsPage page;
  uint64_t present = std::min<uint64_t>(file->size(), sizeof(page));
  if (Result<void> read = file->read(0, present, &page); !read) {
    return read.error();
  }
  if (present < sizeof(kMagic) ||
      std::memcmp(page.magic, kMagic, sizeof(kMagic)) != 0) {
    return Error{ErrorCode::WeightsMalformed,
                 path +
                     ": not a weights file: it does not begin with LLMCWGTS"};
  }
  if (present < sizeof(page)) {
    return Error{ErrorCode::WeightsTruncated,
                 path + ": truncated: " + number(present) +
                     " bytes, page 0 alone has " + number(kPage)};
  }
  if (Result<void> good = checkPage(path, page, file->size()); !good) {
    return good.error();
  }
  std::vector<uint8_t> table(page.tableBytes);
  if (Result<void> read =
          file->read(page.tableOffset, table.size(), table.data());
      !read) {
    return read.error();
  }
  Hash128 expected(page.tableHash[0], page.tableHash[1]);
  Hash128 found = hash128(table);
  if (found != expected) {
    return Error{ErrorCode::WeightsChecksum,
                 path + ": checksum mismatch in its table: found " +
                     found.text() + ", expected " + expected.text()};
  }
  Result<std::vector<StoredSegment>> stored = decodeTable(path, page, table);
  if (!stored) {
    return stored.error();
  }
  Hash128 id = identityOf(*stored);
  return WeightsFile(std::move(*file), id, std::move(*stored));
} catch (const std::bad_alloc &) {
  return Error{ErrorCode::OutOfMemory,
               "not enough memory to read the table of a weights file"};
}

Result<void> WeightsFile::read(size_t index, uint64_t offset, uint64_t bytes,
                               void *target) const {
  if (index >= stored.size()) {
    return Error{ErrorCode::InvalidArgument, file.path() + ": segment " +
                                                 number(index) + " of " +
                                                 number(stored.size())};
  }
  const StoredSegment &segment = stored[index];
  if (offset > segment.size || bytes > segment.size - offset) {
    return Error{ErrorCode::InvalidArgument,
                 file.path() + ": segment '" + segment.name + "' has " +
                     number(segment.size) + " bytes, asked for [" +
                     number(offset) + ", +" + number(bytes) + ")"};
  }
  Result<void> result = file.read(segment.offset + offset, bytes, target);
  if (!result && result.error().code == ErrorCode::FileTruncated) {
    return Error{ErrorCode::WeightsTruncated,
                 result.error().message + " of segment '" + segment.name +
                     "'; was it truncated while in use?"};
  }
  return result;
}

Result<void> WeightsFile::verify(size_t index) const {
  if (index >= stored.size()) {
    return read(index, 0, 0, nullptr);
  }
  const StoredSegment &segment = stored[index];
  constexpr uint64_t kPiece = 1 << 20;
  auto piece = std::make_unique<uint8_t[]>(kPiece);
  Hasher hasher;
  for (uint64_t offset = 0; offset < segment.size; offset += kPiece) {
    uint64_t bytes = std::min(kPiece, segment.size - offset);
    if (Result<void> got = read(index, offset, bytes, piece.get()); !got) {
      return got;
    }
    hasher.update(piece.get(), bytes);
  }
  Hash128 found = hasher.finish();
  if (found != segment.checksum) {
    return Error{ErrorCode::WeightsChecksum,
                 file.path() + ": checksum mismatch in segment '" +
                     segment.name + "', bytes [" + number(segment.offset) +
                     ", " + number(segment.offset + segment.size) +
                     "): found " + found.text() + ", expected " +
                     segment.checksum.text()};
  }
  return {};
}

Result<void>
WeightsFile::verifyAll(const WeightsWriter::Progress &progress) const {
  uint64_t total = 0;
  for (const StoredSegment &segment : stored) {
    total += segment.size;
  }
  uint64_t done = 0;
  for (size_t i = 0; i < stored.size(); ++i) {
    if (Result<void> good = verify(i); !good) {
      return good;
    }
    done += stored[i].size;
    if (progress) {
      progress(done, total);
    }
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Matching
//===----------------------------------------------------------------------===//

static std::unordered_map<std::string, size_t>
indexByName(const WeightsFile &file) {
  std::unordered_map<std::string, size_t> byName;
  for (size_t i = 0; i < file.segments().size(); ++i) {
    byName.emplace(file.segments()[i].name, i);
  }
  return byName;
}

std::optional<std::vector<size_t>>
planSegmentsMatch(std::span<const WantedSegment> wanted,
                  const WeightsFile &file) {
  std::unordered_map<std::string, size_t> byName = indexByName(file);
  std::vector<size_t> found;
  for (const WantedSegment &segment : wanted) {
    auto it = byName.find(segment.name);
    if (it == byName.end()) {
      return std::nullopt;
    }
    const StoredSegment &stored = file.segments()[it->second];
    if (stored.source != segment.source || stored.size != segment.size) {
      return std::nullopt;
    }
    found.push_back(it->second);
  }
  return found;
}

Result<void> checkWeights(const Plan &plan, const WeightsFile &file) {
  Hash128 wantedId(plan.weightsId);
  if (wantedId == file.id() && plan.segments.empty()) {
    return {};
  }
  auto mismatch = [&](const std::string &what) {
    return Error{ErrorCode::WeightsMismatch,
                 file.path() + ": not the weights of this plan" +
                     (plan.modelName.empty() ? "" : " (" + plan.modelName) +
                     (plan.modelName.empty() ? "" : ")") + ": " + what +
                     "; file id " + file.id().text() + ", expected " +
                     wantedId.text()};
  };
  std::unordered_map<std::string, size_t> byName = indexByName(file);
  for (const Segment &segment : plan.segments) {
    auto it = byName.find(segment.name);
    if (it == byName.end()) {
      return mismatch("it has no segment '" + segment.name + "'");
    }
    const StoredSegment &stored = file.segments()[it->second];
    if (stored.checksum != Hash128(segment.hash)) {
      return mismatch("segment '" + segment.name + "' has other contents");
    }
    if (stored.offset != segment.offset || stored.size != segment.size) {
      return mismatch("segment '" + segment.name + "' lies at [" +
                      number(stored.offset) + ", +" + number(stored.size) +
                      "), expected [" + number(segment.offset) + ", +" +
                      number(segment.size) + ")");
    }
  }
  return {};
}

} // namespace llmc::plan
