//===- PlanSpill.cpp - States whose blocks lie below -----------*- C++ -*-===//
//
// Glossary.
//   window   consecutive blocks of a state that come and go together
//   part     the piece of an attention that sees one window
//
// A restore stands right before the first launch that needs it; plan-place says
// how far ahead of it the copy begins (PlacementModel.h).
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/Layout.h"
#include "passes/memory/Liveness.h"
#include "passes/memory/PlacementChoice.h"

#include "llvm/ADT/StringSet.h"

namespace llmc {
#define GEN_PASS_DEF_PLANSPILLPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using planir::BufferOp;
using planir::EntryOp;
using planir::LaunchOp;
using planir::StateOp;
using planir::ViewAttr;

/// Keys of one chunk of the attention kernel: windows are made of them.
constexpr uint64_t kKeys = 64;
constexpr uint64_t kFileAlignment = 4096; // of a state in the spill file

uint64_t blocksOf(StateOp state) {
  return (state.getCapacity() + state.getBlockTokens() - 1) /
         state.getBlockTokens();
}

/// An attention over one or two states, and the appends to them.
struct Use {
  LaunchOp attention;
  SmallVector<LaunchOp> appends; // in the order of `states`
  SmallVector<StateOp> states;   // of k and v; one if they are the same
};

class Spiller {
public:
  Spiller(ModuleOp module, uint64_t residentTokens, uint64_t windows)
      : module(module), builder(module.getContext()),
        residentTokens(residentTokens),
        numWindows(std::max<uint64_t>(windows, 1)) {
    for (auto op : module.getOps<SymbolOpInterface>()) {
      names.insert(op.getName());
    }
    for (auto state : module.getOps<StateOp>()) {
      byBuffer[state.getBufferAttr().getAttr()] = state;
    }
  }

  /// Returns how many states are cut.
  unsigned run() {
    SmallVector<std::pair<EntryOp, SmallVector<Use>>> uses;
    for (auto entry : module.getOps<EntryOp>()) {
      uses.push_back({entry, usesIn(entry)});
    }
    if (cut.empty()) {
      return 0;
    }
    for (auto &[entry, list] : uses) {
      llvm::erase_if(
          list, [&](Use &use) { return !cut.contains(use.states.front()); });
    }
    for (StateOp state : cutInOrder()) {
      resize(state);
    }
    for (auto &[entry, list] : uses) {
      rewrite(entry, list);
    }
    return cut.size();
  }

private:
  uint64_t residentBlocks(StateOp state) const {
    uint64_t block = state.getBlockTokens();
    return std::clamp<uint64_t>((residentTokens + block - 1) / block, 1,
                                blocksOf(state));
  }

  bool mayCut(StateOp state) const {
    // The block that is being filled takes the room of one.
    return state.getBlockTokens() % kKeys == 0 && !state.getRing() &&
           residentBlocks(state) + 1 < blocksOf(state);
  }

  SmallVector<StateOp> cutInOrder() {
    SmallVector<StateOp> out;
    for (auto state : module.getOps<StateOp>()) {
      if (cut.contains(state)) {
        out.push_back(state);
      }
    }
    return out;
  }

  /// Whether a launch between the two writes bytes that `view` shows.
  static bool isOverwritten(LaunchOp from, LaunchOp to, ViewAttr view,
                            const graph::SymbolBounds &bounds) {
    uint64_t begin = view.getOffset();
    uint64_t end = begin + planir::boundBytes(view, bounds).value_or(0);
    for (Operation *op = from->getNextNode(); op != to.getOperation();
         op = op->getNextNode()) {
      auto launch = dyn_cast<LaunchOp>(op);
      for (ViewAttr other : launch
                                ? SmallVector<ViewAttr>(launch.operandViews())
                                : SmallVector<ViewAttr>()) {
        uint64_t otherBegin = other.getOffset();
        uint64_t bytes = planir::boundBytes(other, bounds).value_or(UINT32_MAX);
        if (other.getBuffer() == view.getBuffer() &&
            other.getAccess() != planir::Access::Read && otherBegin < end &&
            begin < otherBegin + bytes) {
          return true;
        }
      }
    }
    return false;
  }

  /// What can be cut in this entry. What cannot is struck from `cut` for good.
  SmallVector<Use> usesIn(EntryOp entry) {
    graph::SymbolBounds bounds = planir::getBounds(entry);
    llvm::DenseMap<Operation *, LaunchOp> appendOf;
    llvm::DenseMap<Operation *, unsigned> readers;
    SmallVector<Use> uses;
    auto refuse = [&](StateOp state) {
      refused.insert(state);
      cut.erase(state);
    };
    for (auto launch : entry.getBody().getOps<LaunchOp>()) {
      std::optional<plan::KernelId> kernel =
          planir::parseKernel(launch.getKernel());
      Use use;
      use.attention = launch;
      for (auto [i, view] : llvm::enumerate(launch.operandViews())) {
        StateOp state = byBuffer.lookup(view.getBuffer().getAttr());
        if (!state || llvm::is_contained(use.states, state)) {
          continue;
        }
        bool isNew = kernel == plan::KernelId::KvAppend && i == 1 &&
                     launch.getInts()->size() == 2 && !appendOf.count(state);
        if (isNew) {
          appendOf[state] = launch;
          continue;
        }
        LaunchOp append = appendOf.lookup(state);
        auto values = append ? SmallVector<ViewAttr>(append.operandViews())
                             : SmallVector<ViewAttr>();
        if (kernel != plan::KernelId::Attention || !append ||
            ++readers[state] > 1 ||
            isOverwritten(append, launch, values[0], bounds)) {
          refuse(state);
        }
        use.states.push_back(state);
        use.appends.push_back(append);
      }
      if (use.states.empty()) {
        continue;
      }
      // Both or none, and in the same windows.
      StateOp first = use.states.front(), last = use.states.back();
      // Parts of attention know no sinks.
      bool good = use.attention.getInts()->size() <= 10 &&
                  first.getCapacity() == last.getCapacity() &&
                  first.getBlockTokens() == last.getBlockTokens();
      for (StateOp state : use.states) {
        good &= mayCut(state) && !refused.contains(state);
      }
      for (StateOp state : use.states) {
        good ? (void)cut.insert(state) : refuse(state);
      }
      uses.push_back(std::move(use));
    }
    for (auto &[state, append] : appendOf) {
      if (!readers.contains(state)) {
        refuse(cast<StateOp>(state));
      }
    }
    return uses;
  }

  StringAttr unique(const Twine &name) {
    std::string wanted = name.str(), found = wanted;
    for (unsigned i = 1; !names.insert(found).second; ++i) {
      found = wanted + "." + std::to_string(i);
    }
    return builder.getStringAttr(found);
  }

  BufferOp makeBuffer(Location loc, const Twine &name, planir::Kind kind,
                      planir::Tier tier, uint64_t size, EntryOp entry) {
    OpBuilder before(*module.getOps<EntryOp>().begin());
    MLIRContext *context = module.getContext();
    return BufferOp::create(
        before, loc, unique(name), planir::KindAttr::get(context, kind),
        planir::TierAttr::get(context, tier), number(size), IntegerAttr(),
        IntegerAttr(), IntegerAttr(),
        entry ? FlatSymbolRefAttr::get(entry.getSymNameAttr())
              : FlatSymbolRefAttr(),
        FlatSymbolRefAttr(), ElementsAttr());
  }

  IntegerAttr number(uint64_t value) {
    return builder.getI64IntegerAttr(static_cast<int64_t>(value));
  }

  void resize(StateOp state) {
    auto buffer = SymbolTable::lookupNearestSymbolFrom<BufferOp>(
        module, state.getBufferAttr());
    uint64_t blocks = blocksOf(state), resident = residentBlocks(state);
    uint64_t block = buffer.getSize() / blocks;
    blockBytes[state] = block;
    BufferOp below = makeBuffer(state.getLoc(), buffer.getSymName() + ".below",
                                planir::Kind::State, planir::Tier::Disk,
                                (blocks - resident) * block, {});
    below.setOffsetAttr(number(fileEnd));
    fileEnd = llvm::alignTo(fileEnd + below.getSize(), kFileAlignment);
    buffer.setSizeAttr(number((resident + 1) * block));
    state.setSpillAttr(FlatSymbolRefAttr::get(below.getSymNameAttr()));
    state.setResidentBlocksAttr(number(resident));
  }

  /// The view of `tokens` tokens of a state in `buffer`.
  ViewAttr window(ViewAttr view, FlatSymbolRefAttr buffer, StateOp state,
                  uint64_t tokens) {
    SmallVector<Attribute> dims(view.getDims().getValue());
    dims[state.getOuter().size()] = number(tokens);
    return ViewAttr::get(module.getContext(), buffer, view.getAccess(),
                         view.getDtype(), builder.getArrayAttr(dims),
                         view.getPanel64(), view.getOffset());
  }

  /// An append turned to a window.
  void turn(LaunchOp append, StateOp state, FlatSymbolRefAttr buffer,
            uint64_t firstToken, uint64_t tokens) {
    SmallVector<Attribute> views(append.getViews().getValue());
    views[1] = window(cast<ViewAttr>(views[1]), buffer, state, tokens);
    append.setViewsAttr(builder.getArrayAttr(views));
    SmallVector<int64_t> ints(append.getInts()->take_front(2));
    ints.push_back(static_cast<int64_t>(firstToken));
    append.setIntsAttr(builder.getDenseI64ArrayAttr(ints));
  }

  /// A part of an attention. `places` are its windows, by state.
  void makePart(Use &use, ArrayRef<FlatSymbolRefAttr> places, ViewAttr carry,
                uint64_t firstToken, uint64_t tokens, bool isFirst,
                bool isLast) {
    auto part = cast<LaunchOp>(builder.clone(*use.attention));
    SmallVector<Attribute> views(part.getViews().getValue());
    Attribute out = views.pop_back_val();
    for (size_t i : {size_t(1), size_t(2)}) {
      auto view = cast<ViewAttr>(views[i]);
      size_t which = view.getBuffer() == use.states[0].getBufferAttr() ? 0 : 1;
      views[i] = window(view, places[which], use.states[which], tokens);
    }
    planir::Access access = isFirst  ? planir::Access::Write
                            : isLast ? planir::Access::Read
                                     : planir::Access::ReadWrite;
    views.push_back(ViewAttr::get(module.getContext(), carry.getBuffer(),
                                  access, carry.getDtype(), carry.getDims(),
                                  false, 0));
    if (isLast) {
      views.push_back(out);
    }
    part.setViewsAttr(builder.getArrayAttr(views));
    SmallVector<int64_t> ints(*part.getInts());
    ints.resize(10, 0);
    ints.append({static_cast<int64_t>(firstToken), isFirst, isLast});
    part.setIntsAttr(builder.getDenseI64ArrayAttr(ints));
  }

  /// What the parts of an attention pass on: per row of q a row of v's width
  /// and two numbers.
  ViewAttr makeCarry(EntryOp entry, Use &use) {
    SmallVector<ViewAttr> views(use.attention.operandViews());
    SmallVector<Attribute> dims(views[0].getDims().getValue());
    auto features = cast<IntegerAttr>(views[2].getDims().getValue().back());
    dims.back() = builder.getI64IntegerAttr(features.getInt() + 2);
    auto view = [&](FlatSymbolRefAttr buffer) {
      return ViewAttr::get(module.getContext(), buffer, planir::Access::Write,
                           builder.getStringAttr("f32"),
                           builder.getArrayAttr(dims), false, 0);
    };
    std::optional<uint64_t> bytes = planir::boundBytes(
        view(views[0].getBuffer()), planir::getBounds(entry));
    BufferOp buffer = makeBuffer(
        use.attention.getLoc(), entry.getSymName() + ".carry",
        planir::Kind::Activation, planir::Tier::Device, *bytes, entry);
    return view(FlatSymbolRefAttr::get(buffer.getSymNameAttr()));
  }

  void rewrite(EntryOp entry, MutableArrayRef<Use> uses) {
    struct Window {
      Use *use = nullptr;
      uint64_t first = 0; // block
      uint64_t count = 0;
      SmallVector<BufferOp> slots; // by state
    };
    std::vector<Window> windows;
    for (Use &use : uses) {
      StateOp state = use.states.front();
      uint64_t resident = *state.getResidentBlocks();
      uint64_t rest = blocksOf(state) - resident;
      uint64_t number = std::min(numWindows, rest);
      for (uint64_t i = 0; i < number; ++i) {
        Window window;
        window.use = &use;
        window.first = resident + rest * i / number;
        window.count = resident + rest * (i + 1) / number - window.first;
        windows.push_back(window);
      }
    }
    // The launches of each use, its windows in order.
    size_t next = 0;
    for (Use &use : uses) {
      uint64_t block = StateOp(use.states.front()).getBlockTokens();
      uint64_t resident = *StateOp(use.states.front()).getResidentBlocks();
      ViewAttr carry = makeCarry(entry, use);
      SmallVector<LaunchOp> originals;
      SmallVector<FlatSymbolRefAttr> places;
      for (auto [append, state] : llvm::zip_equal(use.appends, use.states)) {
        originals.push_back(append);
        places.push_back(StateOp(state).getBufferAttr());
      }
      builder.setInsertionPoint(use.attention);
      makePart(use, places, carry, 0, resident * block, true, false);
      for (; next < windows.size() && windows[next].use == &use; ++next) {
        Window &window = windows[next];
        bool isLast =
            next + 1 == windows.size() || windows[next + 1].use != &use;
        uint64_t firstToken = window.first * block;
        uint64_t tokens = window.count * block;
        Location loc = LaunchOp(use.attention).getLoc();
        places.clear();
        for (StateOp state : use.states) {
          window.slots.push_back(makeBuffer(
              loc, entry.getSymName() + ".below." + state.getSymName(),
              planir::Kind::Staging, planir::Tier::Device,
              window.count * blockBytes.lookup(state), entry));
          places.push_back(
              FlatSymbolRefAttr::get(window.slots.back().getSymNameAttr()));
        }
        for (size_t i = 0; i < use.states.size(); ++i) {
          planir::RestoreOp::create(
              builder, loc, number(window.slots[i].getSize()),
              FlatSymbolRefAttr::get(StateOp(use.states[i]).getSymNameAttr()),
              number(window.first), places[i]);
        }
        for (size_t i = 0; i < use.states.size(); ++i) {
          auto append = cast<LaunchOp>(builder.clone(*originals[i]));
          turn(append, use.states[i], places[i], firstToken, tokens);
        }
        makePart(use, places, carry, firstToken, tokens, false, isLast);
        for (size_t i = 0; i < use.states.size(); ++i) {
          planir::SpillOp::create(
              builder, loc, number(window.slots[i].getSize()),
              FlatSymbolRefAttr::get(StateOp(use.states[i]).getSymNameAttr()),
              number(window.first), places[i]);
        }
      }
      for (size_t i = 0; i < use.states.size(); ++i) {
        turn(originals[i], use.states[i],
             StateOp(use.states[i]).getBufferAttr(), 0, resident * block);
      }
    }
    for (Use &use : uses) {
      LaunchOp(use.attention).erase();
    }
  }

  ModuleOp module;
  OpBuilder builder;
  uint64_t residentTokens;
  uint64_t numWindows;
  uint64_t fileEnd = 0;
  llvm::StringSet<> names;
  llvm::DenseMap<StringAttr, StateOp> byBuffer;
  llvm::DenseSet<Operation *> cut, refused;
  llvm::DenseMap<Operation *, uint64_t> blockBytes;
};

constexpr int64_t kAuto = -2;

struct PlanSpill : impl::PlanSpillPassBase<PlanSpill> {
  using PlanSpillPassBase::PlanSpillPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (resident >= 0) {
      auto tokens = static_cast<uint64_t>(resident.getValue());
      if (Spiller(module, tokens, windows).run() != 0) {
        note(module, tokens);
      }
      return;
    }
    if (resident != kAuto) {
      return;
    }
    // The least that is enough, in sixteenths of the longest state.
    uint64_t capacity = 0;
    for (auto state : module.getOps<StateOp>()) {
      if (state.getBlockTokens() % kKeys == 0 && blocksOf(state) > 1) {
        capacity = std::max(capacity, state.getCapacity());
      }
    }
    if (capacity == 0 || budget == UINT64_MAX || fits(module)) {
      return;
    }
    constexpr uint64_t kSteps = 16;
    for (uint64_t step = kSteps; step-- > 0;) {
      uint64_t tokens = capacity * step / kSteps;
      // Smaller windows take smaller slots.
      for (uint64_t count : {uint64_t(windows), uint64_t(windows) * 4}) {
        OwningOpRef<ModuleOp> trial = cast<ModuleOp>(module->clone());
        if (Spiller(*trial, tokens, count).run() != 0 && fits(*trial)) {
          Spiller(module, tokens, count).run();
          note(module, tokens);
          return;
        }
      }
    }
    // Nothing helps; plan-place reports what is needed.
  }

  /// Whether the smallest plan is within the budget.
  bool fits(ModuleOp module) {
    memory::updateLifetimes(module);
    return memory::findMinimum(memory::PlacementModel(module), reserve).bytes <=
           budget;
  }

  void note(ModuleOp module, uint64_t tokens) {
    module->setAttr(
        "plan.kv_resident",
        Builder(&getContext()).getI64IntegerAttr(static_cast<int64_t>(tokens)));
  }
};

} // namespace
} // namespace llmc
