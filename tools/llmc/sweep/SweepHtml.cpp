//===- SweepHtml.cpp - A sweep as one page --------------------------------===//
//
// The curves are SVG made here, so that the page shows without scripts; the
// script only adds a cursor over all of them. Each curve has a panel of its
// own, since their units differ; all share the axis of budgets.
//
//===----------------------------------------------------------------------===//

#include "runtime/support/Size.h"
#include "tools/llmc/sweep/SweepFiles.h"
#include "tools/llmc/sweep/SweepReport.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

namespace llmc::tools {

using compiler::SweepReport;

namespace {

std::string format(const char *pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), pattern, value);
  return text;
}

/// 1234567.8 as "1,234,568", small numbers with three digits.
std::string count(double value) {
  if (value < 1000) {
    bool whole = value == std::floor(value);
    return format(whole || value >= 100 ? "%.0f"
                  : value < 10          ? "%.2f"
                                        : "%.1f",
                  value);
  }
  std::string digits = format("%.0f", value);
  for (int i = int(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(size_t(i), ",");
  }
  return digits;
}

std::string size(double bytes) { return formatSize(uint64_t(bytes)); }

// Of a panel, in the units of its viewBox.
constexpr double kWidth = 760, kHeight = 210;
constexpr double kLeft = 78, kRight = 14, kTop = 12, kBottom = 30;

/// Budgets from left to right, as they are spaced.
class Axis {
public:
  explicit Axis(const SweepReport &report) : geometric(report.geometric) {
    low = double(report.rows.front().budgetBytes);
    high = double(report.rows.back().budgetBytes);
  }
  double operator()(double bytes) const {
    double part = high <= low ? 0.5
                  : geometric ? std::log(bytes / low) / std::log(high / low)
                              : (bytes - low) / (high - low);
    return kLeft + part * (kWidth - kLeft - kRight);
  }
  /// Round sizes, not closer than their labels are wide.
  std::vector<double> ticks() const {
    std::vector<double> out;
    double unit = std::exp2(std::floor(std::log2(std::max(low, 1.0))));
    if (geometric) {
      for (double at = unit; at <= high; at *= 2) {
        for (double bytes : {at, at * 1.5}) {
          if (bytes >= low && bytes <= high) {
            out.push_back(bytes);
          }
        }
      }
    } else {
      double step =
          std::exp2(std::ceil(std::log2(std::max(high - low, 1.0) / 6)));
      for (double at = std::ceil(low / step) * step; at <= high; at += step) {
        out.push_back(at);
      }
    }
    std::vector<double> apart;
    for (double bytes : out) {
      if (apart.empty() || (*this)(bytes) - (*this)(apart.back()) >= 70) {
        apart.push_back(bytes);
      }
    }
    return apart;
  }

private:
  bool geometric;
  double low = 0, high = 0;
};

/// The smallest of 1, 2, 5 times a power of `base` that is not below.
double roundUp(double value, double base) {
  if (value <= 0) {
    return 1;
  }
  double unit = std::pow(base, std::floor(std::log(value) / std::log(base)));
  for (double factor : base == 10 ? std::vector<double>{1, 2, 5, 10}
                                  : std::vector<double>{1, 1.5, 2}) {
    if (unit * factor >= value * (1 - 1e-9)) {
      return unit * factor;
    }
  }
  return unit * base;
}

struct Curve {
  std::string name;  // of the legend, if there are several
  std::string style; // class
  std::function<std::optional<double>(const SweepReport::Row &)> value;
};

struct Panel {
  std::string id;
  std::string title;
  std::string (*word)(double) = count; // a value with its unit
  double base = 10;                    // of round numbers
  std::vector<Curve> curves;
};

std::vector<Panel> panelsOf(const SweepReport &report) {
  std::vector<Panel> out;
  const SweepReport::Row *fitting = nullptr;
  for (const SweepReport::Row &row : report.rows) {
    fitting = row.fits ? &row : fitting;
  }
  size_t entries = fitting ? fitting->entries.size() : 0;
  for (size_t i = 0; i < entries; ++i) {
    const SweepReport::Entry &entry = fitting->entries[i];
    bool tokens = entry.tokens > 0;
    out.push_back(
        {"speed-" + entry.name,
         entry.name + (tokens ? ", tokens per second" : ", runs per second"),
         count,
         10,
         {{"", "speed",
           [i](const SweepReport::Row &row) -> std::optional<double> {
             if (!row.fits) {
               return std::nullopt;
             }
             const SweepReport::Entry &entry = row.entries[i];
             return entry.tokens > 0 ? entry.tokensPerSecond()
                                     : 1 / entry.seconds;
           }}}});
  }
  if (entries > 0) {
    // One token at a time streams most per token: the last entry is decode.
    const SweepReport::Entry &entry = fitting->entries.back();
    size_t i = entries - 1;
    out.push_back({"streamed",
                   entry.name + (entry.tokens > 0 ? ", streamed bytes per token"
                                                  : ", streamed bytes per run"),
                   size,
                   2,
                   {{"", "streamed",
                     [i](const SweepReport::Row &row) -> std::optional<double> {
                       if (!row.fits) {
                         return std::nullopt;
                       }
                       const SweepReport::Entry &entry = row.entries[i];
                       return entry.tokens > 0 ? entry.streamedBytesPerToken()
                                               : double(entry.streamedBytes);
                     }}}});
  }
  if (report.contextLimit > 0) {
    auto tokens = [](int64_t value) -> std::optional<double> {
      return value > 0 ? std::optional(double(value)) : std::nullopt;
    };
    out.push_back({"context",
                   "largest context, tokens",
                   count,
                   2,
                   {{"fits", "context",
                     [tokens](const SweepReport::Row &row) {
                       return tokens(row.largestContext);
                     }},
                    {"nothing streams", "resident",
                     [tokens](const SweepReport::Row &row) {
                       return tokens(row.largestResidentContext);
                     }}}});
  }
  return out;
}

std::string tag(double x1, double y1, double x2, double y2, const char *style) {
  char text[160];
  std::snprintf(text, sizeof(text),
                "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                "y2=\"%.1f\"/>",
                style, x1, y1, x2, y2);
  return text;
}

std::string words(double x, double y, const char *style,
                  const std::string &text) {
  char head[120];
  std::snprintf(head, sizeof(head), "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">",
                style, x, y);
  return head + escapeHtml(text) + "</text>";
}

std::string drawPanel(const SweepReport &report, const Panel &panel) {
  Axis axis(report);
  double most = 0;
  std::string summary;
  for (const Curve &curve : panel.curves) {
    std::optional<double> first, last;
    for (const SweepReport::Row &row : report.rows) {
      if (std::optional<double> value = curve.value(row)) {
        most = std::max(most, *value);
        first = first ? first : value;
        last = value;
      }
    }
    if (first) {
      summary += (summary.empty() ? "" : "; ") +
                 (curve.name.empty() ? "" : curve.name + ": ") + "from " +
                 panel.word(*first) + " to " + panel.word(*last);
    }
  }
  double top = roundUp(most, panel.base);
  double floor = kHeight - kBottom;
  auto y = [&](double value) { return floor - value / top * (floor - kTop); };
  std::string out = "<section class=\"panel\" id=\"panel-" +
                    escapeHtml(panel.id) + "\"><h2>" + escapeHtml(panel.title) +
                    "</h2>";
  if (panel.curves.size() > 1) {
    out += "<ul class=\"legend\">";
    for (const Curve &curve : panel.curves) {
      out += "<li><span class=\"swatch " + curve.style + "\"></span>" +
             escapeHtml(curve.name) + "</li>";
    }
    out += "</ul>";
  }
  out += format("<svg viewBox=\"0 0 %.0f ", kWidth) +
         format("%.0f\" role=\"img\" aria-label=\"", kHeight) +
         escapeHtml(panel.title + " over the budget: " +
                    (summary.empty() ? "nothing fits" : summary)) +
         "\" data-top=\"" + format("%.17g", top) + "\">";
  // What is too small for the model.
  double fits =
      std::clamp(axis(double(report.minimumBytes)), kLeft, kWidth - kRight);
  if (report.rows.front().budgetBytes < report.minimumBytes) {
    out += "<rect class=\"small\" x=\"" + format("%.1f", kLeft) + "\" y=\"" +
           format("%.1f", kTop) + "\" width=\"" + format("%.1f", fits - kLeft) +
           "\" height=\"" + format("%.1f", floor - kTop) + "\"/>";
  }
  for (int i = 0; i <= 4; ++i) {
    double value = top * i / 4;
    out += tag(kLeft, y(value), kWidth - kRight, y(value), "grid");
    out += words(kLeft - 8, y(value) + 4, "y", panel.word(value));
  }
  for (double bytes : axis.ticks()) {
    out += tag(axis(bytes), floor, axis(bytes), floor + 5, "tick");
    out += words(axis(bytes), floor + 19, "x", size(bytes));
  }
  struct Mark {
    uint64_t bytes;
    const char *name;
  };
  for (Mark mark : {Mark{report.minimumBytes, "smallest"},
                    Mark{report.residentBytes, "nothing streams"}}) {
    if (report.rows.front().budgetBytes <= mark.bytes &&
        mark.bytes <= report.rows.back().budgetBytes) {
      double x = axis(double(mark.bytes));
      bool left = x > kWidth - kRight - 110;
      out += tag(x, kTop, x, floor, "mark");
      out += words(x + (left ? -4 : 4), kTop + 10, left ? "mark left" : "mark",
                   mark.name);
    }
  }
  for (const Curve &curve : panel.curves) {
    std::string path, points;
    for (size_t i = 0; i < report.rows.size(); ++i) {
      std::optional<double> value = curve.value(report.rows[i]);
      if (!value) {
        continue;
      }
      double x = axis(double(report.rows[i].budgetBytes));
      char text[256];
      std::snprintf(text, sizeof(text), "%s%.2f,%.2f", path.empty() ? "" : " ",
                    x, y(*value));
      path += text;
      std::snprintf(text, sizeof(text),
                    "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"3\" "
                    "data-row=\"%zu\" data-value=\"%.17g\"><title>",
                    curve.style.c_str(), x, y(*value), i, *value);
      points += text +
                escapeHtml(size(double(report.rows[i].budgetBytes)) + ": " +
                           panel.word(*value)) +
                "</title></circle>";
    }
    out += "<polyline class=\"" + curve.style + "\" points=\"" + path + "\"/>" +
           points;
  }
  return out + "<line class=\"cursor\" y1=\"" + format("%.1f", kTop) +
         "\" y2=\"" + format("%.1f", floor) +
         "\" x1=\"0\" x2=\"0\" hidden/></svg></section>\n";
}

std::string drawTable(const SweepReport &report) {
  const SweepReport::Row *fitting = nullptr;
  for (const SweepReport::Row &row : report.rows) {
    fitting = row.fits ? &row : fitting;
  }
  size_t entries = fitting ? fitting->entries.size() : 0;
  std::string out = "<table id=\"points\"><caption>All points; the bytes are "
                    "those of one token or run</caption><thead><tr>"
                    "<th scope=\"col\">budget</th>";
  auto head = [&](const std::string &text) {
    out += "<th scope=\"col\">" + escapeHtml(text) + "</th>";
  };
  for (size_t i = 0; i < entries; ++i) {
    const SweepReport::Entry &entry = fitting->entries[i];
    head(entry.name + (entry.tokens > 0 ? " tokens/s" : " runs/s"));
    head(entry.name + " bound by");
    head(entry.name + " streamed");
  }
  if (report.contextLimit > 0) {
    head("largest context");
    head("nothing streams to");
  }
  out += "</tr></thead><tbody>\n";
  for (size_t i = 0; i < report.rows.size(); ++i) {
    const SweepReport::Row &row = report.rows[i];
    auto cell = [&](const std::string &text) {
      out += "<td>" + escapeHtml(text) + "</td>";
    };
    out += "<tr tabindex=\"0\" data-row=\"" + std::to_string(i) +
           (row.fits ? "\">" : "\" class=\"small\">") + "<th scope=\"row\">" +
           escapeHtml(size(double(row.budgetBytes))) +
           (row.mark == "minimum"    ? " <em>smallest</em>"
            : row.mark == "resident" ? " <em>nothing streams</em>"
            : !row.fits              ? " <em>too small</em>"
                                     : "") +
           "</th>";
    for (size_t e = 0; e < entries; ++e) {
      if (!row.fits) {
        for (int blank = 0; blank < 3; ++blank) {
          cell("–");
        }
        continue;
      }
      const SweepReport::Entry &entry = row.entries[e];
      cell(count(entry.tokens > 0 ? entry.tokensPerSecond()
                                  : 1 / entry.seconds));
      cell(entry.boundBy);
      cell(size(entry.tokens > 0 ? entry.streamedBytesPerToken()
                                 : double(entry.streamedBytes)));
    }
    if (report.contextLimit > 0) {
      for (int64_t tokens : {row.largestContext, row.largestResidentContext}) {
        cell(tokens > 0 ? count(double(tokens)) : "–");
      }
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table>";
}

std::string about(const SweepReport &report) {
  std::string out = "weights " + formatSize(report.weightsBytes) +
                    " · smallest budget " + formatSize(report.minimumBytes) +
                    " · nothing streams from " +
                    formatSize(report.residentBytes);
  if (report.context > 0) {
    out += " · context " + count(double(report.context));
  }
  if (report.batch > 1) {
    out += " · batch " + std::to_string(report.batch);
  }
  return out + " · predicted for " +
         (report.hardware.empty() ? "the reference CPU" : report.hardware) +
         ", nothing was run";
}

} // namespace

std::string sweepHtml(const SweepReport &report) {
  std::string panels;
  for (const Panel &panel : panelsOf(report)) {
    panels += drawPanel(report, panel);
  }
  std::string_view name = report.model;
  name = name.substr(name.rfind('/') + 1);
  return fillPage(kSweepFiles, {{"title", escapeHtml(name)},
                                {"about", escapeHtml(about(report))},
                                {"panels", std::move(panels)},
                                {"table", drawTable(report)}});
}

} // namespace llmc::tools
