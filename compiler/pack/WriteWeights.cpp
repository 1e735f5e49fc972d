//===- WriteWeights.cpp - The weights file, written once ------------------===//

#include "compiler/pack/WriteWeights.h"

#include "runtime/plan/WeightsFile.h"

#include <filesystem>
#include <map>
#include <set>

namespace llmc::pack {

using plan::StoredSegment;
using plan::WantedSegment;
using plan::WeightsFile;

namespace {

constexpr uint64_t kCopyBytes = uint64_t(4) << 20;

bool isUnknown(const Hash128 &source) { return source == Hash128(); }

std::vector<WantedSegment> wantedOf(std::span<const SegmentJob> jobs) {
  std::vector<WantedSegment> wanted;
  for (const SegmentJob &job : jobs) {
    wanted.push_back({job.name, job.fingerprint, job.size});
  }
  return wanted;
}

/// Whether all segments of `file` may stay: none of them is an older form of
/// one of the jobs. Otherwise the model has changed and nothing of the old file
/// is of use.
bool canExtend(const WeightsFile &file, std::span<const SegmentJob> jobs) {
  std::map<std::string, const StoredSegment *> byName;
  for (const StoredSegment &stored : file.segments()) {
    byName[stored.name] = &stored;
  }
  bool shares = false;
  for (const SegmentJob &job : jobs) {
    auto it = byName.find(job.name);
    if (it == byName.end()) {
      continue;
    }
    if (isUnknown(job.fingerprint) || it->second->source != job.fingerprint ||
        it->second->size != job.size) {
      return false;
    }
    shares = true;
  }
  return shares;
}

Result<void> copySegment(const WeightsFile &from, size_t index,
                         plan::WeightsWriter &writer) {
  const StoredSegment &segment = from.segments()[index];
  std::vector<uint8_t> piece(
      std::min<uint64_t>(std::max<uint64_t>(segment.size, 1), kCopyBytes));
  for (uint64_t done = 0; done < segment.size;) {
    uint64_t take = std::min<uint64_t>(piece.size(), segment.size - done);
    if (Result<void> read = from.read(index, done, take, piece.data()); !read) {
      return read;
    }
    if (Result<void> added =
            writer.append(std::span<const uint8_t>(piece.data(), take));
        !added) {
      return added;
    }
    done += take;
  }
  return {};
}

void record(std::span<const SegmentJob> jobs,
            std::span<const StoredSegment> stored, const Hash128 &id,
            plan::Plan &plan) {
  std::map<std::string, const StoredSegment *> byName;
  for (const StoredSegment &segment : stored) {
    byName[segment.name] = &segment;
  }
  plan.segments.clear();
  for (const SegmentJob &job : jobs) {
    const StoredSegment &segment = *byName.at(job.name);
    plan.segments.push_back(
        {segment.name, segment.offset, segment.size, segment.checksum});
  }
  plan.weightsId = id;
}

} // namespace

Result<WeightsReport> writeWeights(std::span<const SegmentJob> jobs,
                                   const import::WeightStore &store,
                                   const std::string &path, plan::Plan &plan,
                                   const Progress &progress) {
  WeightsReport report;
  for (const SegmentJob &job : jobs) {
    report.fileBytes += job.size;
  }
  std::vector<WantedSegment> wanted = wantedOf(jobs);

  // A file that cannot be read is packed anew: it is ours, by its name.
  std::optional<WeightsFile> old;
  if (std::filesystem::exists(path)) {
    if (Result<WeightsFile> opened = WeightsFile::open(path)) {
      old.emplace(std::move(*opened));
    } else if (opened.error().code == ErrorCode::WeightsMalformed) {
      return Error{ErrorCode::FileUnwritable,
                   opened.error().message +
                       "; it will not be overwritten (name another file with "
                       "--weights)"};
    }
  }
  bool extend = old && canExtend(*old, jobs);
  if (extend && planSegmentsMatch(wanted, *old)) {
    record(jobs, old->segments(), old->id(), plan);
    report.reused = true;
    return report;
  }

  // Old segments come first and in their order, so that they stay where older
  // plans look for them.
  std::vector<WantedSegment> all;
  std::set<std::string> kept;
  if (extend) {
    for (const StoredSegment &segment : old->segments()) {
      all.push_back({segment.name, segment.source, segment.size});
      kept.insert(segment.name);
    }
  }
  size_t numKept = all.size();
  for (const WantedSegment &segment : wanted) {
    if (!kept.contains(segment.name)) {
      all.push_back(segment);
    }
  }
  Result<plan::WeightsWriter> writer =
      plan::WeightsWriter::create(path, std::move(all), progress);
  if (!writer) {
    return writer.error();
  }
  for (size_t i = 0; i < numKept; ++i) {
    if (Result<void> copied = copySegment(*old, i, *writer); !copied) {
      return copied.error();
    }
  }
  for (const SegmentJob &job : jobs) {
    if (kept.contains(job.name)) {
      continue;
    }
    Result<void> packed = writePacked(
        job.parts, job.arrangement, [&](std::span<const std::byte> chunk) {
          return writer->append(std::span<const uint8_t>(
              reinterpret_cast<const uint8_t *>(chunk.data()), chunk.size()));
        });
    if (!packed) {
      return packed.error();
    }
    for (const std::string &weight : job.weights) {
      store.release(weight);
    }
  }
  Result<Hash128> id = writer->finish();
  if (!id) {
    return id.error();
  }
  record(jobs, writer->segments(), *id, plan);
  return report;
}

} // namespace llmc::pack
