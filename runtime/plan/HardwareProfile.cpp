//===- HardwareProfile.cpp ------------------------------------------------===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/plan/HardwareProfile.h"

#include "runtime/plan/AtomicFile.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

namespace llmc::plan {

using Json = nlohmann::ordered_json;

static constexpr uint64_t kMaxFileBytes = uint64_t(4) << 20;
static constexpr double kSlowDisk = 7e9;
static constexpr double kSlowMemory = 50e9;
static constexpr const char *kDTypes[] = {"f32", "bf16", "f16", "int8"};

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static Json toJson(const MemoryRates &rates) {
  return {{"read_bytes_per_second", rates.read},
          {"write_bytes_per_second", rates.write},
          {"copy_bytes_per_second", rates.copy}};
}

static Json toJson(const HostHardware &host) {
  Json json;
  json["cpu"] = host.cpu;
  json["isa"] = host.isa;
  json["threads"] = host.threads;
  json["memory_bytes"] = host.memoryBytes;
  json["memory"] = toJson(host.memory);
  if (host.memoryOneThread) {
    json["memory_one_thread"] = toJson(*host.memoryOneThread);
  }
  json["compute"] = Json::object();
  for (const auto &[dtype, rate] : host.compute) {
    Json &item = json["compute"][dtype] = Json::object();
    if (rate.oneRow) {
      item["one_row_flops_per_second"] = *rate.oneRow;
    }
    if (rate.manyRows) {
      item["many_rows_flops_per_second"] = *rate.manyRows;
    }
  }
  return json;
}

static Json toJson(const DiskHardware &disk) {
  Json json;
  json["path"] = disk.path;
  json["bytes_per_second"] = disk.bytesPerSecond;
  if (disk.latencySeconds) {
    json["latency_seconds"] = *disk.latencySeconds;
  }
  if (disk.numaNode) {
    json["numa_node"] = *disk.numaNode;
  }
  json["ways"] = Json::array();
  for (const DiskWay &way : disk.ways) {
    json["ways"].push_back({{"method", way.method},
                            {"huge_pages", way.hugePages},
                            {"depth", way.depth},
                            {"request_bytes", way.requestBytes},
                            {"bytes_per_second", way.bytesPerSecond}});
  }
  return json;
}

static Json toJson(const GpuHardware &gpu) {
  Json json;
  json["name"] = gpu.name;
  const auto known = [&](const char *key, auto value) {
    if (value > 0) {
      json[key] = value;
    }
  };
  known("memory_bytes", gpu.memoryBytes);
  known("memory_bytes_per_second", gpu.memoryBytesPerSecond);
  known("pcie_generation", gpu.pcieGeneration);
  known("pcie_lanes", gpu.pcieLanes);
  known("link_bytes_per_second", gpu.linkBytesPerSecond);
  for (const auto &[dtype, rate] : gpu.flops) {
    json["flops_per_second"][dtype] = rate;
  }
  if (gpu.numaNode) {
    json["numa_node"] = *gpu.numaNode;
  }
  return json;
}

std::string HardwareProfile::json() const {
  Json json;
  json["llmc_hardware"] = kVersion;
  json["name"] = name;
  json["source"] = source;
  if (host) {
    json["host"] = toJson(*host);
  }
  if (disk) {
    json["disk"] = toJson(*disk);
  }
  if (!numa.empty()) {
    json["numa"] = Json::array();
    for (const NumaNode &node : numa) {
      json["numa"].push_back({{"node", node.node},
                              {"cpus", node.cpus},
                              {"memory_bytes", node.memoryBytes}});
    }
  }
  if (!gpus.empty()) {
    json["gpus"] = Json::array();
    for (const GpuHardware &gpu : gpus) {
      json["gpus"].push_back(toJson(gpu));
    }
  }
  if (!remarks.empty()) {
    json["remarks"] = remarks;
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

/// One object of the file. The first thing that is wrong is kept; every key
/// must have been asked for in the end.
class Fields {
public:
  Fields(const Json &json, std::string place, std::string &error)
      : json(json), place(std::move(place)), error(error) {
    if (!json.is_object()) {
      wrong("is not an object");
    }
  }

  bool has(const char *key) const {
    return json.is_object() && json.contains(key);
  }

  const Json *find(const char *key, bool needed = true) {
    known.insert(key);
    if (!has(key)) {
      if (needed) {
        wrong("has no '" + std::string(key) + "'");
      }
      return nullptr;
    }
    return &json.at(key);
  }

  void text(const char *key, std::string &out) {
    if (const Json *value = find(key)) {
      if (value->is_string()) {
        out = value->get<std::string>();
      } else {
        wrong("'" + std::string(key) + "' is not a string");
      }
    }
  }

  /// The unit that the number is not in, since no machine is so slow: "48" for
  /// 48 GB/s, "80" for 80 us.
  std::string misread(std::string_view key, double number) const {
    if (key.ends_with("flops_per_second") ||
        place.ends_with("flops_per_second")) {
      return number < 1e6 ? "flops per second" : "";
    }
    if (key.ends_with("bytes_per_second")) {
      return number < 1e6 ? "bytes per second" : "";
    }
    return key.ends_with("_seconds") && number > 10 ? "seconds" : "";
  }

  void rate(const char *key, double &out) {
    if (const Json *value = find(key)) {
      const double number =
          value->is_number() ? value->get<double>() : std::nan("");
      if (!std::isfinite(number) || number <= 0) {
        wrong("'" + std::string(key) + "' is " + value->dump() +
              ", expected a positive number");
      } else if (const std::string unit = misread(key, number); !unit.empty()) {
        wrong("'" + std::string(key) + "' is " + value->dump() +
              ", which cannot be " + unit);
      }
      out = number;
    }
  }

  void rate(const char *key, std::optional<double> &out) {
    known.insert(key);
    if (has(key)) {
      rate(key, out.emplace());
    }
  }

  void rateIfKnown(const char *key, double &out) {
    if (find(key, false)) {
      rate(key, out);
    }
  }

  void countIfKnown(const char *key, uint64_t &out) {
    if (find(key, false)) {
      count(key, out);
    }
  }

  void count(const char *key, uint64_t &out) {
    if (const Json *value = find(key)) {
      if (!value->is_number_unsigned() || value->get<uint64_t>() == 0) {
        wrong("'" + std::string(key) + "' is " + value->dump() +
              ", expected a positive whole number");
        return;
      }
      out = value->get<uint64_t>();
    }
  }

  void index(const char *key, int64_t &out) {
    if (const Json *value = find(key)) {
      if (!value->is_number_unsigned() ||
          value->get<uint64_t>() > uint64_t(INT32_MAX)) {
        wrong("'" + std::string(key) + "' is " + value->dump() +
              ", expected a whole number from 0");
        return;
      }
      out = value->get<int64_t>();
    }
  }

  void index(const char *key, std::optional<int64_t> &out) {
    known.insert(key);
    if (has(key)) {
      index(key, out.emplace());
    }
  }

  void flag(const char *key, bool &out) {
    if (const Json *value = find(key)) {
      if (!value->is_boolean()) {
        wrong("'" + std::string(key) + "' is not true or false");
        return;
      }
      out = value->get<bool>();
    }
  }

  /// Calls each(element, its place) for an optional array.
  template <class Each> void list(const char *key, const Each &each) {
    const Json *value = find(key, false);
    if (!value) {
      return;
    }
    if (!value->is_array()) {
      wrong("'" + std::string(key) + "' is not a list");
      return;
    }
    for (size_t i = 0; i < value->size(); ++i) {
      each((*value)[i], join(std::string(key) + "[" + std::to_string(i) + "]"));
    }
  }

  /// Only the dtypes that a profile knows are keys of `key`.
  template <class Each> void dtypes(const char *key, const Each &each) {
    const Json *value = find(key);
    if (!value) {
      return;
    }
    Fields inner(*value, join(key), error);
    for (const char *dtype : kDTypes) {
      if (const Json *item = inner.find(dtype, false)) {
        each(dtype, *item, inner);
      }
    }
    inner.finish();
  }

  void finish() {
    for (auto it = json.begin(); json.is_object() && it != json.end(); ++it) {
      if (!known.contains(it.key())) {
        wrong("has the unknown field '" + it.key() + "'");
      }
    }
  }

  std::string join(const std::string &key) const {
    return place.empty() ? key : place + "." + key;
  }

  void wrong(const std::string &what) {
    if (error.empty()) {
      error = (place.empty() ? "the profile" : "'" + place + "'") + " " + what;
    }
  }

private:
  const Json &json;
  std::string place;
  std::string &error;
  std::set<std::string> known;
};

void read(MemoryRates &out, const Json &json, const std::string &place,
          std::string &error) {
  Fields fields(json, place, error);
  fields.rate("read_bytes_per_second", out.read);
  fields.rate("write_bytes_per_second", out.write);
  fields.rate("copy_bytes_per_second", out.copy);
  fields.finish();
}

void read(HostHardware &out, const Json &json, std::string &error) {
  Fields fields(json, "host", error);
  fields.text("cpu", out.cpu);
  fields.text("isa", out.isa);
  fields.count("threads", out.threads);
  fields.count("memory_bytes", out.memoryBytes);
  if (const Json *memory = fields.find("memory")) {
    read(out.memory, *memory, "host.memory", error);
  }
  if (const Json *memory = fields.find("memory_one_thread", false)) {
    read(out.memoryOneThread.emplace(), *memory, "host.memory_one_thread",
         error);
  }
  fields.dtypes("compute", [&](const char *dtype, const Json &item, Fields &) {
    Fields rates(item, std::string("host.compute.") + dtype, error);
    ComputeRate &rate = out.compute[dtype];
    rates.rate("one_row_flops_per_second", rate.oneRow);
    rates.rate("many_rows_flops_per_second", rate.manyRows);
    rates.finish();
  });
  fields.finish();
}

void read(DiskHardware &out, const Json &json, std::string &error) {
  Fields fields(json, "disk", error);
  fields.text("path", out.path);
  fields.rate("bytes_per_second", out.bytesPerSecond);
  fields.rate("latency_seconds", out.latencySeconds);
  fields.index("numa_node", out.numaNode);
  fields.list("ways", [&](const Json &item, const std::string &place) {
    Fields way(item, place, error);
    DiskWay &to = out.ways.emplace_back();
    way.text("method", to.method);
    way.flag("huge_pages", to.hugePages);
    way.count("depth", to.depth);
    way.count("request_bytes", to.requestBytes);
    way.rate("bytes_per_second", to.bytesPerSecond);
    way.finish();
  });
  fields.finish();
}

void read(GpuHardware &out, const Json &json, const std::string &place,
          std::string &error) {
  Fields fields(json, place, error);
  fields.text("name", out.name);
  fields.countIfKnown("memory_bytes", out.memoryBytes);
  fields.rateIfKnown("memory_bytes_per_second", out.memoryBytesPerSecond);
  fields.countIfKnown("pcie_generation", out.pcieGeneration);
  fields.countIfKnown("pcie_lanes", out.pcieLanes);
  fields.rateIfKnown("link_bytes_per_second", out.linkBytesPerSecond);
  if (fields.find("flops_per_second", false)) {
    fields.dtypes("flops_per_second",
                  [&](const char *dtype, const Json &, Fields &inner) {
                    inner.rate(dtype, out.flops[dtype]);
                  });
  }
  fields.index("numa_node", out.numaNode);
  fields.finish();
}

} // namespace

Result<HardwareProfile> parseHardwareProfile(std::string_view text,
                                             const std::string &where) {
  const auto refuse = [&](const std::string &what) {
    return Error{ErrorCode::FileMalformed, where + ": " + what};
  };
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) {
    return refuse("not a hardware profile: it is not JSON");
  }
  if (!json.is_object() || !json.contains("llmc_hardware")) {
    return refuse("not a hardware profile: it has no 'llmc_hardware'");
  }
  const Json &version = json["llmc_hardware"];
  if (version != HardwareProfile::kVersion) {
    return refuse("hardware profile version " + version.dump() +
                  ", this program reads version " +
                  std::to_string(HardwareProfile::kVersion) +
                  "; run llmc probe again");
  }
  HardwareProfile profile;
  std::string error;
  Fields fields(json, "", error);
  fields.find("llmc_hardware");
  fields.text("name", profile.name);
  fields.text("source", profile.source);
  if (const Json *host = fields.find("host", false)) {
    read(profile.host.emplace(), *host, error);
  }
  if (const Json *disk = fields.find("disk", false)) {
    read(profile.disk.emplace(), *disk, error);
  }
  fields.list("numa", [&](const Json &item, const std::string &place) {
    Fields node(item, place, error);
    NumaNode &to = profile.numa.emplace_back();
    node.index("node", to.node);
    node.text("cpus", to.cpus);
    node.count("memory_bytes", to.memoryBytes);
    node.finish();
  });
  fields.list("gpus", [&](const Json &item, const std::string &place) {
    read(profile.gpus.emplace_back(), item, place, error);
  });
  fields.list("remarks", [&](const Json &item, const std::string &place) {
    if (item.is_string()) {
      profile.remarks.push_back(item.get<std::string>());
    } else {
      fields.wrong("'" + place + "' is not a string");
    }
  });
  fields.finish();
  if (!error.empty()) {
    return refuse(error);
  }
  if (profile.source != "probe" && profile.source != "data sheet") {
    return refuse("'source' is '" + profile.source +
                  "', expected 'probe' or 'data sheet'");
  }
  return profile;
}

Result<HardwareProfile> readHardwareProfile(const std::string &path) {
  Result<InputFile> file = InputFile::open(path);
  if (!file) {
    return file.error();
  }
  if (file->size() > kMaxFileBytes) {
    return Error{ErrorCode::FileMalformed,
                 path + ": not a hardware profile: it has " +
                     std::to_string(file->size()) + " bytes"};
  }
  std::string text(file->size(), '\0');
  if (Result<void> read = file->read(0, text.size(), text.data()); !read) {
    return read.error();
  }
  return parseHardwareProfile(text, path);
}

//===----------------------------------------------------------------------===//
// In words
//===----------------------------------------------------------------------===//

bool isStreamingWay(const DiskWay &way) {
  return way.method == "uring" && way.hugePages && way.depth == 16 &&
         way.requestBytes == uint64_t(2) << 20;
}

double streamingRate(const DiskHardware &disk) {
  for (const DiskWay &way : disk.ways) {
    if (isStreamingWay(way)) {
      return way.bytesPerSecond;
    }
  }
  return disk.bytesPerSecond;
}

static std::string gigabytes(double bytesPerSecond) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f GB/s", bytesPerSecond / 1e9);
  return text;
}

void HardwareProfile::remark() {
  remarks.clear();
  if (disk && disk->bytesPerSecond < kSlowDisk) {
    remarks.push_back(
        "the disk gives " + gigabytes(disk->bytesPerSecond) +
        " (under 7 GB/s): weights that stream from it bound the tokens per "
        "second to that rate divided by the bytes streamed per token");
  }
  if (host && host->memory.read < kSlowMemory) {
    remarks.push_back("memory gives " + gigabytes(host->memory.read) +
                      " (under 50 GB/s): decoding on the CPU reads every "
                      "resident weight at that rate");
  }
  for (const GpuHardware &gpu : gpus) {
    if (disk && disk->numaNode && gpu.numaNode &&
        *disk->numaNode != *gpu.numaNode) {
      remarks.push_back(gpu.name + " is on NUMA node " +
                        std::to_string(*gpu.numaNode) + ", the disk on node " +
                        std::to_string(*disk->numaNode) +
                        ": what streams crosses between the sockets");
    }
  }
}

} // namespace llmc::plan
