//===- RecoverState.cpp - past/present pairs updated in place --*- C++ -*-===//
//
// A pair is recovered in all entries or in none: they share the state.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/CacheSlices.h"
#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"

#include <map>

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_RECOVERSTATEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// One past/present pair of one entry.
struct Pair {
  func::FuncOp entry;
  unsigned argument = 0, result = 0;
  Port past, present;
  int64_t axis = 0;
  Dims pastDims, presentDims;
  /// concat(past, new) in place of which the state is read. One, or for a
  /// combined [2, ..] state one for the keys and one for the values.
  SmallVector<ConcatOp> grown;
  bool combined = false;
};

bool startsAt(SliceOp slice, int64_t index) {
  for (auto [dim, start] : llvm::enumerate(slice.getStarts())) {
    DimExpr wanted = dim == 0 ? DimExpr(index) : DimExpr(0);
    if (exprAttr(cast<StringAttr>(start)) != wanted ||
        slice.getSteps()[dim] != 1) {
      return false;
    }
  }
  Dims from = getDims(slice.getX()), to = getDims(slice.getResult());
  from[0] = 1;
  return from == to;
}

/// present is concat(past, new), and nothing else reads past.
bool matchPlain(Pair &pair, Value past, Value present) {
  auto concat = present.getDefiningOp<ConcatOp>();
  if (!concat || concat.getInputs().size() != 2 ||
      concat.getInputs()[0] != past || !past.hasOneUse()) {
    return false;
  }
  pair.axis = concat.getAxis();
  pair.grown = {concat};
  return true;
}

/// present is stack(concat(past[0], k), concat(past[1], v)).
bool matchCombined(Pair &pair, Value past, Value present) {
  auto stack = present.getDefiningOp<ConcatOp>();
  if (!stack || stack.getAxis() != 0 || stack.getInputs().size() != 2 ||
      getDim(past, 0) != DimExpr(2)) {
    return false;
  }
  for (auto [index, part] : llvm::enumerate(stack.getInputs())) {
    auto unsqueeze = part.getDefiningOp<ReshapeOp>();
    auto concat =
        unsqueeze ? unsqueeze.getX().getDefiningOp<ConcatOp>() : ConcatOp();
    if (!concat || concat.getInputs().size() != 2) {
      return false;
    }
    auto squeeze = concat.getInputs()[0].getDefiningOp<ReshapeOp>();
    auto slice = squeeze ? squeeze.getX().getDefiningOp<SliceOp>() : SliceOp();
    Dims inner = getDims(past);
    inner.erase(inner.begin());
    if (!slice || slice.getX() != past || !startsAt(slice, index) ||
        getDims(squeeze.getResult()) != inner || !squeeze->hasOneUse() ||
        !slice->hasOneUse() ||
        (index == 1 && concat.getAxis() != pair.grown[0].getAxis())) {
      return false;
    }
    pair.grown.push_back(concat);
  }
  if (std::distance(past.use_begin(), past.use_end()) != 2) {
    return false;
  }
  pair.axis = pair.grown[0].getAxis() + 1;
  pair.combined = true;
  return true;
}

/// A cache, and which of its `slices` (0: it has none) if it holds keys and
/// values together.
struct Cache {
  Value value;
  int64_t slice = 0;
  int64_t slices = 0;
};
/// By concat(past, new).
using Caches = DenseMap<Value, Cache>;

/// The cache that holds [B, H, tokens, D], nothing if there is none: the result
/// of a concat, or one slice of a concat of [n, B, H, tokens, D].
Cache cacheBehind(Value dense, const Caches &caches) {
  if (auto concat = dense.getDefiningOp<ConcatOp>()) {
    return concat.getAxis() == 2 ? caches.lookup(dense) : Cache();
  }
  auto squeeze = dense.getDefiningOp<ReshapeOp>();
  auto slice = squeeze ? squeeze.getX().getDefiningOp<SliceOp>() : SliceOp();
  auto concat = slice ? slice.getX().getDefiningOp<ConcatOp>() : ConcatOp();
  if (!concat || concat.getAxis() != 3 || rankOf(concat.getResult()) != 5) {
    return {};
  }
  auto start = cast<StringAttr>(slice.getStarts()[0]);
  std::optional<int64_t> index = exprAttr(start).asConstant();
  Dims inner = getDims(concat.getResult());
  inner.erase(inner.begin());
  if (!index || !startsAt(slice, *index) || getDims(dense) != inner) {
    return {};
  }
  Cache cache = caches.lookup(concat.getResult());
  cache.slice = *index;
  cache.slices = getDim(concat.getResult(), 0).asConstant().value_or(0);
  return cache.slices > 0 ? cache : Cache();
}

struct RecoverState : llmc::impl::RecoverStatePassBase<RecoverState> {
  using RecoverStatePassBase::RecoverStatePassBase;

  void runOnOperation() override;

private:
  std::optional<Pair> matchPair(func::FuncOp entry, unsigned argument,
                                const Port &past);
  StateOp makeState(MutableArrayRef<Pair> pairs);
  void rewriteEntry(func::FuncOp entry,
                    MutableArrayRef<std::pair<Pair, StateOp>> pairs);
};

std::optional<Pair> RecoverState::matchPair(func::FuncOp entry,
                                            unsigned argument,
                                            const Port &past) {
  auto warn = [&](Operation *at, const Twine &why) {
    entry.emitWarning() << "state '" << past.name << "' of entry '"
                        << entry.getSymName()
                        << "' stays a dense input and output: " << why
                        << (at ? " (node '" + nodeName(at) + "')" : "");
    return std::nullopt;
  };
  Pair pair;
  pair.entry = entry;
  pair.argument = argument;
  pair.past = past;
  std::optional<unsigned> result;
  for (unsigned i = 0; i < entry.getNumResults(); ++i) {
    std::optional<Port> port = getResultPort(entry, i);
    if (port && port->role == "present" && port->state == past.state) {
      result = i;
      pair.present = *port;
    }
  }
  if (!result) {
    return warn(nullptr, "no result is its present");
  }
  pair.result = *result;
  auto exit = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  Value in = entry.getArgument(argument), out = exit.getOperand(*result);
  if (!matchPlain(pair, in, out)) {
    pair.grown.clear();
    if (!matchCombined(pair, in, out)) {
      return warn(out.getDefiningOp(),
                  "its present is not the past with the new tokens behind it, "
                  "or something else reads the past");
    }
  }
  pair.pastDims = getDims(in);
  pair.presentDims = getDims(out);
  for (size_t i = 0; i < pair.pastDims.size(); ++i) {
    bool grows = static_cast<int64_t>(i) == pair.axis;
    if (!grows && (!pair.pastDims[i].isConstant() ||
                   pair.pastDims[i] != pair.presentDims[i])) {
      return warn(out.getDefiningOp(),
                  "dimension " + Twine(i) +
                      " is not a constant: " + pair.pastDims[i].str());
    }
  }
  return pair;
}

StateOp RecoverState::makeState(MutableArrayRef<Pair> pairs) {
  ModuleOp module = getOperation();
  Pair &first = pairs.front();
  int64_t tokens = context;
  if (auto attr = module->getAttrOfType<IntegerAttr>(kContextAttr);
      tokens <= 0 && attr) {
    tokens = attr.getInt();
  }
  if (tokens <= 0) { // the most that any entry can leave behind
    for (Pair &pair : pairs) {
      Interval interval =
          pair.presentDims[pair.axis].bounds(symbolBounds(pair.entry));
      if (!interval.hasUpper()) {
        pair.entry.emitWarning()
            << "state '" << pair.past.name << "' of entry '"
            << pair.entry.getSymName() << "' stays a dense input and output: "
            << "its length has no bound: " << pair.presentDims[pair.axis].str();
        return {};
      }
      tokens = std::max(tokens, interval.upper);
    }
  }
  int64_t block = std::max<int64_t>(1, std::min<int64_t>(blockTokens, tokens));
  SmallVector<int64_t> shape;
  for (DimExpr dim : first.pastDims) {
    shape.push_back(dim.asConstant().value_or(0));
  }
  shape[first.axis] = (tokens + block - 1) / block * block;
  Type element =
      elementOf(first.entry.getBody().front().getArgument(first.argument));
  OpBuilder builder(module.getBodyRegion());
  // Whoever reads or writes the state converts.
  if (isa<FloatType>(element) && type != "auto") {
    element = type == "f16"    ? Type(builder.getF16Type())
              : type == "bf16" ? Type(builder.getBF16Type())
                               : Type(builder.getF32Type());
  }
  for (auto func : module.getOps<func::FuncOp>()) {
    builder.setInsertionPoint(func);
    break;
  }
  // Weights and states share one table of names.
  std::string name = first.past.name;
  while (SymbolTable::lookupSymbolIn(module, name)) {
    name += ".state";
  }
  auto state = StateOp::create(
      builder, first.entry.getLoc(), builder.getStringAttr(name),
      TypeAttr::get(RankedTensorType::get(shape, element)),
      builder.getI64IntegerAttr(first.axis), builder.getI64IntegerAttr(block),
      builder.getStringAttr(first.past.name),
      builder.getStringAttr(first.present.name));
  return state;
}

void RecoverState::rewriteEntry(
    func::FuncOp entry, MutableArrayRef<std::pair<Pair, StateOp>> pairs) {
  IRRewriter rewriter(entry.getContext());
  Caches caches;
  llvm::BitVector arguments(entry.getNumArguments());
  llvm::BitVector results(entry.getNumResults());
  for (auto &[pair, state] : pairs) {
    arguments.set(pair.argument);
    results.set(pair.result);
  }
  // The presents leave the function first: what remains are real readers.
  entry.walk([&](func::ReturnOp op) { op->eraseOperands(results); });

  for (auto &[pair, state] : pairs) {
    auto symbol = FlatSymbolRefAttr::get(state.getSymNameAttr());
    auto position = exprToAttr(entry.getContext(), pair.pastDims[pair.axis]);
    Value added;
    Operation *last = pair.grown[0];
    for (ConcatOp concat : pair.grown) {
      last = last->isBeforeInBlock(concat) ? concat.getOperation() : last;
    }
    if (!pair.combined) {
      rewriter.setInsertionPoint(last);
      added = pair.grown[0].getInputs()[1];
    } else {
      // Both halves must be there first.
      rewriter.setInsertionPoint(last);
      SmallVector<Value> parts;
      Dims dims = pair.pastDims;
      for (ConcatOp concat : pair.grown) {
        Value part = concat.getInputs()[1];
        dims = getDims(part);
        dims.insert(dims.begin(), DimExpr(1));
        parts.push_back(reshapeTo(rewriter, concat.getLoc(), part, dims));
      }
      dims[0] = 2;
      added = createOp<ConcatOp>(rewriter, last->getLoc(), dims,
                                 elementOf(parts[0]),
                                 rewriter.getI64IntegerAttr(0), parts);
    }
    auto append = KvAppendOp::create(rewriter, last->getLoc(),
                                     CacheType::get(entry.getContext()), symbol,
                                     added, position);
    keepName(last, append);
    for (auto [index, concat] : llvm::enumerate(pair.grown)) {
      Cache &cache = caches[concat.getResult()];
      cache.value = append.getResult();
      if (pair.combined) {
        cache.slice = static_cast<int64_t>(index);
        cache.slices = 2;
      }
    }
  }

  // Attention reads caches where both its keys and values are.
  entry.walk([&](AttentionOp op) {
    Cache k = cacheBehind(op.getK(), caches);
    Cache v = cacheBehind(op.getV(), caches);
    if (k.value && v.value && k.slices == v.slices) {
      op.getKMutable().assign(k.value);
      op.getVMutable().assign(v.value);
      if (k.slices > 0) {
        setCacheSlices(op, {k.slice, v.slice});
      }
    }
  });
  // Whoever else reads tokens gets them dense.
  for (auto &[pair, state] : pairs) {
    Value cache = caches[pair.grown[0].getResult()].value;
    Type element = elementOf(pair.grown[0].getResult());
    auto total = exprToAttr(entry.getContext(), pair.presentDims[pair.axis]);
    rewriter.setInsertionPointAfterValue(cache);
    Value read = createOp<KvReadOp>(rewriter, pair.grown[0].getLoc(),
                                    pair.presentDims, element, cache, total);
    if (!pair.combined) {
      pair.grown[0].getResult().replaceAllUsesWith(read);
      continue;
    }
    for (auto [index, concat] : llvm::enumerate(pair.grown)) {
      Dims dims = pair.presentDims;
      dims[0] = 1;
      SmallVector<Attribute> starts(dims.size(), rewriter.getStringAttr("0"));
      starts[0] = rewriter.getStringAttr(std::to_string(index));
      Value part = createOp<SliceOp>(rewriter, concat.getLoc(), dims, element,
                                     read, rewriter.getArrayAttr(starts),
                                     SmallVector<int64_t>(dims.size(), 1));
      part = reshapeTo(rewriter, concat.getLoc(), part,
                       getDims(concat.getResult()));
      concat.getResult().replaceAllUsesWith(part);
    }
  }
  // Readers of a combined state's keys may have stood before its values.
  sortTopologically(&entry.getBody().front());
  eraseDeadOps(entry);
  (void)entry.eraseResults(results);
  (void)entry.eraseArguments(arguments);
}

void RecoverState::runOnOperation() {
  ModuleOp module = getOperation();
  std::map<int64_t, std::vector<Pair>> found;
  std::map<int64_t, bool> complete;
  for (auto entry : module.getOps<func::FuncOp>()) {
    for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
      std::optional<Port> port = getArgPort(entry, i);
      if (!port || port->role != "past" || !port->state) {
        continue;
      }
      auto [it, inserted] = complete.try_emplace(*port->state, true);
      if (std::optional<Pair> pair = matchPair(entry, i, *port)) {
        found[*port->state].push_back(*pair);
      } else {
        it->second = false;
      }
    }
  }
  DenseMap<Operation *, std::vector<std::pair<Pair, StateOp>>> byEntry;
  for (auto &[index, pairs] : found) {
    if (!complete[index]) {
      continue;
    }
    bool sameShape = llvm::all_of(pairs, [&](const Pair &pair) {
      Dims a = pair.pastDims, b = pairs.front().pastDims;
      a[pair.axis] = b[pairs.front().axis] = 0;
      return pair.axis == pairs.front().axis && a == b &&
             pair.combined == pairs.front().combined;
    });
    if (!sameShape) {
      module.emitWarning() << "state '" << pairs.front().past.name
                           << "' stays a dense input and output: its shape "
                              "differs between entries";
      continue;
    }
    if (StateOp state = makeState(pairs)) {
      for (Pair &pair : pairs) {
        byEntry[pair.entry].push_back({pair, state});
      }
    }
  }
  for (auto entry : module.getOps<func::FuncOp>()) {
    auto it = byEntry.find(entry);
    if (it != byEntry.end()) {
      rewriteEntry(entry, it->second);
    }
  }
}
} // namespace
