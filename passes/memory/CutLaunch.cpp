//===- CutLaunch.cpp - Launches for some outputs of a product --*- C++ -*-===//

#include "passes/memory/CutLaunch.h"

using namespace mlir;

namespace llmc::memory {

using plan::KernelId;
using planir::ViewAttr;

namespace {

/// How a kernel's operands and ints lie, as far as cutting goes.
struct CutForm {
  KernelId kernel;
  size_t usualInts;  // of a launch that is not a piece
  bool panels;       // the weight is in panels of kUnit outputs
  bool namesOutputs; // ints[0] is their number
  bool endsInFirst;  // a piece has one more int: where it begins

  bool isConv() const { return kernel == KernelId::Conv; }
  bool isSplit() const { return kernel == KernelId::LinearSplit; }

  /// Operands that are whole whatever the piece: x, a residual and, of a
  /// quantized product, the block of each k.
  bool isWhole(size_t operand, ArrayRef<int64_t> ints) const {
    switch (kernel) {
    case KernelId::LinearAdd:
      return operand == 0 || operand == 2;
    case KernelId::LinearQuant: {
      size_t groups = ints[5] == 0 ? 0 : 3 + (ints[4] != 0);
      return operand == 0 || (groups != 0 && operand == groups);
    }
    default:
      return operand == 0;
    }
  }
};

std::optional<CutForm> formOf(planir::LaunchOp launch) {
  std::optional<KernelId> kernel = planir::parseKernel(launch.getKernel());
  if (!kernel || !launch.getInts()) {
    return std::nullopt;
  }
  ArrayRef<int64_t> ints = *launch.getInts();
  CutForm form{*kernel, 0, true, false, true};
  switch (*kernel) {
  case KernelId::Linear:
  case KernelId::LinearAdd:
    form.usualInts = 2;
    break;
  case KernelId::LinearGated:
    form.usualInts = 1;
    break;
  case KernelId::LinearSplit:
    form.usualInts = ints.size();
    form.endsInFirst = false;
    break;
  case KernelId::LinearQuant:
    form.usualInts = 9;
    form.panels = false;
    form.namesOutputs = true;
    break;
  case KernelId::Conv:
    form.usualInts = ints.size();
    form.panels = false;
    form.endsInFirst = false;
    break;
  default:
    return std::nullopt;
  }
  return form;
}

/// Whether outputs [first, first + count) of a convolution lie together in its
/// result, at a place known now: one image of known size. A group of channels
/// has inputs of its own, and what is left of the last unit must not be so
/// small that the kernel would take another way (kLeastRows of Conv.cpp).
bool canCutConv(ArrayRef<ViewAttr> views, ArrayRef<int64_t> ints) {
  ArrayRef<Attribute> dims = views.back().getDims().getValue();
  auto isNumber = [](Attribute dim) { return isa<IntegerAttr>(dim); };
  if (ints[1] != 1 || dims.size() < 2 || !llvm::all_of(dims, isNumber) ||
      cast<IntegerAttr>(dims[0]).getInt() != 1) {
    return false;
  }
  auto rest = static_cast<uint64_t>(cast<IntegerAttr>(dims[1]).getInt()) %
              PlacementModel::kUnit;
  return rest == 0 || rest >= 4;
}

ViewAttr withDims(ViewAttr view, planir::Access access, ArrayAttr dims,
                  int64_t offset) {
  return ViewAttr::get(view.getContext(), view.getBuffer(), access,
                       view.getDtype(), dims, view.getPanel64(), offset);
}

/// The results of a piece of several products: those it has outputs of, and
/// the numbers of its parts.
void cutParts(ArrayRef<ViewAttr> results, const Piece &piece,
              SmallVectorImpl<Attribute> &narrowed,
              SmallVectorImpl<int64_t> &ints) {
  SmallVector<int64_t> parts;
  uint64_t begin = 0; // of the part, in the weight's outputs
  for (auto [i, view] : llvm::enumerate(results)) {
    auto n = static_cast<uint64_t>(ints[3 + 2 * i]);
    uint64_t end = begin + llvm::alignTo(n, PlacementModel::kUnit);
    uint64_t from = std::max(piece.first, begin);
    uint64_t to = std::min(piece.first + piece.count, begin + n);
    if (from < to) {
      parts.push_back(static_cast<int64_t>(to - from));
      parts.push_back(static_cast<int64_t>(from - begin));
      narrowed.push_back(withDims(
          view, to - from == n ? view.getAccess() : planir::Access::ReadWrite,
          view.getDims(), view.getOffset()));
    }
    begin = end;
  }
  ints.resize(2);
  ints.push_back(static_cast<int64_t>(parts.size() / 2));
  llvm::append_range(ints, parts);
}

} // namespace

void describeCut(planir::LaunchOp launch, StepInfo &info,
                 const std::vector<WeightInfo> &weights) {
  std::optional<CutForm> form = formOf(launch);
  if (!form || launch.getInts()->size() != form->usualInts) {
    return;
  }
  SmallVector<ViewAttr> views(launch.operandViews());
  if (form->isConv() && !canCutConv(views, *launch.getInts())) {
    return;
  }
  auto outputs = dyn_cast<IntegerAttr>(views[1].getDims()[0]);
  if (!outputs || outputs.getInt() <= 0) {
    return;
  }
  auto n = static_cast<uint64_t>(outputs.getInt());
  for (WeightUse &use : info.uses) {
    ViewAttr view = views[use.operand];
    bool perOutput = !view.getDims().empty() && view.getDims()[0] == outputs &&
                     !form->isWhole(use.operand, *launch.getInts()) &&
                     view.getOffset() == 0;
    uint64_t size = weights[use.weight].size;
    uint64_t rows = form->panels && use.operand == 1
                        ? llvm::alignTo(n, PlacementModel::kUnit)
                        : n;
    if (perOutput && size % rows == 0) {
      use.unitBytes = size / rows * PlacementModel::kUnit;
      info.outputs = n;
    }
  }
}

planir::LaunchOp cutLaunch(OpBuilder &builder, planir::LaunchOp launch,
                           const Piece &piece, ArrayRef<bool> streamed) {
  CutForm form = *formOf(launch);
  SmallVector<ViewAttr> views(launch.operandViews());
  auto outputs = cast<IntegerAttr>(views[1].getDims()[0]);
  SmallVector<int64_t> ints(*launch.getInts());
  auto count = static_cast<int64_t>(piece.count);
  size_t results = form.isSplit() ? static_cast<size_t>(ints[2]) : 1;
  size_t inputs = views.size() - results;
  SmallVector<Attribute> narrowed;
  for (auto [i, view] : llvm::enumerate(ArrayRef(views).take_front(inputs))) {
    if (form.isWhole(i, ints)) {
      narrowed.push_back(view);
      continue;
    }
    SmallVector<Attribute> dims(view.getDims().getValue());
    uint64_t rows = view.getPanel64()
                        ? llvm::alignTo(outputs.getInt(), PlacementModel::kUnit)
                        : outputs.getInt();
    uint64_t bytes = *planir::boundBytes(view, {}) / rows;
    dims[0] = builder.getI64IntegerAttr(count);
    int64_t offset =
        streamed[i]
            ? 0
            : view.getOffset() + static_cast<int64_t>(piece.first * bytes);
    narrowed.push_back(
        withDims(view, view.getAccess(), builder.getArrayAttr(dims), offset));
  }
  ViewAttr out = views.back();
  if (form.isSplit()) {
    cutParts(ArrayRef(views).drop_front(inputs), piece, narrowed, ints);
  } else if (form.isConv()) {
    // Channels of one image lie one after the other.
    SmallVector<Attribute> dims(out.getDims().getValue());
    uint64_t bytes =
        *planir::boundBytes(out, {}) / static_cast<uint64_t>(outputs.getInt());
    dims[1] = builder.getI64IntegerAttr(count);
    narrowed.push_back(
        withDims(out, out.getAccess(), builder.getArrayAttr(dims),
                 out.getOffset() + static_cast<int64_t>(piece.first * bytes)));
  } else {
    narrowed.push_back(withDims(out, planir::Access::ReadWrite, out.getDims(),
                                out.getOffset()));
  }
  if (form.namesOutputs) {
    ints[0] = count;
  }
  if (form.endsInFirst) {
    ints.push_back(static_cast<int64_t>(piece.first));
  }
  auto copy = cast<planir::LaunchOp>(builder.clone(*launch));
  copy.setViewsAttr(builder.getArrayAttr(narrowed));
  copy.setIntsAttr(builder.getDenseI64ArrayAttr(ints));
  return copy;
}

} // namespace llmc::memory
