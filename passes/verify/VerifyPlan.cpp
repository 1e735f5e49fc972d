//===- VerifyPlan.cpp - Phase verifier of the placed plan ------*- C++ -*-===//
//
// The compiler's own check, right after the placement; the plan file is proved
// again by runtime/plan's checker, which shares no code with this.
//
//===----------------------------------------------------------------------===//

#include "passes/Passes.h"
#include "passes/memory/Layout.h"

#include "dialects/plan/PlanDialect.h"

namespace llmc {
#define GEN_PASS_DEF_VERIFYPLANPASS
#include "passes/Passes.h.inc"
} // namespace llmc

using namespace mlir;

namespace llmc {
namespace {

using planir::Access;
using planir::BufferOp;
using planir::EntryOp;
using planir::Kind;

class EntryVerifier {
public:
  EntryVerifier(EntryOp entry, const SymbolTable &symbols)
      : entry(entry), symbols(symbols), bounds(planir::getBounds(entry)) {}

  LogicalResult run() {
    for (ArrayAttr ports : {entry.getInputs(), entry.getOutputs()}) {
      for (auto port : ports.getAsRange<DictionaryAttr>()) {
        if (failed(verifyPort(port, ports == entry.getInputs()))) {
          return failure();
        }
      }
    }
    for (auto carry :
         entry->getParentOfType<ModuleOp>().getOps<planir::CarryOp>()) {
      if (carry.getEntry() != entry.getSymName()) {
        continue;
      }
      auto slot = symbols.lookup<planir::CarriedOp>(carry.getSlot());
      for (FlatSymbolRefAttr ref :
           {carry.getFirstAttr(), carry.getLastAttr()}) {
        auto buffer = symbols.lookup<BufferOp>(ref.getValue());
        if (!slot || !buffer || buffer.getKind() != Kind::Staging ||
            buffer.getOffset() != slot.getOffset() ||
            buffer.getSize() != slot.getBytes()) {
          return carry.emitOpError()
                 << ref << " is not the place of " << carry.getSlotAttr();
        }
      }
      written.insert(symbols.lookup<BufferOp>(carry.getFirst()));
    }
    for (Operation &step : entry.getBody().front()) {
      if (failed(verifyStep(&step))) {
        return failure();
      }
      ++index;
    }
    return success();
  }

private:
  LogicalResult verifyPort(DictionaryAttr port, bool isInput) {
    auto name = port.getAs<StringAttr>("name");
    if (auto state = port.getAs<FlatSymbolRefAttr>("state")) {
      if (!symbols.lookup<planir::StateOp>(state.getValue())) {
        return entry.emitOpError()
               << "port " << name << " names no plan.state: " << state;
      }
      return success();
    }
    auto ref = port.getAs<FlatSymbolRefAttr>("buffer");
    auto buffer = ref ? symbols.lookup<BufferOp>(ref.getValue()) : BufferOp();
    if (!buffer || buffer.getKind() != (isInput ? Kind::Input : Kind::Output) ||
        buffer.getEntry() != entry.getSymName()) {
      return entry.emitOpError()
             << "port " << name << " has no " << (isInput ? "input" : "output")
             << " buffer of this entry";
    }
    if (isInput) {
      written.insert(buffer);
    }
    return success();
  }

  /// The buffer, if this step may touch it.
  FailureOr<BufferOp> touch(Operation *step, FlatSymbolRefAttr ref) {
    auto buffer = symbols.lookup<BufferOp>(ref.getValue());
    if (!buffer) {
      return step->emitOpError() << "names no plan.buffer: " << ref;
    }
    if (!buffer.getEntry()) {
      return buffer;
    }
    if (*buffer.getEntry() != entry.getSymName()) {
      return step->emitOpError()
             << ref << " belongs to another entry, @" << *buffer.getEntry();
    }
    if (!buffer.getStart() || index < *buffer.getStart() ||
        index >= *buffer.getEnd()) {
      InFlightDiagnostic error = step->emitOpError()
                                 << "step " << index << " touches " << ref
                                 << ", which is live in [";
      if (buffer.getStart()) {
        error << *buffer.getStart() << ", " << *buffer.getEnd();
      }
      return error << ")";
    }
    return buffer;
  }

  LogicalResult verifyStep(Operation *step) {
    if (auto launch = dyn_cast<planir::LaunchOp>(step)) {
      return verifyLaunch(launch);
    }
    if (auto copy = dyn_cast<planir::CopyOp>(step)) {
      return verifyCopy(copy);
    }
    if (auto restore = dyn_cast<planir::RestoreOp>(step)) {
      return verifyBlocks(restore, true);
    }
    if (auto spill = dyn_cast<planir::SpillOp>(step)) {
      return verifyBlocks(spill, false);
    }
    if (auto out = dyn_cast<planir::SwapOutOp>(step)) {
      return verifySwap(out, /*isOut=*/true);
    }
    if (auto in = dyn_cast<planir::SwapInOp>(step)) {
      return verifySwap(in, /*isOut=*/false);
    }
    if (auto signal = dyn_cast<planir::SignalOp>(step)) {
      auto stream = static_cast<size_t>(signal.getStream());
      // The event carries what its stream has done and seen so far.
      auto [it, isNew] = events.try_emplace(signal.getEvent(), done[stream]);
      if (!isNew) {
        return signal.emitOpError()
               << "event " << signal.getEvent() << " is signalled twice";
      }
      return success();
    }
    auto wait = cast<planir::WaitOp>(step);
    auto it = events.find(wait.getEvent());
    if (it == events.end()) {
      return wait.emitOpError()
             << "event " << wait.getEvent() << " has not been signalled";
    }
    Clock &clock = done[static_cast<size_t>(wait.getStream())];
    for (size_t i = 0; i < clock.size(); ++i) {
      clock[i] = std::max(clock[i], it->second[i]);
    }
    return success();
  }

  LogicalResult verifyLaunch(planir::LaunchOp launch) {
    constexpr size_t kCompute = 0;
    for (planir::ViewAttr view : launch.operandViews()) {
      FailureOr<BufferOp> buffer = touch(launch, view.getBuffer());
      if (failed(buffer)) {
        return failure();
      }
      std::optional<uint64_t> bytes = planir::boundBytes(view, bounds);
      uint64_t end = 0;
      if (!bytes ||
          __builtin_add_overflow(static_cast<uint64_t>(view.getOffset()),
                                 *bytes, &end)) {
        return launch.emitOpError()
               << view.getBuffer() << " has dimensions without an upper bound";
      }
      if (end > buffer->getSize()) {
        return launch.emitOpError()
               << view.getBuffer() << " is used up to byte " << end
               << ", its size is " << buffer->getSize();
      }
      Kind kind = buffer->getKind();
      bool isShared = !buffer->getEntry();
      if (view.getAccess() != Access::Read &&
          (kind == Kind::Weight || kind == Kind::Constant ||
           (kind == Kind::Staging && !windows.contains(*buffer)))) {
        return launch.emitOpError()
               << "writes " << view.getBuffer() << ", which is constant";
      }
      if (view.getAccess() == Access::Read && !isShared &&
          !written.contains(*buffer)) {
        return launch.emitOpError()
               << "reads " << view.getBuffer() << " before it is written";
      }
      // A copied slot is complete only once the compute stream has waited.
      auto copied = copies.find(*buffer);
      if (copied != copies.end() && done[kCompute][1] < copied->second) {
        return launch.emitOpError() << "reads " << view.getBuffer()
                                    << " without waiting for its copy";
      }
      if (view.getAccess() != Access::Read) {
        written.insert(*buffer);
      }
    }
    done[kCompute][kCompute] = index + 1;
    return success();
  }

  LogicalResult verifyCopy(planir::CopyOp copy) {
    FailureOr<BufferOp> buffer = touch(copy, copy.getBufferAttr());
    if (failed(buffer)) {
      return failure();
    }
    auto segment = symbols.lookup<planir::SegmentOp>(copy.getSegment());
    if (!segment) {
      return copy.emitOpError()
             << "names no plan.segment: " << copy.getSegmentAttr();
    }
    if (copy.getSourceOffset() + copy.getBytes() > segment.getSize()) {
      return copy.emitOpError()
             << "reads up to byte " << copy.getSourceOffset() + copy.getBytes()
             << " of " << copy.getSegmentAttr() << ", its size is "
             << segment.getSize();
    }
    if (copy.getTargetOffset() + copy.getBytes() > buffer->getSize()) {
      return copy.emitOpError()
             << "writes up to byte " << copy.getTargetOffset() + copy.getBytes()
             << " of " << copy.getBufferAttr() << ", its size is "
             << buffer->getSize();
    }
    return arrive(copy, *buffer);
  }

  /// The copy stream writes a buffer.
  LogicalResult arrive(Operation *op, BufferOp buffer) {
    constexpr size_t kCopy = 1;
    // Whatever had these bytes before must be done: the copy has waited for
    // all compute steps before its place in the list.
    if (done[kCopy][0] < lastCompute()) {
      return op->emitOpError()
             << "may run before the compute steps in front of it are done";
    }
    written.insert(buffer);
    copies[buffer] = index + 1;
    done[kCopy][kCopy] = index + 1;
    return success();
  }

  /// Blocks of a state and their slot: restores are copies, spills read what
  /// was restored.
  template <class Op> LogicalResult verifyBlocks(Op op, bool isRestore) {
    FailureOr<BufferOp> buffer = touch(op, op.getBufferAttr());
    if (failed(buffer)) {
      return failure();
    }
    auto state = symbols.lookup<planir::StateOp>(op.getState());
    if (!state || !state.getSpill()) {
      return op.emitOpError()
             << "names no spilled plan.state: " << op.getStateAttr();
    }
    if (buffer->getKind() != Kind::Staging ||
        op.getBytes() > buffer->getSize()) {
      return op.emitOpError()
             << op.getBufferAttr() << " of " << buffer->getSize()
             << " bytes is no slot for " << op.getBytes();
    }
    if (isRestore) {
      windows.insert(*buffer);
      return arrive(op, *buffer);
    }
    if (!windows.contains(*buffer)) {
      return op.emitOpError()
             << "spills " << op.getBufferAttr() << ", which was not restored";
    }
    done[0][0] = index + 1;
    return success();
  }

  /// An activation leaves and comes back. The slot it comes back to is a buffer
  /// that steps may write like any activation.
  template <class Op> LogicalResult verifySwap(Op op, bool isOut) {
    FailureOr<BufferOp> buffer = touch(op, op.getBufferAttr());
    FailureOr<BufferOp> below = touch(op, op.getBelowAttr());
    if (failed(buffer) || failed(below)) {
      return failure();
    }
    if (below->getTier() != planir::Tier::Disk ||
        op.getBytes() > below->getSize() ||
        op.getTargetOffset() + op.getBytes() > buffer->getSize()) {
      return op.emitOpError()
             << op.getBytes() << " bytes do not fit " << op.getBufferAttr()
             << " and " << op.getBelowAttr();
    }
    if (!written.contains(isOut ? *buffer : *below)) {
      return op.emitOpError()
             << "reads " << (isOut ? op.getBufferAttr() : op.getBelowAttr())
             << " before it is written";
    }
    if (isOut) {
      written.insert(*below);
      done[0][0] = index + 1;
      return success();
    }
    windows.insert(*buffer);
    return arrive(op, *buffer);
  }

  uint64_t lastCompute() const { return done[0][0]; }

  EntryOp entry;
  const SymbolTable &symbols;
  graph::SymbolBounds bounds;
  uint64_t index = 0;
  llvm::DenseSet<Operation *> written;
  llvm::DenseSet<Operation *> windows; // slots that may be written
  /// One past the last step of each stream that is known to be done: what the
  /// stream itself has issued, and what it has waited for of the other.
  using Clock = std::array<uint64_t, 2>;
  std::array<Clock, 2> done{};
  std::map<uint64_t, Clock> events;
  llvm::DenseMap<Operation *, uint64_t> copies;
};

struct VerifyPlan : impl::VerifyPlanPassBase<VerifyPlan> {
  void runOnOperation() override {
    if (failed(verify())) {
      signalPassFailure();
    }
  }

  LogicalResult verify() {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    memory::Totals totals = memory::Totals::of(module);
    for (auto state : module.getOps<planir::StateOp>()) {
      auto buffer = symbols.lookup<BufferOp>(state.getBuffer());
      if (!buffer || buffer.getKind() != Kind::State) {
        return state.emitOpError()
               << "names no state buffer: " << state.getBufferAttr();
      }
    }
    for (auto buffer : module.getOps<BufferOp>()) {
      if (!buffer.getOffset()) {
        return buffer.emitOpError("has no offset: plan-assign-addresses comes "
                                  "first");
      }
      if (buffer.getSegment()) {
        auto segment = symbols.lookup<planir::SegmentOp>(*buffer.getSegment());
        if (!segment || segment.getSize() != buffer.getSize()) {
          return buffer.emitOpError() << "is not as large as its segment";
        }
      }
    }
    for (auto entry : module.getOps<EntryOp>()) {
      if (failed(EntryVerifier(entry, symbols).run()) ||
          failed(verifyOverlap(entry, totals))) {
        return failure();
      }
    }
    if (totals.budget != UINT64_MAX &&
        totals.arena + totals.reserve > totals.budget) {
      return mlir::emitError(module.getLoc())
             << "arena and reserve take " << totals.arena + totals.reserve
             << " bytes, the budget is " << totals.budget;
    }
    return success();
  }

  /// The shared buffers and those of one entry, in one arena.
  LogicalResult verifyOverlap(EntryOp entry, const memory::Totals &totals) {
    solver::Problem problem;
    solver::Solution solution;
    SmallVector<BufferOp> buffers;
    for (auto buffer : getOperation().getOps<BufferOp>()) {
      bool isShared = !buffer.getEntry();
      if ((!isShared && *buffer.getEntry() != entry.getSymName()) ||
          buffer.getTier() != planir::Tier::Device) {
        continue;
      }
      solver::Buffer item;
      item.size = buffer.getSize();
      item.alignment = plan::kBufferAlignment;
      item.start = isShared ? 0 : static_cast<uint32_t>(*buffer.getStart());
      item.end =
          isShared ? UINT32_MAX : static_cast<uint32_t>(*buffer.getEnd());
      buffers.push_back(buffer);
      problem.buffers.push_back(item);
      solution.offsets.push_back(*buffer.getOffset());
    }
    solution.extent = totals.arena;
    std::string wrong = solver::check(problem, solution);
    if (wrong.empty()) {
      return success();
    }
    InFlightDiagnostic error = entry.emitOpError() << wrong;
    for (auto [i, buffer] : llvm::enumerate(buffers)) {
      if (wrong.find("buffer " + std::to_string(i) + " ") !=
          std::string::npos) {
        error.attachNote(buffer.getLoc())
            << "buffer " << i << " is @" << buffer.getSymName();
      }
    }
    return error;
  }
};

} // namespace
} // namespace llmc
