//===- OnnxModel.cpp - An ONNX protobuf with its external data ------------===//

#include "compiler/import/OnnxModel.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace llmc::import {

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

MappedFile::~MappedFile() {
  if (data) {
    munmap(const_cast<std::byte *>(data), size);
  }
}

Result<std::shared_ptr<const MappedFile>> mapFile(const fs::path &path) {
  int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return {errno == ENOENT ? ErrorCode::FileNotFound
                            : ErrorCode::FileUnreadable,
            path.string() + ": " + std::strerror(errno)};
  }
  struct stat info{};
  fstat(descriptor, &info);
  auto file = std::make_shared<MappedFile>();
  if (S_ISDIR(info.st_mode)) {
    close(descriptor);
    return {ErrorCode::FileUnreadable, path.string() + ": is a folder"};
  }
  if (info.st_size > 0) {
    void *address =
        mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      int error = errno;
      close(descriptor);
      return {ErrorCode::FileUnreadable,
              path.string() + ": cannot map: " + std::strerror(error)};
    }
    file->data = static_cast<const std::byte *>(address);
    file->size = info.st_size;
  }
  close(descriptor);
  return std::shared_ptr<const MappedFile>(file);
}

Result<fs::path> findModelFile(const std::string &path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return {ErrorCode::FileNotFound, path + ": no such file or folder"};
  }
  if (!fs::is_directory(path, ignored)) {
    return fs::path(path);
  }
  std::vector<fs::path> found;
  for (const fs::directory_entry &entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".onnx") {
      found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  fs::path genai = fs::path(path) / "genai_config.json";
  if (std::ifstream stream(genai); stream) {
    auto json = nlohmann::json::parse(stream, nullptr, false);
    auto pointer = "/model/decoder/filename"_json_pointer;
    if (!json.is_discarded() && json.contains(pointer) &&
        json[pointer].is_string()) {
      fs::path named = fs::path(path) / json[pointer].get<std::string>();
      if (fs::exists(named, ignored)) {
        return named;
      }
      return {ErrorCode::FileNotFound, genai.string() + ": names " +
                                           named.filename().string() +
                                           ", which is not in the folder"};
    }
  }
  if (found.size() == 1) {
    return found[0];
  }
  if (found.empty()) {
    for (const fs::directory_entry &entry : fs::directory_iterator(path)) {
      std::string extension = entry.path().extension();
      if (extension == ".gguf" || extension == ".safetensors") {
        return {ErrorCode::FileNotFound,
                path + ": no .onnx file in this folder, but " +
                    entry.path().filename().string() +
                    "; export the model to ONNX first, for example with "
                    "optimum-cli export onnx"};
      }
    }
    return {ErrorCode::FileNotFound, path + ": no .onnx file in this folder"};
  }
  std::string names;
  for (const fs::path &candidate : found) {
    names += (names.empty() ? "" : ", ") + candidate.filename().string();
  }
  return {ErrorCode::InvalidArgument,
          path + ": " + std::to_string(found.size()) +
              " .onnx files, name one of them: " + names};
}

//===----------------------------------------------------------------------===//
// The protobuf
//===----------------------------------------------------------------------===//

namespace {

/// What a walk over the top-level protobuf fields tells.
enum class Scan { Model, Truncated, Garbage };

Scan scanFields(const std::byte *data, uint64_t size) {
  uint64_t position = 0;
  int fields = 0;
  auto varint = [&](uint64_t &value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position == size) {
        return false;
      }
      auto byte = std::to_integer<uint64_t>(data[position++]);
      value |= (byte & 127) << shift;
      if (byte < 128) {
        return true;
      }
    }
    return false;
  };
  while (position < size) {
    uint64_t tag, length;
    if (!varint(tag)) {
      return fields > 0 ? Scan::Truncated : Scan::Garbage;
    }
    uint64_t field = tag >> 3, wire = tag & 7;
    if (field == 0 || field > 100 || (wire != 0 && wire != 2)) {
      return Scan::Garbage;
    }
    if (!varint(length)) {
      return fields > 0 ? Scan::Truncated : Scan::Garbage;
    }
    if (wire == 2) {
      if (length > size - position) {
        // A graph or a producer's name that goes on past the end.
        return fields > 0 || field == 7 ? Scan::Truncated : Scan::Garbage;
      }
      position += length;
    }
    ++fields;
  }
  return fields > 0 ? Scan::Model : Scan::Garbage;
}

Error notOnnx(const fs::path &path, const MappedFile &file) {
  std::string extension = path.extension();
  auto startsWith = [&](const char *magic, size_t length) {
    return file.size >= length && std::memcmp(file.data, magic, length) == 0;
  };
  const char *howTo = "; export the model to ONNX first, for example with "
                      "optimum-cli export onnx";
  if (startsWith("GGUF", 4) || extension == ".gguf") {
    return {ErrorCode::Unsupported,
            path.string() + ": a GGUF file, not ONNX" + howTo};
  }
  if (extension == ".safetensors" ||
      (file.size > 10 && std::to_integer<char>(file.data[8]) == '{' &&
       std::to_integer<char>(file.data[9]) == '"')) {
    return {ErrorCode::Unsupported,
            path.string() +
                ": a safetensors file, weights without their graph" + howTo};
  }
  return {ErrorCode::FileMalformed, path.string() + ": not an ONNX file"};
}

} // namespace

Result<std::unique_ptr<OnnxModel>> OnnxModel::load(const fs::path &path) {
  Result<std::shared_ptr<const MappedFile>> mapped = mapFile(path);
  if (!mapped) {
    return mapped.error();
  }
  const MappedFile &file = **mapped;
  if (file.size == 0) {
    return {ErrorCode::FileMalformed, path.string() + ": the file is empty"};
  }
  std::string extension = path.extension();
  if (extension == ".gguf" || extension == ".safetensors") {
    return notOnnx(path, file);
  }
  switch (scanFields(file.data, file.size)) {
  case Scan::Garbage:
    return notOnnx(path, file);
  case Scan::Truncated:
    return {ErrorCode::FileTruncated,
            path.string() + ": truncated: it ends after " +
                std::to_string(file.size) + " bytes inside of a field"};
  case Scan::Model:
    break;
  }
  if (file.size > INT32_MAX) {
    return {ErrorCode::Unsupported,
            path.string() + ": " + std::to_string(file.size) +
                " bytes; a protobuf holds 2 GiB, larger models keep their "
                "weights in external data"};
  }
  google::protobuf::SetLogHandler(nullptr);
  auto result = std::make_unique<OnnxModel>();
  result->file = path;
  result->model = std::make_shared<onnx::ModelProto>();
  google::protobuf::io::ArrayInputStream array(file.data,
                                               static_cast<int>(file.size));
  google::protobuf::io::CodedInputStream stream(&array);
  stream.SetTotalBytesLimit(INT32_MAX);
  bool parsed = result->model->ParseFromCodedStream(&stream) &&
                stream.ConsumedEntireMessage();
  if (!parsed || !result->model->has_graph()) {
    return {ErrorCode::FileMalformed,
            path.string() + ": not an ONNX file, or a damaged one"};
  }
  if (result->model->graph().output_size() == 0) {
    return {ErrorCode::FileMalformed,
            path.string() + ": the graph has no output"};
  }
  if (result->model->opset_import_size() == 0) {
    return {ErrorCode::FileMalformed,
            path.string() + ": imports no operator set; is the file complete?"};
  }
  int64_t opset = result->opset("");
  if (opset != 0 && (opset < 9 || opset > 25)) {
    return {ErrorCode::Unsupported, path.string() + ": operator set " +
                                        std::to_string(opset) +
                                        ", supported are 9 to 25"};
  }
  return result;
}

int64_t OnnxModel::opset(const std::string &domain) const {
  auto canonical = [](const std::string &d) {
    return d == "ai.onnx" ? std::string() : d;
  };
  for (const onnx::OperatorSetIdProto &entry : model->opset_import()) {
    if (canonical(entry.domain()) == canonical(domain)) {
      return entry.version();
    }
  }
  return 0;
}

//===----------------------------------------------------------------------===//
// Initializers
//===----------------------------------------------------------------------===//

Result<Val> OnnxModel::constant(const onnx::TensorProto &tensor) {
  Val &slot = constants[&tensor];
  if (!slot) {
    Result<Val> made = load(tensor);
    if (!made) {
      return Error{made.error().code, file.string() + ": initializer '" +
                                          tensor.name() +
                                          "': " + made.error().message};
    }
    slot = *made;
  }
  // A copy: each entry makes its own MLIR value.
  return std::make_shared<Value>(*slot);
}

namespace {

/// The typed field of `tensor` as bytes; empty data if it has none.
template <class T, class Field>
std::shared_ptr<ConstantData>
narrowed(const Field &values, uint64_t elements,
         const std::shared_ptr<onnx::ModelProto> &owner) {
  auto data = std::make_shared<ConstantData>();
  using Stored = std::decay_t<decltype(values.Get(0))>;
  if (sizeof(T) == sizeof(Stored)) {
    data->data = reinterpret_cast<const std::byte *>(values.data());
    data->owner = owner;
  } else {
    auto bytes = std::make_shared<std::vector<T>>(values.begin(), values.end());
    data->data = reinterpret_cast<const std::byte *>(bytes->data());
    data->owner = bytes;
  }
  data->size = elements * sizeof(T);
  return data;
}

} // namespace

/// Exporters of GPT-2 keep the causal mask as a buffer [1, 1, N, N] of ones and
/// zeros. The walk ends at the first element that differs.
static bool isLowerTriangle(const Value &v) {
  bool maybe = v.type == DataType::Bool || v.type == DataType::UInt8 ||
               v.type == DataType::Float;
  std::optional<std::vector<int64_t>> dims = v.staticDims();
  if (!maybe || v.constant->splat || dims->size() < 2) {
    return false;
  }
  size_t rank = dims->size();
  int64_t side = dims->back();
  if (side < 4 || (*dims)[rank - 2] != side || v.count() != side * side) {
    return false;
  }
  for (int64_t row = 0; row < side; ++row) {
    for (int64_t column = 0; column < side; ++column) {
      double element = readFloat(v.type, v.constant->data, row * side + column);
      if (element != (column <= row ? 1 : 0)) {
        return false;
      }
    }
  }
  return true;
}

Result<Val> OnnxModel::load(const onnx::TensorProto &tensor) {
  auto v = std::make_shared<Value>();
  v->type = static_cast<DataType>(tensor.data_type());
  if (!isSupported(v->type)) {
    return {ErrorCode::Unsupported,
            "element type " + name(v->type) + " is not supported"};
  }
  uint64_t elements = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0 ||
        __builtin_mul_overflow(elements, static_cast<uint64_t>(dim),
                               &elements) ||
        elements > (uint64_t{1} << 48)) {
      return {ErrorCode::FileMalformed, "impossible dimensions"};
    }
    v->dims.push_back(dim);
  }
  uint64_t size = byteSize(v->type, elements);
  std::shared_ptr<ConstantData> data;
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    Result<std::shared_ptr<ConstantData>> mapped = external(tensor, size);
    if (!mapped) {
      return mapped.error();
    }
    data = *mapped;
  } else if (tensor.has_raw_data() || elements == 0) {
    data = std::make_shared<ConstantData>();
    data->data = reinterpret_cast<const std::byte *>(tensor.raw_data().data());
    data->size = tensor.raw_data().size();
    data->owner = model;
  } else {
    int64_t stored = 0;
    switch (v->type) {
    case DataType::Float:
      data = narrowed<float>(tensor.float_data(), elements, model);
      stored = tensor.float_data_size();
      break;
    case DataType::Double:
      data = narrowed<double>(tensor.double_data(), elements, model);
      stored = tensor.double_data_size();
      break;
    case DataType::Int64:
      data = narrowed<int64_t>(tensor.int64_data(), elements, model);
      stored = tensor.int64_data_size();
      break;
    case DataType::UInt32:
      data = narrowed<uint32_t>(tensor.uint64_data(), elements, model);
      stored = tensor.uint64_data_size();
      break;
    case DataType::UInt64:
      data = narrowed<uint64_t>(tensor.uint64_data(), elements, model);
      stored = tensor.uint64_data_size();
      break;
    case DataType::Int32:
      data = narrowed<int32_t>(tensor.int32_data(), elements, model);
      stored = tensor.int32_data_size();
      break;
    default: {
      unsigned bits = bitWidth(v->type);
      stored = tensor.int32_data_size();
      if (bits == 16) {
        data = narrowed<uint16_t>(tensor.int32_data(), elements, model);
      } else {
        data = narrowed<uint8_t>(tensor.int32_data(), size, model);
        // Two 4-bit elements share one int32 entry.
        stored = bits == 4 ? std::min<int64_t>(stored * 2, elements) : stored;
      }
    }
    }
    if (static_cast<uint64_t>(stored) != elements) {
      return {ErrorCode::FileMalformed, std::to_string(stored) +
                                            " elements, its dimensions want " +
                                            std::to_string(elements)};
    }
  }
  if (data->size != size) {
    return {ErrorCode::FileMalformed,
            std::to_string(data->size) +
                " bytes, its type and dimensions want " + std::to_string(size)};
  }
  data->name = tensor.name();
  // Splats are kept as one element. The comparison ends at the first
  // difference, so it reads little of a real weight.
  size_t width = bitWidth(v->type) / 8;
  if (elements > 64 && width > 0 &&
      std::memcmp(data->data, data->data + width, size - width) == 0) {
    data->splat = true;
  }
  v->constant = std::move(data);
  if (isLowerTriangle(*v)) {
    v->constant = nullptr;
    v->triangle = Triangle{0, 0};
  }
  return v;
}

Result<std::shared_ptr<ConstantData>>
OnnxModel::external(const onnx::TensorProto &tensor, uint64_t size) {
  std::string location;
  uint64_t offset = 0, length = size;
  for (const onnx::StringStringEntryProto &entry : tensor.external_data()) {
    uint64_t *number = entry.key() == "offset"   ? &offset
                       : entry.key() == "length" ? &length
                                                 : nullptr;
    if (entry.key() == "location") {
      location = entry.value();
    } else if (number) {
      const std::string &text = entry.value();
      auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), *number);
      if (error != std::errc() || end != text.data() + text.size()) {
        return {ErrorCode::FileMalformed,
                "external data " + entry.key() + " is '" + text + "'"};
      }
    }
  }
  if (location.empty()) {
    return {ErrorCode::FileMalformed, "external data without a location"};
  }
  Result<std::shared_ptr<const MappedFile>> mapped =
      dataFile(tensor.name(), location);
  if (!mapped) {
    return mapped.error();
  }
  if (length != size) {
    return {ErrorCode::FileMalformed,
            "external data has " + std::to_string(length) +
                " bytes, its type and dimensions want " + std::to_string(size)};
  }
  uint64_t total = (*mapped)->size;
  if (offset > total || length > total - offset) {
    return {ErrorCode::FileTruncated,
            "external data file " + location + " is too short: bytes " +
                std::to_string(offset) + " to " +
                std::to_string(offset + length) + " are wanted, it has " +
                std::to_string(total)};
  }
  auto data = std::make_shared<ConstantData>();
  data->data = (*mapped)->data + offset;
  data->size = length;
  data->owner = *mapped;
  data->file = location;
  data->offset = offset;
  return data;
}

Result<std::shared_ptr<const MappedFile>>
OnnxModel::dataFile(const std::string &tensor, const std::string &location) {
  std::shared_ptr<const MappedFile> &slot = dataFiles[location];
  if (slot) {
    return slot;
  }
  fs::path logical =
      file.parent_path().empty() ? fs::path(".") : file.parent_path();
  auto inside = [](const fs::path &path, const fs::path &folder) {
    auto [end, _] =
        std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
    return end == folder.end();
  };
  fs::path relative = fs::path(location).lexically_normal();
  if (relative.is_absolute() || *relative.begin() == "..") {
    return {ErrorCode::InvalidArgument,
            "external data location '" + location +
                "' is outside of the model's folder"};
  }
  fs::path path = logical / relative;
  std::error_code error;
  if (!fs::exists(path, error)) {
    return {ErrorCode::FileNotFound,
            "external data file " + path.string() + " does not exist"};
  }
  // The Hugging Face cache: model and data are links into one blobs folder.
  fs::path real = fs::canonical(path, error);
  if (!inside(real, fs::canonical(logical, error)) &&
      !inside(real, fs::canonical(file, error).parent_path())) {
    return {ErrorCode::InvalidArgument, "external data file " + path.string() +
                                            " is a link to " + real.string() +
                                            ", outside of the model's folder"};
  }
  Result<std::shared_ptr<const MappedFile>> mapped = mapFile(path);
  if (mapped) {
    slot = *mapped;
  }
  return mapped;
}

} // namespace llmc::import
