//===- WeightsFile.h - Packed weights, written once ------------*- C++ -*-===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Glossary.
//   segment   one packed weight: a contiguous range, 4 KiB-aligned
//   source    identity of what a segment was packed from, given by the compiler
//             before the bytes exist (it may hold a file's path and time of
//             change): tells whether the segment can be used again
//   checksum  hash128 of the segment's bytes as they lie in the file; plans
//             know a segment by it (plan::Segment::hash)
//   id        identity of the file: hash128 of its segments' names, places and
//             checksums, a function of the model and the packing alone
//
// Layout: page 0 | segments in the order given | table. FORMAT.md has the
// bytes. The file is independent of budget, context and schedule, so one
// serves all plans of a model.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_RUNTIME_PLAN_WEIGHTSFILE_H
#define LLMC_RUNTIME_PLAN_WEIGHTSFILE_H

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/Plan.h"
#include "runtime/support/Hash.h"
#include "runtime/support/Result.h"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace llmc::plan {

/// A segment as the compiler asks for it.
struct WantedSegment {
  std::string name;
  Hash128 source; // of what it is packed from
  uint64_t size = 0;
};

/// A segment as it lies in a file.
struct StoredSegment {
  std::string name;
  Hash128 source;
  uint64_t offset = 0;
  uint64_t size = 0;
  Hash128 checksum; // of the bytes
};

/// The bytes of the whole file for these segments; nullopt on overflow.
std::optional<uint64_t>
weightsFileBytes(std::span<const WantedSegment> segments);

/// Writes a weights file from front to back; holds no segment in memory.
///
///   auto writer = WeightsWriter::create(path, segments, progress);
///   for each segment, in order: writer->append(piece) ... until it is full
///   Result<Hash128> id = writer->finish();
///
/// Nothing appears under `path` before finish() has succeeded.
class WeightsWriter {
public:
  /// (bytes of segments written so far, bytes in all)
  using Progress = std::function<void(uint64_t, uint64_t)>;

  /// Checks that there is room for the whole file. Names must be unique.
  static Result<WeightsWriter> create(const std::string &path,
                                      std::vector<WantedSegment> segments,
                                      Progress progress = {});

  /// Adds bytes to the current segment, which must have room for them; moves
  /// on to the next one when it is full.
  Result<void> append(std::span<const uint8_t> bytes);

  /// Writes table and page 0, then puts the file in place. Returns its id.
  Result<Hash128> finish();

  /// Where the segments lie; valid from the beginning (checksums only once a
  /// segment is complete).
  const std::vector<StoredSegment> &segments() const { return stored; }

private:
  WeightsWriter(AtomicFile file, std::vector<StoredSegment> stored,
                Progress progress, uint64_t total);
  void skipFull();

  AtomicFile file;
  std::vector<StoredSegment> stored;
  Progress progress;
  uint64_t total;
  size_t current = 0;
  uint64_t filled = 0; // bytes of the current segment
  uint64_t done = 0;
  Hasher hasher;
};

/// A weights file opened for reading.
class WeightsFile {
public:
  /// Reads and validates page 0 and the table, not the segments' bytes.
  /// Errors: WeightsMalformed, WeightsTruncated, WeightsChecksum,
  /// WeightsVersion.
  static Result<WeightsFile> open(const std::string &path);
  /// The same for a weights file that lies at [base, base + bytes) of another
  /// one; segment offsets still count from its own page 0.
  static Result<WeightsFile> openRange(const std::string &path, uint64_t base,
                                       uint64_t bytes);

  const std::string &path() const { return file.path(); }
  const Hash128 &id() const { return identity; }
  const std::vector<StoredSegment> &segments() const { return stored; }
  uint64_t fileBytes() const { return file.size(); }
  /// For transfer engines with their own way of reading.
  int descriptor() const { return file.descriptor(); }
  /// Where page 0 lies in the descriptor's file.
  uint64_t base() const { return file.base(); }

  /// Reads bytes [offset, offset + bytes) of a segment. Thread-safe.
  Result<void> read(size_t segment, uint64_t offset, uint64_t bytes,
                    void *target) const;

  /// Reads the segment through a small buffer and compares its checksum.
  Result<void> verify(size_t segment) const;
  /// All segments; stops at the first damaged one.
  Result<void> verifyAll(const WeightsWriter::Progress &progress = {}) const;

private:
  static Result<WeightsFile> readTable(Result<InputFile> file);
  WeightsFile(InputFile file, Hash128 identity,
              std::vector<StoredSegment> stored);

  InputFile file;
  Hash128 identity;
  std::vector<StoredSegment> stored;
};

/// For each wanted segment the stored one with the same name, source and size,
/// or nullopt if some is missing: then the file must be written anew.
std::optional<std::vector<size_t>>
planSegmentsMatch(std::span<const WantedSegment> wanted,
                  const WeightsFile &file);

/// Whether `file` holds what `plan` was made for: id and every segment's name,
/// checksum, offset and size. WeightsMismatch names the first difference. When
/// the ids differ but all segments are there unchanged (the file was extended
/// for another plan), that is good too.
Result<void> checkWeights(const Plan &plan, const WeightsFile &file);

} // namespace llmc::plan

#endif // LLMC_RUNTIME_PLAN_WEIGHTSFILE_H
