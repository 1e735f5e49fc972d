//===- LowerState.cpp - KV caches, attention, rotary embedding -*- C++ -*-===//

#include "dialects/graph/CacheLimits.h"
#include "dialects/graph/CacheSlices.h"
#include "passes/memory/Lowering.h"

using namespace mlir;

namespace llmc::lowering {

FailureOr<View> EntryLowering::cache(Operation *user, Value value) {
  auto it = caches.find(value);
  if (it == caches.end()) {
    return user->emitOpError("reads a cache that no kv_append made");
  }
  graph::StateOp state = it->second.state;
  // State is updated in place: only what the last append left can be read.
  if (latest.lookup(state) != value) {
    return user->emitOpError() << "reads @" << state.getSymName()
                               << " as it was before a later append";
  }
  return module.state(user, state);
}

LogicalResult EntryLowering::lowerKvAppend(graph::KvAppendOp op) {
  graph::StateOp state = module.stateNamed(op.getState());
  if (!state) {
    return op.emitOpError() << "no graph.state @" << op.getState();
  }
  FailureOr<View> value = operand(op, op.getValue());
  FailureOr<View> target = failed(value) ? value : module.state(op, state);
  if (failed(target)) {
    return failure();
  }
  graph::DimExpr position = graph::exprAttr(op.getPosition());
  graph::DimExpr added = value->dims[state.getAxis()];
  // A position that is a symbol is the number of tokens before this run, which
  // the executor knows. A constant (an entry that starts from nothing) is fine.
  if (std::optional<std::string> symbol = position.asSymbol()) {
    if (!past.empty() && past != *symbol) {
      return op.emitOpError() << "appends at '" << *symbol
                              << "', another state at '" << past << "'";
    }
    past = *symbol;
  } else if (!position.isConstant()) {
    return op.emitOpError() << "position '" << position.str()
                            << "' is neither a symbol nor a constant";
  }
  if (newTokens && *newTokens != added) {
    return op.emitOpError() << "appends " << added.str()
                            << " tokens, another state " << newTokens->str();
  }
  newTokens = added;
  graph::Interval total = (position + added).bounds(bounds);
  int64_t capacity =
      cast<RankedTensorType>(state.getType()).getDimSize(state.getAxis());
  if (!total.hasUpper() || total.upper > capacity) {
    // The sum of the bounds may exceed what the executor allows together.
    graph::Interval start = position.bounds(bounds);
    if (!start.hasUpper() || start.upper > capacity) {
      return op.emitOpError()
             << "position '" << position.str() << "' may exceed the capacity "
             << capacity << " of @" << op.getState();
    }
  }
  caches[op.getResult()] = {state, position + added};
  latest[state] = op.getResult();
  Numbers numbers;
  numbers.params = {position};
  numbers.ints = {static_cast<int64_t>(state.getBlockTokens()),
                  static_cast<int64_t>(state.getAxis())};
  if (std::optional<graph::CacheRing> ring = graph::getCacheRing(state)) {
    numbers.ints.insert(numbers.ints.end(), {0, ring->sinkBlocks});
  }
  return launch(op, plan::KernelId::KvAppend, {read(*value), update(*target)},
                std::move(numbers));
}

LogicalResult EntryLowering::lowerKvRead(graph::KvReadOp op) {
  FailureOr<View> source = cache(op, op.getCache());
  FailureOr<View> out = failed(source) ? source : result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  graph::StateOp state = caches.find(op.getCache())->second.state;
  Numbers numbers;
  numbers.params = {graph::exprAttr(op.getTotal())};
  numbers.ints = {static_cast<int64_t>(state.getBlockTokens()),
                  static_cast<int64_t>(state.getAxis())};
  return launch(op, plan::KernelId::KvRead, {read(*source), write(*out)},
                std::move(numbers));
}

LogicalResult EntryLowering::lowerAttention(graph::AttentionOp op) {
  FailureOr<View> q = operand(op, op.getQ());
  if (failed(q)) {
    return failure();
  }
  SmallVector<Use> uses = {read(*q)};
  bool fromState = isa<graph::CacheType>(op.getK().getType());
  if (fromState != isa<graph::CacheType>(op.getV().getType())) {
    return op.emitOpError("k and v must both be caches or both be tensors");
  }
  int64_t blockTokens = 0;
  // k and v as slices of states with one more dimension in front.
  std::optional<graph::CacheSlices> slices = graph::getCacheSlices(op);
  int64_t lead = slices ? 1 : 0, count = 0;
  const Value both[] = {op.getK(), op.getV()};
  for (auto [index, value] : llvm::enumerate(both)) {
    FailureOr<View> view = fromState ? cache(op, value) : operand(op, value);
    if (failed(view)) {
      return failure();
    }
    uses.push_back(read(*view));
    if (fromState) {
      graph::StateOp state = caches.find(value)->second.state;
      int64_t tokens = static_cast<int64_t>(state.getBlockTokens());
      auto type = cast<RankedTensorType>(state.getType());
      if (type.getRank() != 4 + lead ||
          static_cast<int64_t>(state.getAxis()) != 2 + lead ||
          (blockTokens && blockTokens != tokens)) {
        return op.emitOpError()
               << "needs caches " << (slices ? "[n, B, H, " : "[B, H, ")
               << "tokens, D] that grow along axis " << 2 + lead
               << " in blocks of the same size";
      }
      blockTokens = tokens;
      if (slices) {
        if (count && count != type.getDimSize(0)) {
          return op.emitOpError() << "k is one of " << count << " slices, v of "
                                  << type.getDimSize(0);
        }
        count = type.getDimSize(0);
        int64_t slice = index == 0 ? slices->k : slices->v;
        if (slice >= count) {
          return op.emitOpError()
                 << "reads slice " << slice << " of @" << state.getSymName()
                 << ", which has " << count;
        }
      }
    }
  }
  for (Value value : {op.getBias(), op.getSinks()}) {
    if (value) {
      FailureOr<View> view = operand(op, value);
      if (failed(view)) {
        return failure();
      }
      uses.push_back(read(*view));
    }
  }
  FailureOr<View> out = result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  uses.push_back(write(*out));
  Numbers numbers;
  numbers.params = {graph::exprAttr(op.getTotal())};
  numbers.ints = {op.getQLayout() == "bhsd" ? 0 : 1,
                  fromState,
                  op.getCausal(),
                  std::max<int64_t>(static_cast<int64_t>(op.getWindow()), 0),
                  op.getBias() != nullptr,
                  op.getSinks() != nullptr,
                  blockTokens};
  std::optional<graph::CacheLimit> limit = graph::getCacheLimit(op);
  if (slices || limit) {
    graph::CacheSlices which = slices.value_or(graph::CacheSlices());
    numbers.ints.insert(numbers.ints.end(), {count, which.k, which.v});
  }
  if (limit) {
    numbers.ints.insert(numbers.ints.end(),
                        {limit->sinkTokens, limit->sinkBlocks});
  }
  numbers.floats = {op.getScale().convertToDouble(),
                    op.getSoftcap().convertToDouble()};
  return launch(op, plan::KernelId::Attention, uses, std::move(numbers));
}

LogicalResult EntryLowering::lowerRope(graph::RopeOp op) {
  Numbers numbers;
  numbers.ints = {op.getLayout() == "bhsd" ? 0 : 1, op.getInterleaved(),
                  static_cast<int64_t>(op.getRotaryDim())};
  // x and out have one type, the tables another; rows of a narrow x are wide.
  FailureOr<View> x = operand(op, op.getX());
  FailureOr<View> wide = failed(x) ? x : converted(op, *x, widened(x->dtype));
  FailureOr<View> cosines = failed(wide) ? wide : operand(op, op.getCos());
  FailureOr<View> sines = failed(cosines) ? cosines : operand(op, op.getSin());
  FailureOr<View> out = failed(sines) ? sines : result(op.getResult());
  if (failed(out)) {
    return failure();
  }
  return launch(op, plan::KernelId::Rope,
                {read(*wide), read(*cosines), read(*sines), write(*out)},
                std::move(numbers));
}

} // namespace llmc::lowering
