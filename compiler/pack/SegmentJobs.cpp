//===- SegmentJobs.cpp - What the weights file must hold ------------------===//

#include "compiler/pack/SegmentJobs.h"

#include "dialects/graph/GraphOps.h"
#include "dialects/plan/PlanDialect.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/SymbolTable.h"

#include <algorithm>
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

/// What each of the `count` sources becomes, and how they lie together.
Result<Arrangement> partsOf(planir::SegmentOp op, size_t count,
                            std::vector<Part> &parts) {
  std::string kind = textOf(op.getPacking(), "kind");
  bool interleaved = kind == "panel64_interleaved";
  if (!interleaved && kind != "panel64_joined") {
    Result<SegmentSpec> spec = specOf(op);
    if (!spec) {
      return spec.error();
    }
    parts.assign(count, {*spec, {}});
    return Arrangement::Joined;
  }
  auto list = op.getPacking().getAs<mlir::ArrayAttr>("parts");
  if (!list || list.size() != count) {
    return broken(op, "as many parts as sources expected");
  }
  for (mlir::Attribute attribute : list) {
    auto dict = mlir::cast<mlir::DictionaryAttr>(attribute);
    SegmentSpec spec;
    spec.kind = SegmentKind::Panel64;
    spec.kn = textOf(dict, "layout") == "kn";
    spec.n = intOf(dict, "n");
    spec.k = intOf(dict, "k");
    parts.push_back({spec, {}});
  }
  return interleaved ? Arrangement::Interleaved : Arrangement::Joined;
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

/// What tells the weight's bytes from any other's without reading them; empty
/// if nothing does.
std::string identityOf(graph::WeightOp weight,
                       const std::filesystem::path &folder) {
  if (!weight.getHash().empty()) {
    return "content " + weight.getHash().str();
  }
  std::filesystem::path file = weight.getFile().str();
  std::string stamp =
      stampOf((file.is_absolute() ? file : folder / file).string());
  if (stamp.empty()) {
    return {};
  }
  return "file " + stamp + "|" + std::to_string(weight.getOffset()) + "|" +
         std::to_string(weight.getLength());
}

/// Describes the element type and shape; false for a type that no plan holds.
bool setType(Source &source, mlir::ShapedType type) {
  std::optional<DType> dtype = planir::toDType(type.getElementType());
  if (dtype) {
    source.dtype = *dtype;
    source.shape.assign(type.getShape().begin(), type.getShape().end());
  }
  return dtype.has_value();
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
    size_t sources = op.getSources() ? op.getSources()->size() : 0;
    Result<Arrangement> arrangement =
        partsOf(op, std::max<size_t>(sources, 1), job.parts);
    if (!arrangement) {
      return arrangement.error();
    }
    job.arrangement = *arrangement;
    std::string identity;
    bool known = true;
    for (size_t i = 0; i < sources; ++i) {
      auto reference = mlir::cast<mlir::SymbolRefAttr>((*op.getSources())[i]);
      std::string name = reference.getLeafReference().getValue().str();
      auto weight = symbols.lookup<graph::WeightOp>(name);
      if (!weight) {
        return broken(op, "there is no weight @" + name);
      }
      Source &source = job.parts[i].source;
      source.bytes = weights.bytes(name);
      if (!setType(source, mlir::cast<mlir::ShapedType>(weight.getType()))) {
        return broken(op, "unsupported element type");
      }
      std::string own = identityOf(weight, folder);
      known &= !own.empty();
      identity += (i == 0 ? "" : "|") + own;
      job.weights.push_back(std::move(name));
    }
    if (sources == 0) {
      auto value =
          mlir::dyn_cast_or_null<mlir::DenseElementsAttr>(op.getValueAttr());
      if (!value) {
        return broken(op, "neither sources nor a value");
      }
      Source &source = job.parts[0].source;
      if (!setType(source, value.getType())) {
        return broken(op, "constant of an unsupported type");
      }
      // A splat stays one element: all of a model's may be gigabytes.
      source.isSplat = value.isSplat() && plan::bitWidth(source.dtype) >= 8;
      job.owned = bytesOf(source.isSplat
                              ? value.resizeSplat(mlir::RankedTensorType::get(
                                    {1}, value.getElementType()))
                              : value,
                          source.dtype);
      source.bytes = job.owned;
      identity =
          "content " + hash128(job.owned.data(), job.owned.size()).text();
      if (source.isSplat) {
        identity += " x " + std::to_string(value.getNumElements());
      }
    }
    Result<uint64_t> size = packedSize(job.parts, job.arrangement);
    if (!size) {
      return size.error();
    }
    job.size = *size;
    // The same weight may be packed in several ways by several plans.
    if (sources > 0) {
      job.name.clear();
      for (const std::string &weight : job.weights) {
        job.name += (job.name.empty() ? "" : "+") + weight;
      }
    }
    bool interleaved = job.arrangement == Arrangement::Interleaved;
    job.name +=
        ":" + job.parts[0].spec.tag() + (interleaved ? ".interleaved" : "");
    if (job.size != op.getSize()) {
      return broken(op, "planned for " + std::to_string(op.getSize()) +
                            " bytes, packs to " + std::to_string(job.size));
    }
    if (known) {
      for (const Part &part : job.parts) {
        identity += "|" + part.spec.str() + "|" +
                    std::string(plan::name(part.source.dtype));
      }
      identity += interleaved ? "|interleaved" : "";
      job.fingerprint = hash128(identity.data(), identity.size());
    }
    jobs.push_back(std::move(job));
    // `owned` moved with the job: its bytes did not.
  }
  return jobs;
}

} // namespace llmc::pack
