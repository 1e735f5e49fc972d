//===- SegmentJobs.cpp - What the weights file must hold ------------------===//

#include "compiler/pack/SegmentJobs.h"

#include "dialects/graph/GraphOps.h"
#include "dialects/plan/PlanDialect.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/SymbolTable.h"

#include <filesystem>

#include <sys/stat.h>

namespace llmc::pack {

using plan::DType;

namespace {

Error broken(planir::SegmentOp op, const std::string &what) {
  return {ErrorCode::Internal,
          "plan.segment @" + op.getSymName().str() + ": " + what};
}

int64_t intOf(mlir::DictionaryAttr dict, llvm::StringRef key) {
  auto value = dict.getAs<mlir::IntegerAttr>(key);
  return value ? value.getInt() : 0;
}

std::string textOf(mlir::DictionaryAttr dict, llvm::StringRef key) {
  auto value = dict.getAs<mlir::StringAttr>(key);
  return value ? value.getValue().str() : std::string();
}

Result<SegmentSpec> specOf(planir::SegmentOp op) {
  mlir::DictionaryAttr packing = op.getPacking();
  SegmentSpec spec;
  std::string kind = textOf(packing, "kind");
  std::string format = textOf(packing, "format");
  if (kind == "raw") {
    return spec;
  }
  if (kind == "panel64") {
    spec.kind = SegmentKind::Panel64;
  } else if (kind == "rows") {
    spec.kind = SegmentKind::Rows;
  } else if (kind == "q_codes") {
    spec.kind = SegmentKind::QCodes;
  } else if (kind == "q_scales") {
    spec.kind = SegmentKind::QScales;
  } else if (kind == "q_zero") {
    spec.kind = SegmentKind::QZero;
  } else if (kind == "q_gidx") {
    spec.kind = SegmentKind::QGroups;
  } else {
    return broken(op, "unknown packing '" + kind + "'");
  }
  spec.kn = textOf(packing, "layout") == "kn";
  if (format == "nbits") {
    spec.format = SourceFormat::NBits;
  } else if (format == "qdq_nk" || format == "qdq_kn") {
    spec.format = SourceFormat::Qdq;
    spec.kn = format == "qdq_kn";
  }
  spec.n = intOf(packing, "n");
  spec.k = intOf(packing, "k");
  spec.bits = intOf(packing, "bits");
  spec.blockSize = intOf(packing, "block_size");
  return spec;
}

/// The raw bytes of a small constant, splats spread out.
std::vector<std::byte> bytesOf(mlir::DenseElementsAttr value, DType dtype) {
  std::vector<std::byte> out;
  if (value.getElementType().isInteger(1)) {
    for (bool bit : value.getValues<bool>()) {
      out.push_back(std::byte(bit));
    }
    return out;
  }
  if (plan::bitWidth(dtype) == 4) {
    // Two to a byte, low nibble first.
    bool low = true;
    for (const llvm::APInt &code : value.getValues<llvm::APInt>()) {
      auto bits = std::byte(code.getZExtValue());
      if (low) {
        out.push_back(bits);
      } else {
        out.back() |= bits << 4;
      }
      low = !low;
    }
    return out;
  }
  llvm::ArrayRef<char> raw = value.getRawData();
  size_t width = plan::bitWidth(dtype) / 8;
  size_t count = size_t(value.getNumElements());
  out.resize(count * width);
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(out.data() + i * width,
                raw.data() + (value.isSplat() ? 0 : i * width), width);
  }
  return out;
}

/// Identity of a file without reading it.
std::string stampOf(const std::string &path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    return {};
  }
  return path + "|" + std::to_string(info.st_size) + "|" +
         std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec);
}

} // namespace

Result<std::vector<SegmentJob>>
collectSegmentJobs(mlir::ModuleOp module, const import::WeightStore &weights,
                   const std::string &modelPath) {
  mlir::SymbolTable symbols(module);
  std::filesystem::path folder =
      std::filesystem::absolute(modelPath).parent_path();
  std::vector<SegmentJob> jobs;
  for (auto op : module.getOps<planir::SegmentOp>()) {
    SegmentJob job;
    job.name = op.getSymName().str();
    Result<SegmentSpec> spec = specOf(op);
    if (!spec) {
      return spec.error();
    }
    job.spec = *spec;
    std::string identity;
    mlir::ShapedType type;
    if (op.getSources() && !op.getSources()->empty()) {
      if (op.getSources()->size() != 1) {
        return broken(op, "one source expected");
      }
      auto reference = mlir::cast<mlir::SymbolRefAttr>((*op.getSources())[0]);
      job.weight = reference.getLeafReference().getValue().str();
      auto weight = symbols.lookup<graph::WeightOp>(job.weight);
      if (!weight) {
        return broken(op, "there is no weight @" + job.weight);
      }
      type = mlir::cast<mlir::ShapedType>(weight.getType());
      job.source.bytes = weights.bytes(job.weight);
      if (!weight.getHash().empty()) {
        identity = "content " + weight.getHash().str();
      } else {
        std::filesystem::path file = weight.getFile().str();
        std::string stamp =
            stampOf((file.is_absolute() ? file : folder / file).string());
        if (!stamp.empty()) {
          identity = "file " + stamp + "|" +
                     std::to_string(weight.getOffset()) + "|" +
                     std::to_string(weight.getLength());
        }
      }
    } else if (auto value = mlir::dyn_cast_or_null<mlir::DenseElementsAttr>(
                   op.getValueAttr())) {
      type = value.getType();
      std::optional<DType> dtype = planir::toDType(type.getElementType());
      if (!dtype) {
        return broken(op, "constant of an unsupported type");
      }
      // A splat stays one element: all of a model's may be gigabytes.
      bool isSplat = value.isSplat() && plan::bitWidth(*dtype) >= 8;
      job.owned =
          bytesOf(isSplat ? value.resizeSplat(mlir::RankedTensorType::get(
                                {1}, value.getElementType()))
                          : value,
                  *dtype);
      job.source.bytes = job.owned;
      job.source.isSplat = isSplat;
      identity =
          "content " + hash128(job.owned.data(), job.owned.size()).text();
      if (isSplat) {
        identity += " x " + std::to_string(value.getNumElements());
      }
    } else {
      return broken(op, "neither sources nor a value");
    }
    std::optional<DType> dtype = planir::toDType(type.getElementType());
    if (!dtype) {
      return broken(op, "unsupported element type");
    }
    job.source.dtype = *dtype;
    job.source.shape.assign(type.getShape().begin(), type.getShape().end());
    Result<uint64_t> size = packedSize(job.spec, job.source);
    if (!size) {
      return size.error();
    }
    job.size = *size;
    // The same weight may be packed in several ways by several plans.
    job.name =
        (job.weight.empty() ? job.name : job.weight) + ":" + job.spec.tag();
    if (job.size != op.getSize()) {
      return broken(op, "planned for " + std::to_string(op.getSize()) +
                            " bytes, packs to " + std::to_string(job.size));
    }
    if (!identity.empty()) {
      identity += "|" + job.spec.str() + "|" +
                  std::string(plan::name(job.source.dtype));
      job.fingerprint = hash128(identity.data(), identity.size());
    }
    jobs.push_back(std::move(job));
    // `owned` moved with the job: its bytes did not.
  }
  return jobs;
}

} // namespace llmc::pack
