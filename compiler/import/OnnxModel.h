//===- OnnxModel.h - An ONNX protobuf with its external data ----*- C++ -*-===//
//
// Finds and reads the .onnx file, and gives initializers as constants that
// point into the protobuf or into mapped external data files: no copies.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_COMPILER_IMPORT_ONNXMODEL_H
#define LLMC_COMPILER_IMPORT_ONNXMODEL_H

#include "compiler/import/Value.h"
#include "runtime/support/Result.h"

#include "compiler/import/Onnx.h"

#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace llmc::import {

/// `path` is the file itself, or a folder with one .onnx in it (or the one
/// that its genai_config.json names).
Result<std::filesystem::path> findModelFile(const std::string &path);

/// A read-only mapping of a whole file.
struct MappedFile {
  const std::byte *data = nullptr;
  uint64_t size = 0;
  MappedFile() = default;
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;
  ~MappedFile();
};
Result<std::shared_ptr<const MappedFile>>
mapFile(const std::filesystem::path &path);

class OnnxModel {
public:
  static Result<std::unique_ptr<OnnxModel>>
  load(const std::filesystem::path &path);

  const onnx::ModelProto &proto() const { return *model; }
  const std::filesystem::path &path() const { return file; }
  /// Version of an imported operator set, 0 if the model does not import it.
  /// "" and "ai.onnx" are the same.
  int64_t opset(const std::string &domain) const;

  /// The tensor as a constant; made once per tensor.
  Result<Val> constant(const onnx::TensorProto &tensor);

private:
  Result<Val> load(const onnx::TensorProto &tensor);
  Result<std::shared_ptr<ConstantData>>
  external(const onnx::TensorProto &tensor, uint64_t size);
  Result<std::shared_ptr<const MappedFile>>
  dataFile(const std::string &tensor, const std::string &location);

  std::filesystem::path file;
  std::shared_ptr<onnx::ModelProto> model;
  std::map<std::string, std::shared_ptr<const MappedFile>> dataFiles;
  std::map<const onnx::TensorProto *, Val> constants;
};

} // namespace llmc::import

#endif // LLMC_COMPILER_IMPORT_ONNXMODEL_H
