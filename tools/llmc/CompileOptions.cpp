//===- CompileOptions.cpp - Flags of compile and check
//---------------------===//

#include "tools/llmc/CompileOptions.h"

#include "runtime/support/Size.h"

#include <charconv>

namespace llmc::tools {

using namespace compiler;

void addModelFlags(CLI::App &app, CompileFlags &flags) {
  app.add_option("model", flags.options.model,
                 "An .onnx file, or a folder with one in it")
      ->required()
      ->type_name("MODEL");
  app.add_option("--target", flags.options.target, "Device to plan for")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--arch", flags.arch,
                 "Processor to plan for: native, x86-64-v2, x86-64-v3, "
                 "x86-64-v4 or a name such as znver4; given several times, the "
                 "plan carries code for each")
      ->type_name("NAME");
  app.add_option("--ctx", flags.context, "Tokens that the state holds")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_option("--batch", flags.options.batch, "Sequences side by side")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--prefill-chunk", flags.prefillChunk,
                 "Most tokens of a prompt that are processed at once; auto: as "
                 "many as the budget allows, up to " +
                     std::to_string(compiler::kLargestAutoChunk))
      ->capture_default_str()
      ->type_name("N|auto");
  app.add_option("--dim", flags.dims,
                 "Value or bounds of a symbolic dimension of the model")
      ->type_name("NAME=N|LO..HI");
  app.add_option("--logits", flags.logits,
                 "Positions of a prompt to compute logits for")
      ->check(CLI::IsMember({"last", "all"}))
      ->capture_default_str();
  app.add_option("--quantize", flags.quantize,
                 "Round weights to int8, one scale per output channel")
      ->check(CLI::IsMember({"none", "int8"}))
      ->capture_default_str();
  app.add_option("--kv-type", flags.options.kvType,
                 "Element type of the state (auto: the model's own)")
      ->check(CLI::IsMember({"auto", "f32", "f16", "bf16"}))
      ->capture_default_str();
  CLI::Option *window =
      app.add_option("--kv-window", flags.options.kvWindow,
                     "Attention sees the last N tokens only, and the state "
                     "holds no more than that and one chunk [all]")
          ->check(CLI::PositiveNumber)
          ->type_name("N");
  app.add_option("--kv-sink", flags.options.kvSink,
                 "With --kv-window, the first N tokens stay in sight too [0]")
      ->check(CLI::PositiveNumber)
      ->needs(window)
      ->type_name("N");
  app.add_option("--kv-resident", flags.kvResident,
                 "Tokens of each KV cache that stay on the device; the others "
                 "lie in a file (--spill-dir of run and generate) and come "
                 "layer by layer; auto: as many as the budget allows [all]")
      ->type_name("N|auto");
}

void addPlanningFlags(CLI::App &app, CompileFlags &flags) {
  app.add_option("--policy", flags.policy,
                 "naive: stream whole layers in order, for comparison")
      ->check(CLI::IsMember({"planned", "naive"}))
      ->capture_default_str();
  app.add_option("--order", flags.order,
                 "Order of the steps; model: the model's own, for comparison")
      ->check(CLI::IsMember({"planned", "model"}))
      ->capture_default_str();
  app.add_option("--swap", flags.swap,
                 "off: activations stay from their first use to their last, "
                 "for comparison")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--codegen", flags.codegen,
                 "off: fused regions are interpreted, not compiled; explain: "
                 "say which are, and why")
      ->check(CLI::IsMember({"on", "off", "explain"}))
      ->capture_default_str();
  app.add_option("--fusion", flags.fusion,
                 "off: norms, rotations, biases and element-wise operators "
                 "stay the model's own, for comparison")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--in-place", flags.inPlace,
                 "off: every value gets a buffer of its own, for comparison")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--hardware", flags.options.hardware,
                 "Plan for the machine of this profile (see llmc probe) [the "
                 "reference CPU]")
      ->type_name("FILE");
}

void addOutputFlags(CLI::App &app, CompileFlags &flags) {
  app.add_option("--vram", flags.vram,
                 "Memory budget of the device: 12G, 800M, 6GB, auto or "
                 "unbounded")
      ->required()
      ->type_name("SIZE");
  app.add_option("-o,--output", flags.options.output,
                 "The plan [MODEL with .plan]")
      ->type_name("FILE");
  app.add_option("--weights", flags.options.weights,
                 "The packed weights [NAME.weights beside the plan]")
      ->type_name("FILE");
  app.add_option("--tokenizer", flags.options.tokenizer,
                 "tokenizer.json or tokenizer.model [found beside the model]")
      ->type_name("FILE");
  addPlanningFlags(app, flags);
  app.add_option("--emit", flags.emit,
                 "plan, exe (runtime, plan and weights in one file), or "
                 "print the graph or plan-ir")
      ->check(CLI::IsMember({"plan", "exe", "graph", "plan-ir"}))
      ->capture_default_str();
  app.add_option("--until-after", flags.options.untilAfter,
                 "Stop after this stage and print the IR")
      ->type_name("STAGE");
  app.add_option("--dump-stages", flags.options.dumpStages,
                 "Write the IR after every stage into this folder")
      ->type_name("DIR");
}

namespace {

Error invalid(const std::string &flag, const std::string &found,
              const std::string &expected) {
  return {ErrorCode::InvalidArgument,
          flag + ": found '" + found + "', expected " + expected};
}

bool parseInteger(std::string_view text, int64_t &value) {
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

Result<void> parseDim(const std::string &text,
                      std::map<std::string, DimBounds> &dims) {
  constexpr const char *expected = "NAME=N or NAME=LO..HI";
  size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return invalid("--dim", text, expected);
  }
  std::string_view value = std::string_view(text).substr(equals + 1);
  DimBounds bounds;
  size_t dots = value.find("..");
  bool good = dots == std::string_view::npos
                  ? parseInteger(value, bounds.lower) &&
                        parseInteger(value, bounds.upper)
                  : parseInteger(value.substr(0, dots), bounds.lower) &&
                        parseInteger(value.substr(dots + 2), bounds.upper);
  if (!good || bounds.lower > bounds.upper) {
    return invalid("--dim", text, expected);
  }
  dims[text.substr(0, equals)] = bounds;
  return {};
}

} // namespace

Result<CompileOptions> toOptions(const CompileFlags &flags) {
  CompileOptions out = flags.options;
  if (flags.vram == "auto") {
    out.budget.kind = Budget::Kind::Auto;
  } else if (flags.vram == "unbounded" || flags.vram.empty()) {
    out.budget.kind = Budget::Kind::Unbounded;
  } else if (std::optional<uint64_t> bytes = parseSize(flags.vram)) {
    out.budget = {Budget::Kind::Bytes, *bytes};
  } else {
    return invalid("--vram", flags.vram,
                   "a size such as 12G, 800M or 6GB, auto or unbounded");
  }
  if (flags.prefillChunk == "auto") {
    out.prefillChunk = compiler::kLargestAutoChunk;
    out.autoChunk = true;
  } else if (!parseInteger(flags.prefillChunk, out.prefillChunk) ||
             out.prefillChunk < 1) {
    return invalid("--prefill-chunk", flags.prefillChunk,
                   "a positive number or auto");
  }
  if (!flags.arch.empty()) {
    out.archs = flags.arch;
  }
  out.codegen = flags.codegen != "off";
  out.explainCodegen = flags.codegen == "explain";
  if (flags.kvResident == "auto") {
    out.kvResident = CompileOptions::kKeepWhatFits;
  } else if (!flags.kvResident.empty()) {
    if (!parseInteger(flags.kvResident, out.kvResident) || out.kvResident < 0) {
      return invalid("--kv-resident", flags.kvResident,
                     "a number of tokens, or auto");
    }
    if (out.kvWindow != 0) {
      return invalid("--kv-resident", flags.kvResident,
                     "auto, or left out: the state of --kv-window is no longer "
                     "than the window and stays");
    }
  }
  if (flags.context > 0) {
    out.context = flags.context;
  }
  for (const std::string &dim : flags.dims) {
    if (Result<void> done = parseDim(dim, out.dims); !done) {
      return done.error();
    }
  }
  out.allLogits = flags.logits == "all";
  out.quantize = flags.quantize == "int8" ? Quantize::Int8 : Quantize::None;
  out.policy = flags.policy == "naive" ? Policy::Naive : Policy::Planned;
  out.reorder = flags.order == "planned";
  out.fusion = flags.fusion == "on";
  out.inPlace = flags.inPlace == "on";
  out.swap = flags.swap == "on";
  out.emit = flags.emit == "exe"       ? Emit::Exe
             : flags.emit == "graph"   ? Emit::Graph
             : flags.emit == "plan-ir" ? Emit::PlanIR
                                       : Emit::Plan;
  return out;
}

} // namespace llmc::tools
