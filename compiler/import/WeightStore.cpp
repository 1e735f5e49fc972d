//===- WeightStore.cpp - Bytes of a model's weights -----------------------===//

#include "compiler/import/WeightStore.h"

#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace llmc::import {

std::span<const std::byte> WeightStore::bytes(std::string_view name) const {
  auto it = items.find(name);
  return it == items.end() ? std::span<const std::byte>() : it->second.bytes;
}

void WeightStore::add(std::string name, std::span<const std::byte> bytes,
                      std::shared_ptr<const void> keepAlive) {
  items[std::move(name)] = {bytes, std::move(keepAlive), false};
}

void WeightStore::addMapped(std::string name, std::span<const std::byte> bytes,
                            std::shared_ptr<const void> mapping) {
  items[std::move(name)] = {bytes, std::move(mapping), true};
}

void WeightStore::release(std::string_view name) const {
  auto it = items.find(name);
  if (it == items.end() || !it->second.mapped || it->second.bytes.empty()) {
    return;
  }
  // Whole pages inside the range only: its edges may belong to a neighbour.
  auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto begin = reinterpret_cast<uintptr_t>(it->second.bytes.data());
  uintptr_t end = (begin + it->second.bytes.size()) / page * page;
  begin = (begin + page - 1) / page * page;
  if (begin < end) {
    madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
  }
}

} // namespace llmc::import
