//===- PackFile.cpp - Packing problems as CSV files -----------------------===//

#include "tools/llmc/PackFile.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace llmc::tools {

namespace {

using solver::Buffer;
using solver::Step;

constexpr const char *kColumns[] = {"id",        "lower", "upper", "size",
                                    "alignment", "gaps",  "offset"};
enum Column { Id, Lower, Upper, Size, Alignment, Gaps, OffsetColumn, Count };
constexpr size_t kAbsent = SIZE_MAX;

/// A span of steps as written.
struct Span {
  int64_t start = 0;
  int64_t end = 0;
};

std::string_view trimmed(std::string_view text) {
  constexpr const char *blank = " \t\r";
  size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

std::vector<std::string_view> split(std::string_view line, char separator) {
  std::vector<std::string_view> cells;
  for (size_t begin = 0;;) {
    size_t end = line.find(separator, begin);
    cells.push_back(trimmed(line.substr(begin, end - begin)));
    if (end == std::string_view::npos) {
      return cells;
    }
    begin = end + 1;
  }
}

template <typename T> bool parseNumber(std::string_view text, T &value) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

class Parser {
public:
  Parser(std::string_view text, const std::string &path)
      : text(text), path(path) {}

  Result<PackFile> parse() {
    bool headed = false;
    for (size_t begin = 0; begin <= text.size();) {
      size_t end = std::min(text.find('\n', begin), text.size());
      std::string_view content = trimmed(text.substr(begin, end - begin));
      begin = end + 1;
      ++line;
      if (content.empty()) {
        continue;
      }
      Result<void> done = headed ? parseBuffer(content) : parseHeader(content);
      if (!done) {
        return done.error();
      }
      headed = true;
    }
    if (!headed) {
      return Error{ErrorCode::FileMalformed,
                   path + ": empty, expected a line of column names"};
    }
    if (Result<void> done = shiftTimes(); !done) {
      return done.error();
    }
    return std::move(file);
  }

private:
  Error malformed(const std::string &message) const {
    return {ErrorCode::FileMalformed,
            path + ":" + std::to_string(line) + ": " + message};
  }
  Error wrong(Column column, std::string_view found,
              const std::string &expected) const {
    return malformed(std::string(kColumns[column]) + " is '" +
                     std::string(found) + "', expected " + expected);
  }

  Result<void> parseHeader(std::string_view content) {
    std::fill(std::begin(position), std::end(position), kAbsent);
    std::vector<std::string_view> cells = split(content, ',');
    for (size_t i = 0; i < cells.size(); ++i) {
      auto known = std::find(std::begin(kColumns), std::end(kColumns),
                             std::string(cells[i]));
      if (known == std::end(kColumns)) {
        return malformed("unknown column '" + std::string(cells[i]) +
                         "', expected id, lower, upper, size, alignment, gaps "
                         "or offset");
      }
      size_t &where = position[known - std::begin(kColumns)];
      if (where != kAbsent) {
        return malformed("column '" + std::string(cells[i]) + "' twice");
      }
      where = i;
    }
    for (Column column : {Id, Lower, Upper, Size}) {
      if (position[column] == kAbsent) {
        return malformed(std::string("no column '") + kColumns[column] + "'");
      }
    }
    columns = cells.size();
    return {};
  }

  Result<void> parseBuffer(std::string_view content) {
    std::vector<std::string_view> cells = split(content, ',');
    if (cells.size() != columns) {
      return malformed(std::to_string(cells.size()) + " cells, expected " +
                       std::to_string(columns));
    }
    auto cell = [&](Column column) {
      return position[column] == kAbsent ? std::string_view()
                                         : cells[position[column]];
    };
    Buffer buffer;
    Span life;
    if (!parseNumber(cell(Lower), life.start)) {
      return wrong(Lower, cell(Lower), "a whole number");
    }
    if (!parseNumber(cell(Upper), life.end) || life.end < life.start) {
      return wrong(Upper, cell(Upper),
                   "a whole number not below lower (" +
                       std::to_string(life.start) + ")");
    }
    // 2^62 bytes: sums over a few buffers still fit 64 bits.
    constexpr uint64_t largest = uint64_t{1} << 62;
    if (!parseNumber(cell(Size), buffer.size) || buffer.size > largest) {
      return wrong(Size, cell(Size), "bytes from 0 to 2^62");
    }
    if (total += buffer.size; total > largest) {
      return malformed("all sizes together exceed 2^62 bytes");
    }
    if (std::string_view found = cell(Alignment); !found.empty()) {
      if (!parseNumber(found, buffer.alignment) || buffer.alignment == 0 ||
          buffer.alignment > (uint64_t{1} << 40)) {
        return wrong(Alignment, found, "bytes from 1 to 2^40");
      }
    }
    if (std::string_view found = cell(OffsetColumn); !found.empty()) {
      uint64_t offset = 0;
      if (!parseNumber(found, offset) || offset > largest) {
        return wrong(OffsetColumn, found, "bytes from 0 to 2^62");
      }
      if (offset % buffer.alignment != 0) {
        return wrong(OffsetColumn, found,
                     "a multiple of the alignment (" +
                         std::to_string(buffer.alignment) + ")");
      }
      buffer.fixed = offset;
    }
    std::vector<Span> ofBuffer;
    for (std::string_view gap : split(cell(Gaps), ' ')) {
      if (gap.empty()) {
        continue;
      }
      // A minus sign may come first.
      size_t dash = gap.find('-', 1);
      Span span;
      if (dash == std::string_view::npos ||
          !parseNumber(gap.substr(0, dash), span.start) ||
          !parseNumber(gap.substr(dash + 1), span.end) ||
          span.end <= span.start) {
        return wrong(Gaps, gap, "FIRST-END with FIRST < END");
      }
      ofBuffer.push_back(span);
    }
    file.names.push_back(std::string(cell(Id)));
    file.problem.buffers.push_back(buffer);
    lives.push_back(life);
    gaps.push_back(std::move(ofBuffer));
    return {};
  }

  Result<void> shiftTimes() {
    if (lives.empty()) {
      return {};
    }
    int64_t last = lives.front().end;
    file.firstTime = lives.front().start;
    for (const Span &life : lives) {
      file.firstTime = std::min(file.firstTime, life.start);
      last = std::max(last, life.end);
    }
    if (uint64_t(last) - uint64_t(file.firstTime) > UINT32_MAX) {
      return Error{ErrorCode::Unsupported,
                   path + ": lifetimes span more than 2^32 steps (" +
                       std::to_string(file.firstTime) + " to " +
                       std::to_string(last) + ")"};
    }
    // Gaps may reach beyond.
    auto step = [&](int64_t time) {
      return Step(std::clamp(time, file.firstTime, last) - file.firstTime);
    };
    for (size_t i = 0; i < lives.size(); ++i) {
      Buffer &buffer = file.problem.buffers[i];
      buffer.start = step(lives[i].start);
      buffer.end = step(lives[i].end);
      for (const Span &gap : gaps[i]) {
        buffer.gaps.push_back({step(gap.start), step(gap.end)});
      }
    }
    return {};
  }

  std::string_view text;
  const std::string &path;
  size_t line = 0;
  size_t columns = 0;
  size_t position[Count] = {};
  uint64_t total = 0;
  std::vector<Span> lives;
  std::vector<std::vector<Span>> gaps;
  PackFile file;
};

} // namespace

Result<PackFile> parsePackFile(std::string_view text, const std::string &path) {
  return Parser(text, path).parse();
}

Result<PackFile> readPackFile(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return Error{ErrorCode::FileNotFound, path + ": cannot be opened"};
  }
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) {
    return Error{ErrorCode::FileUnreadable, path + ": cannot be read"};
  }
  return parsePackFile(text.str(), path);
}

std::string packedCsv(const PackFile &file, const solver::Solution &solution) {
  std::string text = "id,lower,upper,size,offset\n";
  for (size_t i = 0; i < file.names.size(); ++i) {
    const Buffer &buffer = file.problem.buffers[i];
    text += file.names[i] + "," + std::to_string(file.time(buffer.start)) +
            "," + std::to_string(file.time(buffer.end)) + "," +
            std::to_string(buffer.size) + "," +
            std::to_string(solution.offsets[i]) + "\n";
  }
  return text;
}

} // namespace llmc::tools
