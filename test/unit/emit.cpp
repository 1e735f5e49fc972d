//===- emit.cpp - Graph to plan at many budgets, proved --------*- C++ -*-===//
//
// A small Llama as graph text goes through the plan pipeline; each plan is
// emitted and given to runtime/plan's checker, which shares no code with the
// passes.
//
//===----------------------------------------------------------------------===//

#include "compiler/emit/EmitPlan.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/plan/PlanDialect.h"
#include "passes/Pipelines.h"
#include "passes/memory/CostModel.h"
#include "runtime/plan/Checker.h"
#include "runtime/plan/Validate.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

using namespace llmc;

namespace {

/// Replaces every $key in the template.
std::string
expand(std::string text,
       const std::vector<std::pair<std::string, std::string>> &with) {
  for (const auto &[key, value] : with) {
    for (size_t at = text.find(key); at != std::string::npos;
         at = text.find(key, at + value.size())) {
      text.replace(at, key.size(), value);
    }
  }
  return text;
}

/// dim 128, hidden 384, 2 layers, 1000 words, 512 tokens of context.
std::string llama(int layers) {
  std::string text = "module {\n";
  auto weight = [&](const std::string &name, int rows, int columns) {
    std::string shape = std::to_string(rows);
    if (columns) {
      shape += "x" + std::to_string(columns);
    }
    text += "graph.weight @" + name + " : tensor<" + shape +
            "xf32> {file = \"m\", offset = 0 : i64, length = " +
            std::to_string(rows * std::max(columns, 1) * 4) +
            " : i64, hash = \"00000000000000000000000000000000\"}\n";
  };
  weight("emb", 1000, 128);
  weight("final", 128, 0);
  weight("cos", 512, 16);
  for (int i = 0; i < layers; ++i) {
    std::string l = "l" + std::to_string(i) + ".";
    weight(l + "norm", 128, 0);
    for (const char *name : {"q", "k", "v", "o"}) {
      weight(l + name, 128, 128);
    }
    weight(l + "up", 128, 384);
    weight(l + "down", 384, 128);
    for (const char *kv : {"key", "value"}) {
      text += "graph.state @" + l + kv +
              " : tensor<1x4x512x32xf32> {axis = 2 : i64, block_tokens = 64 : "
              "i64, input_name = \"past." +
              l + kv + "\", output_name = \"present." + l + kv + "\"}\n";
    }
  }
  struct Entry {
    std::string name, seq, extent, bounds;
  };
  for (const Entry &entry :
       {Entry{"prefill", "\"seq\"", "?", "past = [0, 511], seq = [1, 64]"},
        Entry{"decode", "1", "1", "past = [0, 511]"}}) {
    std::string total = entry.name == "decode" ? "past + 1" : "past + seq";
    auto add = [&](const std::string &line) {
      text += expand(line,
                     {{"$S", entry.seq}, {"$E", entry.extent}, {"$T", total}}) +
              "\n";
    };
    add("func.func @" + entry.name +
        "(%ids: tensor<1x$Exi64> {graph.dims = [1, $S], graph.port = {name = "
        "\"input_ids\", role = \"tokens\"}}) -> (tensor<1x$Ex1000xf32> "
        "{graph.dims = [1, $S, 1000], graph.port = {name = \"logits\", role = "
        "\"logits\"}}) attributes {graph.entry, graph.symbols = {" +
        entry.bounds + "}} {");
    add("%emb = graph.load_weight @emb : tensor<1000x128xf32>\n"
        "%cos = graph.load_weight @cos : tensor<512x16xf32>\n"
        "%final = graph.load_weight @final : tensor<128xf32>\n"
        "%x0 = graph.gather %emb, %ids {axis = 0 : i64, dims = [[1, $S, 128]], "
        "graph.name = \"embed\"} : (tensor<1000x128xf32>, tensor<1x$Exi64>) -> "
        "tensor<1x$Ex128xf32>\n"
        "%c = graph.slice %cos [\"past\", \"0\"] [1, 1] {dims = [[$S, 16]], "
        "graph.name = \"cos\"} : tensor<512x16xf32> -> tensor<$Ex16xf32>");
    for (int i = 0; i < layers; ++i) {
      std::string x = "%x" + std::to_string(i);
      std::string p = "%l" + std::to_string(i) + "_";
      std::string l = "l" + std::to_string(i) + ".";
      auto linear = [&](const std::string &out, const std::string &in,
                        const std::string &w, const std::string &k,
                        const std::string &n) {
        add(expand("%w$O = graph.load_weight @$W : tensor<$Kx$Nxf32>\n"
                   "%$O = graph.linear %$I, %w$O {weight_layout = \"kn\", dims "
                   "= [[1, $S, $N]], graph.name = \"$W\"} : "
                   "tensor<1x$Ex$Kxf32>, tensor<$Kx$Nxf32> -> "
                   "tensor<1x$Ex$Nxf32>",
                   {{"$O", out}, {"$I", in}, {"$W", w}, {"$K", k}, {"$N", n}}));
      };
      auto inner = [&](const std::string &name) { return p.substr(1) + name; };
      add(expand("%$Pg = graph.load_weight @$Lnorm : tensor<128xf32>\n"
                 "%$Ph = graph.rms_norm $X scale(%$Pg : tensor<128xf32>) "
                 "{trailing = 1 : i64, epsilon = 1.0e-5 : f64, dims = [[1, $S, "
                 "128]], graph.name = \"$Lnorm\"} : tensor<1x$Ex128xf32> -> "
                 "tensor<1x$Ex128xf32>",
                 {{"$P", p.substr(1)}, {"$L", l}, {"$X", x}}));
      for (const char *name : {"q", "k", "v"}) {
        linear(inner(name), inner("h"), l + name, "128", "128");
        add(expand("%$Pr = graph.reshape %$P {dims = [[1, $S, 4, 32]]} : "
                   "tensor<1x$Ex128xf32> -> tensor<1x$Ex4x32xf32>",
                   {{"$P", inner(name)}}));
      }
      for (const char *name : {"q", "k"}) {
        add(expand("%$Po = graph.rope %$Pr, %c, %c {layout = \"bshd\", "
                   "interleaved = false, rotary_dim = 32 : i64, dims = [[1, "
                   "$S, 4, 32]], graph.name = \"$P.rope\"} : "
                   "(tensor<1x$Ex4x32xf32>, tensor<$Ex16xf32>, "
                   "tensor<$Ex16xf32>) -> tensor<1x$Ex4x32xf32>",
                   {{"$P", inner(name)}}));
      }
      for (const auto &[name, in] :
           {std::pair<std::string, std::string>{"key", "ko"},
            std::pair<std::string, std::string>{"value", "vr"}}) {
        add(expand(
            "%$Pt = graph.transpose %$I [0, 2, 1, 3] {dims = [[1, 4, $S, 32]], "
            "graph.name = \"$P.t\"} : tensor<1x$Ex4x32xf32> -> "
            "tensor<1x4x$Ex32xf32>\n"
            "%$Pc = graph.kv_append @$L, %$Pt at \"past\" {graph.name = "
            "\"$P.append\"} : tensor<1x4x$Ex32xf32>",
            {{"$P", inner(name)}, {"$I", inner(in)}, {"$L", l + name}}));
      }
      add(expand("%$Pa = graph.attention %$Pqo, %$Pkeyc, %$Pvaluec {q_layout = "
                 "\"bshd\", total = \"$T\", causal = true, window = 0 : i64, "
                 "scale = 0.25 : f64, dims = [[1, $S, 4, 32]], graph.name = "
                 "\"$Lattn\"} : tensor<1x$Ex4x32xf32>, !graph.cache, "
                 "!graph.cache -> tensor<1x$Ex4x32xf32>\n"
                 "%$Pb = graph.reshape %$Pa {dims = [[1, $S, 128]]} : "
                 "tensor<1x$Ex4x32xf32> -> tensor<1x$Ex128xf32>",
                 {{"$P", p.substr(1)}, {"$L", l}}));
      linear(inner("o"), inner("b"), l + "o", "128", "128");
      add(expand("%$Py = graph.binary \"add\" $X, %$Po {dims = [[1, $S, 128]], "
                 "graph.name = \"$Ladd\"} : (tensor<1x$Ex128xf32>, "
                 "tensor<1x$Ex128xf32>) -> tensor<1x$Ex128xf32>",
                 {{"$P", p.substr(1)}, {"$L", l}, {"$X", x}}));
      linear(inner("u"), inner("y"), l + "up", "128", "384");
      linear(inner("d"), inner("u"), l + "down", "384", "128");
      add(expand(
          "%x$N = graph.binary \"add\" %$Py, %$Pd {dims = [[1, $S, "
          "128]], graph.name = \"$Ladd2\"} : (tensor<1x$Ex128xf32>, "
          "tensor<1x$Ex128xf32>) -> tensor<1x$Ex128xf32>",
          {{"$P", p.substr(1)}, {"$L", l}, {"$N", std::to_string(i + 1)}}));
    }
    add(expand("%logits = graph.linear %x$N, %emb {weight_layout = \"nk\", "
               "dims = [[1, $S, 1000]], graph.name = \"lm_head\"} : "
               "tensor<1x$Ex128xf32>, tensor<1000x128xf32> -> "
               "tensor<1x$Ex1000xf32>\n"
               "return %logits : tensor<1x$Ex1000xf32>\n}",
               {{"$N", std::to_string(layers)}}));
  }
  return text + "}\n";
}

struct Outcome {
  std::optional<plan::Plan> plan;
  std::optional<emit::Infeasible> infeasible;
  std::string error;
};

class Emit : public testing::Test {
protected:
  Emit() : context(mlir::MLIRContext::Threading::DISABLED) {
    context.loadDialect<mlir::func::FuncDialect, graph::GraphDialect,
                        planir::PlanDialect>();
  }

  bool readsPastTheCache = false; // as of a large model

  Outcome compile(const std::string &text, uint64_t budget,
                  const std::string &policy = "planned", uint64_t reserve = 0) {
    Outcome out;
    mlir::ScopedDiagnosticHandler handler(
        &context, [&](mlir::Diagnostic &diagnostic) {
          out.error += diagnostic.str() + "\n";
          return mlir::success();
        });
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!module) {
      return out;
    }
    if (readsPastTheCache) {
      memory::Rates rates;
      rates.cachedFileBytes = 0;
      memory::setRates(*module, rates);
    }
    PlanPipelineOptions options;
    options.budget = budget;
    options.policy = policy;
    options.reserve = reserve;
    mlir::PassManager manager(&context);
    buildPlanPipeline(manager, options);
    if (mlir::failed(manager.run(*module))) {
      out.infeasible = emit::getInfeasible(*module);
      return out;
    }
    Result<plan::Plan> plan = emit::emitPlan(*module);
    if (!plan) {
      out.error = plan.error().message;
      return out;
    }
    out.plan = std::move(*plan);
    // The packer's part: places in the weights file.
    uint64_t offset = plan::kSegmentAlignment;
    for (plan::Segment &segment : out.plan->segments) {
      segment.offset = offset;
      offset += (segment.size + plan::kSegmentAlignment - 1) /
                plan::kSegmentAlignment * plan::kSegmentAlignment;
    }
    out.plan->totals.weightsBytes = offset;
    out.plan->context = 512;
    out.plan->vocabulary = 1000;
    out.plan->arch = "x86-64-v3";
    out.plan->weightsFile = "m.weights";
    return out;
  }

  void expectSafe(const plan::Plan &plan) {
    Result<void> valid = plan::validate(plan);
    EXPECT_TRUE(valid) << valid.error().message;
    Result<plan::Certificate> proof = plan::check(plan);
    ASSERT_TRUE(proof) << proof.error().message;
    const plan::Totals &t = plan.totals;
    EXPECT_EQ(t.arenaBytes, t.stateBytes + t.residentWeightBytes +
                                t.constantBytes + t.activationPeakBytes +
                                t.stagingBytes + t.workspaceBytes);
    EXPECT_EQ(t.deviceBytes, t.arenaBytes + t.reserveBytes);
    EXPECT_LE(t.deviceBytes, t.budgetBytes);
    EXPECT_LE(proof->transitions.highWaterBytes, t.arenaBytes);
  }

  mlir::MLIRContext context;
};

uint64_t streamed(const plan::Plan &plan) {
  uint64_t bytes = 0;
  for (const plan::Entry &entry : plan.entries) {
    bytes += entry.streamedBytes;
  }
  return bytes;
}

} // namespace

TEST_F(Emit, UnboundedKeepsEverything) {
  Outcome out = compile(llama(2), UINT64_MAX);
  ASSERT_TRUE(out.plan) << out.error;
  expectSafe(*out.plan);
  EXPECT_EQ(streamed(*out.plan), 0u);
  EXPECT_EQ(out.plan->totals.stagingBytes, 0u);
  // emb 1024 x 128, final, cos 512 x 16; per layer a norm, four 128 x 128 and
  // two 128 x 384 matrices; 4 bytes each. The final norm is not used.
  uint64_t layer = 128 * 4 + 4 * 128 * 128 * 4 + 2 * 128 * 384 * 4;
  EXPECT_EQ(out.plan->totals.residentWeightBytes,
            1024 * 128 * 4 + 512 * 16 * 4 + 2 * layer);
  EXPECT_EQ(out.plan->totals.stateBytes, 4u * 4 * 512 * 32 * 4);
  ASSERT_EQ(out.plan->entries.size(), 2u);
  const plan::Entry &prefill = out.plan->entries[0];
  EXPECT_EQ(prefill.name, "prefill");
  ASSERT_EQ(prefill.inputs.size(), 1u);
  EXPECT_EQ(prefill.inputs[0].role, plan::PortRole::Tokens);
  ASSERT_EQ(prefill.outputs.size(), 5u); // logits and four states
  EXPECT_EQ(prefill.outputs[0].role, plan::PortRole::Logits);
  EXPECT_EQ(prefill.outputs[1].role, plan::PortRole::State);
  ASSERT_EQ(prefill.symbols.size(), 2u);
  EXPECT_TRUE(prefill.symbols[0].isPast);
  ASSERT_NE(prefill.newTokens, plan::kNone);
  EXPECT_EQ(prefill.exprs[prefill.newTokens].op, plan::ExprOp::Symbol);
}

TEST_F(Emit, EveryBudgetFromTheMinimumOnIsKept) {
  std::string text = llama(2);
  Outcome all = compile(text, UINT64_MAX);
  ASSERT_TRUE(all.plan) << all.error;
  uint64_t most = all.plan->totals.deviceBytes;
  Outcome none = compile(text, 0);
  ASSERT_FALSE(none.plan);
  ASSERT_TRUE(none.infeasible) << none.error;
  uint64_t minimum = none.infeasible->minimumBytes;
  EXPECT_EQ(minimum % 4096, 0u);
  EXPECT_EQ(minimum, all.plan->totals.minimumBytes);
  EXPECT_LT(minimum, most);
  EXPECT_FALSE(none.infeasible->peakStep.empty());
  EXPECT_FALSE(none.infeasible->peakTensors.empty());
  EXPECT_FALSE(none.infeasible->advice.empty());

  EXPECT_TRUE(compile(text, minimum - 4096).infeasible);
  EXPECT_TRUE(compile(text, minimum - 1).infeasible);
  uint64_t previous = UINT64_MAX;
  for (int i = 0; i <= 24; ++i) {
    uint64_t budget = minimum + (most - minimum) * i / 24;
    Outcome out = compile(text, budget);
    ASSERT_TRUE(out.plan) << "budget " << budget << ": " << out.error;
    SCOPED_TRACE("budget " + std::to_string(budget));
    expectSafe(*out.plan);
    EXPECT_EQ(out.plan->totals.minimumBytes, minimum);
    EXPECT_EQ(streamed(*out.plan) == 0, budget >= most);
    previous = std::min(previous, streamed(*out.plan));
  }
  EXPECT_EQ(previous, 0u);
}

TEST_F(Emit, MoreBudgetStreamsLess) {
  std::string text = llama(4);
  uint64_t most = compile(text, UINT64_MAX).plan->totals.deviceBytes;
  uint64_t minimum = compile(text, 0).infeasible->minimumBytes;
  uint64_t atMinimum = streamed(*compile(text, minimum).plan);
  uint64_t half = streamed(*compile(text, (minimum + most) / 2).plan);
  uint64_t nearly = streamed(*compile(text, most - 4096).plan);
  EXPECT_LT(half, atMinimum * 7 / 10);
  EXPECT_LT(nearly, half);
  EXPECT_GT(nearly, 0u);
}

TEST_F(Emit, CopiesRunBesideCompute) {
  // A copy is under way while launches run: between its signal and the wait for
  // it. Where people place by hand, each copy is waited for at once.
  readsPastTheCache = true;
  std::string text = llama(4);
  uint64_t most = compile(text, UINT64_MAX).plan->totals.deviceBytes;
  uint64_t minimum = compile(text, 0).infeasible->minimumBytes;
  auto overlapped = [&](uint64_t budget, const std::string &policy) {
    Outcome out = compile(text, budget, policy);
    int launches = 0;
    std::set<uint32_t> underWay;
    for (const plan::Step &step : out.plan->entries[1].steps) {
      bool isCopy = step.stream == plan::Stream::Copy;
      if (step.kind == plan::StepKind::Signal && isCopy) {
        underWay.insert(step.event);
      } else if (step.kind == plan::StepKind::Wait && !isCopy) {
        underWay.erase(step.event);
      } else if (step.kind == plan::StepKind::Launch && !underWay.empty()) {
        ++launches;
      }
    }
    return launches;
  };
  EXPECT_EQ(overlapped((minimum + most) / 2, "naive"), 0);
  EXPECT_GT(overlapped((minimum + most) / 2, "planned"), 4);
}

TEST_F(Emit, NaivePlansAreSafe) {
  std::string text = llama(2);
  uint64_t most = compile(text, UINT64_MAX).plan->totals.deviceBytes;
  uint64_t minimum = compile(text, 0).infeasible->minimumBytes;
  for (int i = 0; i <= 4; ++i) {
    uint64_t budget = minimum + (most - minimum) * i / 4;
    Outcome out = compile(text, budget, "naive");
    ASSERT_TRUE(out.plan) << out.error;
    expectSafe(*out.plan);
  }
}

TEST_F(Emit, ReserveCountsAgainstTheBudget) {
  std::string text = llama(1);
  uint64_t minimum = compile(text, 0).infeasible->minimumBytes;
  Outcome out = compile(text, minimum + 65536, "planned", 65536);
  ASSERT_TRUE(out.plan) << out.error;
  EXPECT_EQ(out.plan->totals.reserveBytes, 65536u);
  expectSafe(*out.plan);
  EXPECT_TRUE(
      compile(text, minimum + 65536 - 4096, "planned", 65536).infeasible);
}

TEST_F(Emit, TheSameInputGivesTheSamePlan) {
  std::string text = llama(2);
  uint64_t minimum = compile(text, 0).infeasible->minimumBytes;
  uint64_t budget = minimum + 300000;
  Outcome a = compile(text, budget);
  Outcome b = compile(text, budget);
  ASSERT_TRUE(a.plan && b.plan);
  ASSERT_EQ(a.plan->buffers.size(), b.plan->buffers.size());
  for (size_t i = 0; i < a.plan->buffers.size(); ++i) {
    EXPECT_EQ(a.plan->buffers[i].name, b.plan->buffers[i].name);
    EXPECT_EQ(a.plan->buffers[i].offset, b.plan->buffers[i].offset);
  }
}

TEST_F(Emit, ExpressionsAreShared) {
  Outcome out = compile(llama(1), UINT64_MAX);
  ASSERT_TRUE(out.plan) << out.error;
  for (const plan::Entry &entry : out.plan->entries) {
    std::set<std::tuple<int, uint32_t, uint32_t, int64_t>> seen;
    for (size_t i = 0; i < entry.exprs.size(); ++i) {
      const plan::ExprNode &node = entry.exprs[i];
      EXPECT_TRUE(
          seen.emplace(static_cast<int>(node.op), node.a, node.b, node.value)
              .second);
      if (node.op != plan::ExprOp::Constant &&
          node.op != plan::ExprOp::Symbol) {
        EXPECT_LT(node.a, i);
        EXPECT_LT(node.b, i);
      }
    }
  }
}
