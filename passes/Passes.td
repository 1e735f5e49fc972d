//===- Passes.td - The only registration of passes ---------*- tablegen -*-===//

#ifndef LLMC_PASSES_TD
#define LLMC_PASSES_TD

include "mlir/Pass/PassBase.td"

//===-- Graph ---------------------------------------------------------------===//

def GraphCanonicalizePass : Pass<"graph-canonicalize", "::mlir::ModuleOp"> {
  let summary = "All canonicalizations, and products with weights as linear";
  let description = [{
    A product with a rank-2 weight, also behind transposes and widening casts,
    becomes graph.linear; one with a dequantized weight graph.quant_linear; rows
    of a dequantized table graph.quant_gather.

        %t = graph.transpose %w [1, 0]
        %y = graph.matmul %x, %t          =>  %y = graph.linear %x, %w {weight_layout = "nk"}
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def GraphCSEPass : Pass<"graph-cse", "::mlir::ModuleOp"> {
  let summary = "Common subexpressions, whatever node of the model they stem from";
  let description = [{
    MLIR's own pass takes `graph.name` for a difference, and with it every
    layer's rotary tables and masks.
  }];
}

def RecoverNormsPass : Pass<"recover-norms", "::mlir::ModuleOp"> {
  let summary = "RMSNorm and LayerNorm from their element-wise spellings";
  let description = [{
    x * rsqrt(mean(x^2) + eps) * scale, also as x / sqrt(..), with casts between
    float types around any part.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverActivationsPass : Pass<"recover-activations", "::mlir::ModuleOp"> {
  let summary = "silu, quick_gelu, gelu_erf and gelu_tanh from their spellings";
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverRopePass : Pass<"recover-rope", "::mlir::ModuleOp"> {
  let summary = "Rotary embeddings: rotate-half, two halves, interleaved, partial";
  let description = [{
        %a = x * cos
        %b = concat(-x[.., h:], x[.., :h]) * sin
        %y = %a + %b                      =>  %y = graph.rope %x, %cos, %sin
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverAttentionPass : Pass<"recover-attention", "::mlir::ModuleOp"> {
  let summary = "softmax(q k^T * scale + mask) v as one op, masks proved causal";
  let description = [{
    Scales on the scores, on q and on k are multiplied; repeated key and value
    heads (GQA) are read unrepeated; guards against NaN go. A mask that is
    proved to be causal (or a sliding window, or nothing) goes; any other stays
    as `bias`.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def RecoverStatePass : Pass<"recover-state", "::mlir::ModuleOp"> {
  let summary = "past/present pairs become states that are updated in place";
  let description = [{
    A pair whose present is concat(past, new), also for a combined
    [2, ..] tensor of keys and values, becomes a graph.state that all entries
    share; argument and result vanish. Attention reads the cache itself (of a
    combined one the slices that are its keys and values), other readers a dense
    copy of it. Where a pair is not of this form, it stays and a
    warning names the node.

        %t = graph.concat 2, %past, %new
        graph.attention %q, %t, ..        =>  %c = graph.kv_append @past, %new at "past"
                                              graph.attention %q, %c, ..
  }];
  let options = [
    Option<"context", "context", "int64_t", "0",
           "Tokens a state must hold; 0: the module's graph.context, else the "
           "largest that the entries' bounds allow">,
    Option<"blockTokens", "block-tokens", "int64_t", "64",
           "Tokens of one block">,
    Option<"type", "type", "std::string", "\"auto\"",
           "Element type of float states: auto (the model's), f32, f16, bf16">
  ];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def LastLogitsPass : Pass<"last-logits", "::mlir::ModuleOp"> {
  let summary = "Logits of the last position only";
  let description = [{
    The result with the role "logits" [B, S, V] becomes [B, 1, V]; what only
    serves it is computed for one row.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def LimitStatePass : Pass<"limit-state", "::mlir::ModuleOp"> {
  let summary = "Attention over caches sees a window and the first tokens; states shrink to it";
  let description = [{
    Where only attention reads a cache, its window becomes `window`, and it also
    sees the first `sink` tokens. A window of the model's own that is no larger
    stays, without sinks. The state becomes a ring of blocks that holds the
    window and what one entry can add (CacheLimits.h), where that is less:

        graph.attention %q, %k, %v {window = 0 ..}
                            =>  {window = 256, graph.limit = array<i64: 4, 1> ..}
  }];
  let options = [
    Option<"window", "window", "int64_t", "0", "Tokens; 0: all">,
    Option<"sink", "sink", "int64_t", "0", "First tokens that stay in sight">
  ];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def QuantizeWeightsPass : Pass<"quantize-weights", "::mlir::ModuleOp"> {
  let summary = "Linear layers with int8 weights, one scale per output";
  let options = [
    Option<"type", "type", "std::string", "\"none\"", "none or int8">,
    Option<"minElements", "min-elements", "int64_t", "4096",
           "Smaller weights stay as they are">
  ];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def FuseProductsPass : Pass<"fuse-products", "::mlir::ModuleOp"> {
  let summary = "Bias, activation, residual and gates into products; products of one input into one";
  let description = [{
        act(x G^T) * (x U^T)          gated_linear
        x W^T + r                     linear residual(r)
        x Q^T, x K^T, x V^T           split_linear

    The last, while the results are at most four times as large as x. A joined
    weight replaces those it was made of, so every entry must use them together.
  }];
  let options = [
    Option<"explain", "explain", "bool", /*default=*/"false",
           "A remark for each product that could be joined and is not">
  ];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def FusePass : Pass<"fuse", "::mlir::ModuleOp"> {
  let summary = "Element-wise trees into one op";
  let description = [{
    A tree is an element-wise op with those producers of the same dimensions
    that nobody else reads: at most 16 inputs and 64 instructions, and nothing
    is computed twice.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

def VerifyGraphPass : Pass<"verify-graph", "::mlir::ModuleOp"> {
  let summary = "Phase verifier: what must hold before lowering to a plan";
  let description = [{
    Every entry has bounds for each symbol its dimensions use, so that every
    tensor has a largest size; weights and states named by ops exist.
  }];
  let dependentDialects = ["::llmc::graph::GraphDialect"];
}

//===-- Memory: graph -> plan -------------------------------------------------===//

def LowerToPlanPass : Pass<"lower-to-plan", "::mlir::ModuleOp"> {
  let summary = "Turn graph entries into linear schedules over buffers";
  let description = [{
    One launch (or a few strided copies) per op, one buffer per value, sized at
    the upper bound of its dimensions; reshapes share their operand's buffer.
    Weights become segments of the weights file and resident buffers.

        %1 = graph.rms_norm %0 {epsilon = 1.0e-5, trailing = 1} : ...
    becomes
        plan.launch "rms_norm"(read @main.x : f32[4, 64],
            write @main.norm : f32[4, 64]) ints [1, 0] floats [1.0e-5] name "norm"
  }];
  let dependentDialects = ["::llmc::planir::PlanDialect"];
}

def PlanOrderPass : Pass<"plan-order", "::mlir::ModuleOp"> {
  let summary = "Reorder the steps of each entry for a low peak of live bytes";
  let description = [{
    Steps move only as far as what they read and write allows. The peak counts
    what plan-in-place will save. The model's own order stays unless another
    one lowers the peak of the entry; `plan.peak` on an entry that was changed
    says by how much:

        plan.entry @main .. attributes {plan.peak = {model = 640, ordered = 512}}
  }];
  let options = [
    Option<"nodes", "nodes", "uint64_t", /*default=*/"0",
           "Effort of the search per entry, in nodes; 0: the default">,
    Option<"inPlace", "in-place", "bool", /*default=*/"true",
           "Count on plan-in-place">,
  ];
}

def PlanInPlacePass : Pass<"plan-in-place", "::mlir::ModuleOp"> {
  let summary = "Let buffers share a place where no step tells the difference";
  let description = [{
    A launch writes its result over an operand that dies there; producers write
    into the result of a concatenation, readers of a slice read what it was cut
    from, and the copies between are dropped:

        plan.launch "pointwise"(read @e.a : f32[16], write @e.b : f32[16]) .. name "relu"
        plan.launch "strided_copy"(read @e.b : f32[16], update @e.c : f32[32]) .. name "concat"
    becomes (with @e.a where @e.c ends)
        plan.launch "pointwise"(read @e.c + 64 : f32[16], write @e.c + 64 : f32[16]) .. name "relu"

    With decisions-only nothing is rewritten: each launch with a candidate gets
    an attribute `in_place`, one line per candidate, that says what would
    happen or why not.
  }];
  let options = [
    Option<"decisionsOnly", "decisions-only", "bool", /*default=*/"false",
           "Only say, as attributes, what would be done and what not">,
  ];
}

def PlanLivenessPass : Pass<"plan-liveness", "::mlir::ModuleOp"> {
  let summary = "Give every buffer of an entry its lifetime [start, end)";
  let description = [{
    From the first step that touches the buffer to the last; inputs live from
    step 0, outputs to the end of the entry.
  }];
}

def PlanSpillPass : Pass<"plan-spill", "::mlir::ModuleOp"> {
  let summary = "Keep the first blocks of states, take the others from below";
  let description = [{
    A state that one append and one attention of each entry use, in blocks of a
    multiple of 64 tokens, can be cut: its first blocks stay in its buffer, the
    others lie in a buffer of the disk tier and come through slots, window by
    window. How long before its use a window's copy begins is plan-place's to say:

        plan.launch "kv_append"(read @e.k, update @state.k : f32[1, 4, 512, 8]) params ["past"] ints [64, 2]
        plan.launch "attention"(read @e.q, read @state.k, read @state.k, write @e.y) ..
    becomes, with two blocks resident and two windows of three,
        plan.launch "kv_append"(.., update @state.k : f32[1, 4, 128, 8]) params ["past"] ints [64, 2, 0]
        plan.launch "attention"(.., write @e.carry) ints [.., 0, 1, 0]
        plan.restore 24576 of @kv.k + 2 to @e.below
        plan.launch "kv_append"(.., update @e.below : f32[1, 4, 192, 8]) params ["past"] ints [64, 2, 128]
        plan.launch "attention"(.., update @e.carry) ints [.., 128, 0, 0]
        plan.spill 24576 of @kv.k + 2 from @e.below
        (and so on; the last part reads the carry and writes @e.y)

    With resident = -1 nothing is cut; with -2 nothing is while the smallest plan
    fits the budget, else as little as makes it fit. The module's attribute `plan.kv_resident`
    then says how many tokens stay.
  }];
  let options = [
    Option<"resident", "resident", "int64_t", /*default=*/"-1",
           "Tokens of each state that stay, rounded up to blocks; -1, -2: see above">,
    Option<"windows", "windows", "int64_t", /*default=*/"4",
           "Windows that the rest of a state is cut into">,
    Option<"budget", "budget", "uint64_t", /*default=*/"UINT64_MAX",
           "Bytes of arena and reserve together">,
    Option<"reserve", "reserve", "uint64_t", /*default=*/"0",
           "Bytes kept free outside of the arena">,
  ];
}

def PlanSwapPass : Pass<"plan-swap", "::mlir::ModuleOp"> {
  let summary = "Let activations leave where nothing else meets the budget";
  let description = [{
    If the smallest plan does not fit the budget, activations that no step uses
    for a while are swapped out to the disk tier and back in, or made again,
    until it does (SwapChoice.h):

        plan.launch .. (read @e.x, ..)
        ..
        plan.launch .. (read @e.x, ..)
    becomes
        plan.launch .. (read @e.x, ..)
        plan.swap_out 65536 of @e.x + 0 to @e.x.below
        ..
        plan.signal 1 on compute
        plan.wait 1 on copy
        plan.swap_in 65536 of @e.x.back + 0 from @e.x.below
        plan.signal 0 on copy
        ..
        plan.wait 0 on compute
        plan.launch .. (read @e.x.back, ..)

    A smallest plan of fewer bytes than without is left in `plan.least`, whether
    or not the budget asks for it; what was done in `plan.swaps`.
  }];
  let options = [
    Option<"budget", "budget", "uint64_t", /*default=*/"UINT64_MAX",
           "Bytes of arena and reserve together">,
    Option<"reserve", "reserve", "uint64_t", /*default=*/"0",
           "Bytes kept free outside of the arena">,
  ];
}

def PlanPlacePass : Pass<"plan-place", "::mlir::ModuleOp"> {
  let summary = "Decide under the budget which weights stay and which stream";
  let description = [{
    If everything fits, nothing streams. Else activations, state, constants and
    weights of at most 64 KiB stay, as many of the other weights as fit do, and
    the rest is copied from the weights file before each use, products in pieces
    of their outputs. How they are cut and how early which copy starts is
    described in PlacementModel.h:

        plan.launch "linear"(.., read @weight.w : f32[128, 64], write @decode.y : ..) ints [0, 0]
    becomes, at the minimum,
        plan.signal 0 on compute
        plan.wait 0 on copy
        plan.copy 16384 from @segment.w + 0 to @decode.stream.w + 0
        plan.signal 1 on copy
        plan.wait 1 on compute
        plan.launch "linear"(.., read @decode.stream.w : f32[64, 64], update @decode.y : ..) ints [0, 0, 0]
        (the same again with + 16384 and ints [0, 0, 64])

    The smallest budget that can be met is computed without looking at the
    budget; below it the pass fails and the module's attribute
    `plan.infeasible` holds minimum_bytes, peak_step, peak_tensors and advice.
  }];
  let options = [
    Option<"budget", "budget", "uint64_t", /*default=*/"UINT64_MAX",
           "Bytes of arena and reserve together; the default is unbounded">,
    Option<"reserve", "reserve", "uint64_t", /*default=*/"0",
           "Bytes kept free outside of the arena">,
    Option<"policy", "policy", "std::string", /*default=*/"\"planned\"",
           "planned, or naive: the first weights stay, the rest loads on use">,
  ];
}

def PlanCostPass : Pass<"plan-cost", "::mlir::ModuleOp"> {
  let summary = "Annotate steps and entries with what the cost model says";
  let description = [{
    For people and tests; decisions ask the model itself (CostModel.h). Sizes
    are those of CostModel::typical(), the machine that of `plan.rates`:

        plan.launch "linear"(..) .. name "w" {cost = {bytes = 17408, operations
            = 8192, nanoseconds = 610, bound = "memory"}}
        plan.entry @decode .. attributes {plan.cost = {nanoseconds = 4210,
            compute = 3100, link = 4100, stall = 1110, bound = "link"}}
  }];
}

def PlanAssignAddressesPass
    : Pass<"plan-assign-addresses", "::mlir::ModuleOp"> {
  let summary = "Give every buffer its offset in the arena";
  let description = [{
    State, resident weights and constants lie at the bottom of the arena, the
    same for all entries; each entry lays out its own buffers above. Writes the
    module's attribute `plan.totals`, whose parts add up to the arena.
  }];
}

def VerifyPlanPass : Pass<"verify-plan", "::mlir::ModuleOp"> {
  let summary = "Phase verifier: the placed plan is whole and safe";
  let description = [{
    Every symbol exists; every operand lies within its buffer at the upper
    bounds of its dimensions; buffers are touched only while live, are written
    before they are read, and share no byte with another live one; a copy is
    complete before its reader starts; the sum stays inside the budget.
  }];
}

#endif // LLMC_PASSES_TD
