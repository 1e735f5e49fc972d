//===- Link.cpp - Code and constants in one piece -------------------------===//
//
// lld in this process, with a script that puts code and constants into one
// section at address 0. As a position-independent program the result would
// have relocations, a global offset table or writable sections if anything
// needed them; it is looked through for these.
//
//===----------------------------------------------------------------------===//

#include "compiler/codegen/Object.h"

#include "lld/Common/Driver.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

LLD_HAS_DRIVER(elf)

namespace llmc::codegen {

namespace {

constexpr const char *kScript = R"(SECTIONS {
  .blob 0 : { *(.text .text.*) *(.rodata .rodata.*) }
  .dynsym : { *(.dynsym) }
  .hash : { *(.hash) }
  .dynstr : { *(.dynstr) }
  .dynamic : { *(.dynamic) }
  /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
}
)";

Error linkError(const std::string &what) {
  return {ErrorCode::Internal, "linking generated kernels: " + what};
}

/// A folder that goes away with what is in it.
struct TemporaryFolder {
  llvm::SmallString<128> path;
  ~TemporaryFolder() {
    if (!path.empty()) {
      (void)llvm::sys::fs::remove_directories(path);
    }
  }
  std::string file(const char *name) const { return (path + "/" + name).str(); }
};

Result<void> write(const std::string &path, llvm::StringRef bytes) {
  std::error_code failed;
  llvm::raw_fd_ostream file(path, failed);
  if (!failed) {
    file << bytes;
    file.close();
    failed = file.error();
  }
  if (failed) {
    return Error{ErrorCode::FileUnwritable, path + ": " + failed.message()};
  }
  return {};
}

/// Sections that a position-independent program has besides its code.
bool isHarmless(llvm::StringRef name) {
  return name == ".dynsym" || name == ".dynstr" || name == ".hash" ||
         name == ".gnu.hash" || name == ".dynamic";
}

Result<Blob> readLinked(llvm::MemoryBufferRef file,
                        const std::vector<std::string> &functions) {
  using Elf = llvm::object::ELF64LEObjectFile;
  llvm::Expected<Elf> elf = Elf::create(file);
  if (!elf) {
    return linkError(llvm::toString(elf.takeError()));
  }
  Blob blob;
  for (const llvm::object::ELFSectionRef section : elf->sections()) {
    llvm::StringRef name = llvm::cantFail(section.getName());
    if ((section.getFlags() & llvm::ELF::SHF_ALLOC) == 0 ||
        section.getSize() == 0 || isHarmless(name)) {
      continue;
    }
    if (name != ".blob" || (section.getFlags() & llvm::ELF::SHF_WRITE) != 0) {
      return linkError("there is a section " + name.str() +
                       ", which code and constants alone do not need");
    }
    llvm::StringRef bytes = llvm::cantFail(section.getContents());
    blob.bytes.assign(bytes.bytes_begin(), bytes.bytes_end());
  }
  llvm::StringMap<uint64_t> addresses;
  for (const llvm::object::ELFSymbolRef symbol : elf->symbols()) {
    addresses[llvm::cantFail(symbol.getName())] =
        llvm::cantFail(symbol.getAddress());
  }
  for (const std::string &function : functions) {
    auto it = addresses.find(function);
    if (it == addresses.end() || it->second >= blob.bytes.size()) {
      return linkError("function " + function + " is not there");
    }
    blob.entries.push_back(it->second);
  }
  return blob;
}

} // namespace

Result<Blob> linkBlob(const std::vector<uint8_t> &object,
                      const std::vector<std::string> &functions) {
  TemporaryFolder folder;
  if (std::error_code failed =
          llvm::sys::fs::createUniqueDirectory("llmc", folder.path)) {
    return linkError("no temporary folder: " + failed.message());
  }
  std::string in = folder.file("in.o"), script = folder.file("script.ld"),
              out = folder.file("out");
  if (Result<void> done = write(
          in, {reinterpret_cast<const char *>(object.data()), object.size()});
      !done) {
    return done.error();
  }
  if (Result<void> done = write(script, kScript); !done) {
    return done.error();
  }
  std::vector<const char *> args = {
      "ld.lld",      "-pie",    "--no-dynamic-linker", "--no-undefined",
      "-z",          "text",    "--build-id=none",     "--hash-style=sysv",
      "--threads=1", "-T",      script.c_str(),        "-o",
      out.c_str(),   in.c_str()};
  std::string said;
  llvm::raw_string_ostream stream(said);
  lld::Result linked =
      lld::lldMain(args, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (linked.retCode != 0) {
    return linkError(said);
  }
  auto file = llvm::MemoryBuffer::getFile(out);
  if (!file) {
    return linkError("the result is not there");
  }
  return readLinked(**file, functions);
}

} // namespace llmc::codegen
