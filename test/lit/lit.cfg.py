"""lit configuration: `lit build/test/lit` runs every test beside this file."""

import os
import shutil

import lit.formats

config.name = "llmc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.llmc_binary_dir, "test", "lit")

for folder in (config.llvm_tools_dir, os.path.join(config.llmc_binary_dir, "bin")):
    config.environment["PATH"] = os.pathsep.join([folder, config.environment["PATH"]])

# Configurations leave parts out: a test says what it needs (REQUIRES: llmc).
for tool in ("llmc", "llmc-opt", "llmc-run", "llmc-import"):
    if shutil.which(tool, path=os.path.join(config.llmc_binary_dir, "bin")):
        config.available_features.add(tool)

# `%onnx < TEXT > MODEL`: a model written as text.
config.substitutions.append(
    ("%onnx", "protoc --encode=onnx.ModelProto --proto_path=/usr/include/onnx onnx.proto"))
