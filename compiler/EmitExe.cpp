//===- EmitExe.cpp - Runtime, plan and weights in one file ----------------===//

#include "compiler/EmitExe.h"

#include "runtime/plan/AtomicFile.h"
#include "runtime/plan/EmbeddedPlan.h"
#include "runtime/plan/PlanWriter.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace llmc::compiler {

namespace {

Result<void> copyInto(plan::AtomicFile &out, uint64_t offset,
                      const plan::InputFile &from) {
  std::vector<uint8_t> piece(size_t(4) << 20);
  for (uint64_t done = 0; done < from.size();) {
    uint64_t take = std::min<uint64_t>(piece.size(), from.size() - done);
    if (Result<void> read = from.read(done, take, piece.data()); !read) {
      return read;
    }
    if (Result<void> written =
            out.write(offset + done, std::span(piece.data(), take));
        !written) {
      return written;
    }
    done += take;
  }
  return {};
}

} // namespace

Result<void> emitExe(const plan::Plan &plan, const std::string &weightsPath,
                     const std::string &output) {
  std::error_code failed;
  std::filesystem::path self =
      std::filesystem::read_symlink("/proc/self/exe", failed);
  std::string runtimePath = (self.parent_path() / "llmc-run").string();
  Result<plan::InputFile> runtime = plan::InputFile::open(runtimePath);
  if (!runtime) {
    return Error{runtime.error().code,
                 "--emit exe needs llmc-run beside llmc: " +
                     runtime.error().message};
  }
  Result<plan::InputFile> weights = plan::InputFile::open(weightsPath);
  if (!weights) {
    return weights.error();
  }
  std::vector<uint8_t> encoded = plan::encodePlan(plan);
  EmbeddedPlan layout;
  layout.planOffset = EmbeddedPlan::align(runtime->size());
  layout.planSize = encoded.size();
  layout.weightsOffset =
      EmbeddedPlan::align(layout.planOffset + encoded.size());
  layout.weightsSize = weights->size();
  uint64_t trailerAt = layout.weightsOffset + layout.weightsSize;
  auto trailer = layout.encode();

  Result<plan::AtomicFile> out =
      plan::AtomicFile::create(output, trailerAt + trailer.size());
  if (!out) {
    return out.error();
  }
  if (Result<void> done = copyInto(*out, 0, *runtime); !done) {
    return done;
  }
  if (Result<void> done = out->write(layout.planOffset, encoded); !done) {
    return done;
  }
  if (Result<void> done = copyInto(*out, layout.weightsOffset, *weights);
      !done) {
    return done;
  }
  if (Result<void> done = out->write(trailerAt, trailer); !done) {
    return done;
  }
  if (Result<void> done = out->commit(); !done) {
    return done;
  }
  struct stat mode{};
  if (stat(runtimePath.c_str(), &mode) != 0 ||
      chmod(output.c_str(), mode.st_mode & 0777) != 0) {
    return Error{ErrorCode::FileUnwritable,
                 output +
                     ": cannot be made executable: " + std::strerror(errno)};
  }
  return {};
}

} // namespace llmc::compiler
