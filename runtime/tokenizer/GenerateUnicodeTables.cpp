//===- GenerateUnicodeTables.cpp - Tables for normal forms, at build time -===//
//
// Part of llmc, under the Apache License v2.0. See LICENSE for details.
// SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// Runs on the building machine only. Reads UnicodeData.txt and
// CompositionExclusions.txt (Debian's unicode-data) and writes the C++ tables
// that Unicode.cpp includes:
//
//   generate-unicode-tables UnicodeData.txt CompositionExclusions.txt OUT.inc
//
//===----------------------------------------------------------------------===//

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using Sequence = std::vector<uint32_t>;

struct Tables {
  std::map<uint32_t, Sequence> canonical; // one step, as in the file
  std::map<uint32_t, Sequence> any;       // canonical or compatibility
  std::map<uint32_t, unsigned> combiningClass;
  std::map<uint32_t, uint32_t> lower;
  std::set<uint32_t> excluded;
};

uint32_t hex(const std::string &text) {
  return static_cast<uint32_t>(std::stoul(text, nullptr, 16));
}

std::vector<std::string> fields(const std::string &line) {
  std::vector<std::string> out;
  std::stringstream stream(line);
  for (std::string field; std::getline(stream, field, ';');) {
    out.push_back(field);
  }
  return out;
}

bool readUnicodeData(const char *path, Tables &tables) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> field = fields(line);
    if (field.size() < 14) {
      continue;
    }
    uint32_t code = hex(field[0]);
    if (unsigned ccc = std::stoul(field[3])) {
      tables.combiningClass[code] = ccc;
    }
    if (!field[13].empty()) {
      tables.lower[code] = hex(field[13]);
    }
    if (field[5].empty()) {
      continue;
    }
    bool compatibility = field[5][0] == '<';
    std::string mapping = field[5];
    if (compatibility) {
      mapping = mapping.substr(mapping.find('>') + 1);
    }
    std::stringstream stream(mapping);
    Sequence sequence;
    for (std::string item; stream >> item;) {
      sequence.push_back(hex(item));
    }
    tables.any[code] = sequence;
    if (!compatibility) {
      tables.canonical[code] = sequence;
    }
  }
  return !tables.canonical.empty();
}

bool readExclusions(const char *path, Tables &tables) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    line = line.substr(0, line.find('#'));
    std::stringstream stream(line);
    std::string item;
    if (stream >> item) {
      tables.excluded.insert(hex(item));
    }
  }
  return !tables.excluded.empty();
}

void expand(const std::map<uint32_t, Sequence> &step, uint32_t code,
            Sequence &out) {
  auto it = step.find(code);
  if (it == step.end()) {
    out.push_back(code);
    return;
  }
  for (uint32_t part : it->second) {
    expand(step, part, out);
  }
}

void writeDecompositions(std::ostream &out, const char *name,
                         const std::map<uint32_t, Sequence> &step) {
  Sequence pool;
  out << "static const Decomposition k" << name << "[] = {\n";
  for (const auto &[code, ignored] : step) {
    Sequence full;
    expand(step, code, full);
    out << "{" << code << "," << pool.size() << "," << full.size() << "},\n";
    pool.insert(pool.end(), full.begin(), full.end());
  }
  out << "};\nstatic const uint32_t k" << name << "Pool[] = {\n";
  for (size_t i = 0; i < pool.size(); ++i) {
    out << pool[i] << (i % 16 == 15 ? ",\n" : ",");
  }
  out << "};\n";
}

void writeClasses(std::ostream &out, const Tables &tables) {
  out << "static const ClassRange kCombiningClasses[] = {\n";
  auto it = tables.combiningClass.begin();
  while (it != tables.combiningClass.end()) {
    uint32_t first = it->first, last = it->first;
    unsigned value = it->second;
    for (++it; it != tables.combiningClass.end() && it->first == last + 1 &&
               it->second == value;
         ++it) {
      last = it->first;
    }
    out << "{" << first << "," << last << "," << value << "},\n";
  }
  out << "};\n";
}

void writeCompositions(std::ostream &out, const Tables &tables) {
  auto isStarter = [&](uint32_t code) {
    return !tables.combiningClass.count(code);
  };
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> pairs;
  for (const auto &[code, parts] : tables.canonical) {
    // Full composition exclusions: the listed ones, singletons, and
    // decompositions that begin with or stand for a non-starter.
    if (parts.size() == 2 && !tables.excluded.count(code) && isStarter(code) &&
        isStarter(parts[0])) {
      pairs[{parts[0], parts[1]}] = code;
    }
  }
  out << "static const Composition kCompositions[] = {\n";
  for (const auto &[parts, code] : pairs) {
    out << "{" << parts.first << "," << parts.second << "," << code << "},\n";
  }
  out << "};\n";
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 4) {
    std::cerr << "usage: generate-unicode-tables UnicodeData.txt "
                 "CompositionExclusions.txt OUT.inc\n";
    return 2;
  }
  Tables tables;
  if (!readUnicodeData(argv[1], tables) || !readExclusions(argv[2], tables)) {
    std::cerr << "cannot read " << argv[1] << " and " << argv[2] << "\n";
    return 1;
  }
  std::ofstream out(argv[3]);
  out << "// Made by generate-unicode-tables; not for editing.\n";
  writeDecompositions(out, "Canonical", tables.canonical);
  writeDecompositions(out, "Compatibility", tables.any);
  writeClasses(out, tables);
  writeCompositions(out, tables);
  out << "static const CaseMapping kLowercase[] = {\n";
  for (const auto &[code, lower] : tables.lower) {
    out << "{" << code << "," << lower << "},\n";
  }
  out << "};\n";
  return out.flush() ? 0 : 1;
}
