//===- NodeContext.cpp - One ONNX node as its handler sees it -------------===//

#include "compiler/import/NodeContext.h"

#include "compiler/import/EntryImporter.h"

#include <algorithm>
#include <unordered_map>

namespace llmc::import {

bool NodeContext::out(size_t i, Val v) {
  if (!v) {
    return false;
  }
  if (i < outputs.size()) {
    outputs[i] = std::move(v);
  }
  return true;
}

bool NodeContext::hasRank(size_t i, std::initializer_list<int64_t> ranks) {
  if (!has(i) ||
      std::find(ranks.begin(), ranks.end(), in(i)->rank()) != ranks.end()) {
    return true;
  }
  return fail("input " + std::to_string(i) + " is " + toString(in(i)->dims) +
              ", a rank it cannot have");
}

const onnx::AttributeProto *
NodeContext::attribute(const std::string &name) const {
  for (const onnx::AttributeProto &a : node.attribute()) {
    if (a.name() == name) {
      return a.ref_attr_name().empty()
                 ? &a
                 : importer.functionAttribute(a.ref_attr_name());
    }
  }
  return nullptr;
}

int64_t NodeContext::integer(const std::string &name, int64_t otherwise) const {
  const onnx::AttributeProto *a = attribute(name);
  return a ? a->i() : otherwise;
}

double NodeContext::number(const std::string &name, double otherwise) const {
  const onnx::AttributeProto *a = attribute(name);
  return a ? static_cast<double>(a->f()) : otherwise;
}

std::string NodeContext::text(const std::string &name,
                              std::string otherwise) const {
  const onnx::AttributeProto *a = attribute(name);
  return a ? a->s() : otherwise;
}

std::optional<std::vector<int64_t>>
NodeContext::integers(const std::string &name) const {
  const onnx::AttributeProto *a = attribute(name);
  if (!a) {
    return std::nullopt;
  }
  return std::vector<int64_t>(a->ints().begin(), a->ints().end());
}

int64_t NodeContext::axis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    fail("axis " + std::to_string(axis) + " of a tensor of rank " +
         std::to_string(rank));
    return -1;
  }
  return axis < 0 ? axis + rank : axis;
}

std::optional<std::vector<int64_t>>
NodeContext::axes(const std::string &name, size_t input, int64_t rank) {
  std::optional<std::vector<int64_t>> list = integers(name);
  if (!list && has(input)) {
    list = constantInts(input, "axes");
  }
  if (list) {
    for (int64_t &a : *list) {
      a = axis(a, rank);
      if (a < 0) {
        return std::nullopt;
      }
    }
  }
  return list;
}

std::optional<std::vector<int64_t>>
NodeContext::constantInts(size_t input, const char *what) {
  std::optional<std::vector<int64_t>> list = emit.intsOf(in(input));
  if (!list) {
    fail(std::string(what) + " is not known at compile time");
  }
  return list;
}

const Handler *findHandler(const std::string &domain, const std::string &op,
                           int64_t version) {
  using Table = std::unordered_map<std::string, std::vector<const Handler *>>;
  static const Table table = [] {
    Table made;
    for (std::span<const Handler> family :
         {elementwiseHandlers(), shapeHandlers(), layoutHandlers(),
          indexHandlers(), reduceHandlers(), normHandlers(), matmulHandlers(),
          windowHandlers(), attentionHandlers(), quantizedHandlers(),
          contribHandlers(), contribAttentionHandlers(), controlHandlers()}) {
      for (const Handler &handler : family) {
        made[std::string(handler.domain) + ":" + handler.op].push_back(
            &handler);
      }
    }
    return made;
  }();
  auto it = table.find((domain == "ai.onnx" ? "" : domain) + ":" + op);
  const Handler *best = nullptr;
  if (it != table.end()) {
    for (const Handler *handler : it->second) {
      if (handler->since <= version &&
          (!best || handler->since > best->since)) {
        best = handler;
      }
    }
  }
  return best;
}

} // namespace llmc::import
