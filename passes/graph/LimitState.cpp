//===- LimitState.cpp - Caches that keep a window and sinks ----*- C++ -*-===//
//
// Glossary.
//   window   tokens that a row sees, its own the last of them
//   sinks    the first tokens of all, seen beside the window
//   ring     blocks that are written over when the window has left them
//
// Keys keep the positions with which they were computed: nothing is rotated
// again. So this is what a model with a sliding window (and sinks) computes,
// not StreamingLLM, which counts positions within the cache.
//
//===----------------------------------------------------------------------===//

#include "dialects/graph/CacheLimits.h"
#include "passes/Passes.h"
#include "passes/graph/Matchers.h"

#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace llmc {
#define GEN_PASS_DEF_LIMITSTATEPASS
#include "passes/Passes.h.inc"
} // namespace llmc

namespace {
using namespace llmc::graph;

/// A state and those who use it, of all entries.
struct Use {
  StateOp state;
  int64_t added = 1; // the most tokens that an entry appends
  SmallVector<AttentionOp> readers;
};

struct LimitState : llmc::impl::LimitStatePassBase<LimitState> {
  using LimitStatePassBase::LimitStatePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (window == 0 && sink == 0) {
      return;
    }
    if (window < 1 || sink < 0) {
      module.emitError() << "a window of " << window.getValue()
                         << " tokens and " << sink.getValue()
                         << " sinks: --kv-sink needs --kv-window, and both "
                            "count tokens";
      return signalPassFailure();
    }
    SmallVector<Use> uses;
    for (auto state : module.getOps<StateOp>()) {
      uses.push_back({state, 1, {}});
      if (failed(collect(uses.back()))) {
        return signalPassFailure();
      }
    }
    if (uses.empty()) {
      module.emitError("--kv-window: the model has no KV cache that grows in "
                       "place");
      return signalPassFailure();
    }
    for (Use &use : uses) {
      for (AttentionOp op : use.readers) {
        auto own = static_cast<int64_t>(op.getWindow());
        if (own > 0 && own <= window) {
          keepsItsOwn.insert(op);
        }
      }
    }
    for (Use &use : uses) {
      limit(use);
    }
    // An attention asks the same of both its states.
    for (Use &use : uses) {
      for (AttentionOp op : use.readers) {
        std::optional<CacheLimit> limit = getCacheLimit(op);
        std::optional<CacheRing> ring = getCacheRing(use.state);
        if (ring && (!limit || limit->sinkBlocks != ring->sinkBlocks)) {
          op.emitOpError("its keys and values are caches with different "
                         "readers: --kv-window cannot bound them");
          return signalPassFailure();
        }
      }
    }
  }

private:
  static int64_t blockOf(StateOp state) {
    return static_cast<int64_t>(state.getBlockTokens());
  }
  static int64_t capacityOf(StateOp state) {
    return cast<RankedTensorType>(state.getType()).getDimSize(state.getAxis());
  }

  LogicalResult collect(Use &use) {
    LogicalResult result = success();
    getOperation().walk([&](KvAppendOp append) {
      if (failed(result) || append.getState() != use.state.getSymName()) {
        return;
      }
      auto entry = append->getParentOfType<func::FuncOp>();
      Interval added = getDim(append.getValue(), use.state.getAxis())
                           .bounds(symbolBounds(entry));
      if (!added.hasUpper()) {
        result = append.emitOpError("appends any number of tokens");
        return;
      }
      use.added = std::max(use.added, added.upper);
      for (Operation *user : append.getResult().getUsers()) {
        auto attention = dyn_cast<AttentionOp>(user);
        if (!attention) {
          result = user->emitOpError()
                   << "reads all of the cache '" << use.state.getInputName()
                   << "' (node '" << nodeName(user)
                   << "'): --kv-window needs caches that only attention reads";
          return;
        }
        if (!llvm::is_contained(use.readers, attention)) {
          use.readers.push_back(attention);
        }
      }
    });
    return result;
  }

  /// A window of the model's own that is no larger stays, without sinks.
  llvm::DenseSet<Operation *> keepsItsOwn;

  void limit(Use &use) {
    StateOp state = use.state;
    int64_t block = blockOf(state), capacity = capacityOf(state);
    int64_t widest = 0, sinks = 0;
    for (AttentionOp op : use.readers) {
      bool own = keepsItsOwn.contains(op);
      widest =
          std::max(widest, own ? int64_t(op.getWindow()) : int64_t(window));
      sinks = std::max(sinks, own ? 0 : int64_t(sink));
    }
    // All tokens there can be are seen: nothing changes.
    if (use.readers.empty() || widest >= capacity || sinks >= capacity) {
      return;
    }
    Builder builder(&getContext());
    int64_t sinkBlocks = (sinks + block - 1) / block;
    // Of what a row sees nothing may be written over, not even by the rows that
    // come with it or by a run that was stopped.
    int64_t ringBlocks = (widest + use.added - 1 + block - 1) / block;
    bool isRing = (sinkBlocks + ringBlocks) * block < capacity;
    for (AttentionOp op : use.readers) {
      if (getCacheLimit(op)) {
        continue; // by its other state
      }
      bool own = keepsItsOwn.contains(op);
      if (!own) {
        op.setWindow(static_cast<uint64_t>(window.getValue()));
      }
      if (isRing || (!own && sink > 0)) {
        op->setAttr(kLimitAttr, builder.getDenseI64ArrayAttr(
                                    {own ? 0 : sink.getValue(), sinkBlocks}));
      }
    }
    if (isRing) {
      state->setAttr(kRingAttr,
                     builder.getDenseI64ArrayAttr({sinkBlocks, ringBlocks}));
    }
  }
};

} // namespace
