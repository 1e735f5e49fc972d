// RUN: llmc-opt %s --split-input-file --verify-plan --verify-diagnostics

// expected-error @below {{'plan.buffer' op has no offset: plan-assign-addresses comes first}}
plan.buffer @e.x activation device size 64 live [0, 1) in @e

// -----
plan.segment @segment.w size 128 {kind = "raw"} from [@w]
// expected-error @below {{'plan.buffer' op is not as large as its segment}}
plan.buffer @weight.w weight device size 64 at 0 from @segment.w

// -----
// expected-error @below {{'plan.state' op names no state buffer: @state.k}}
plan.state @kv.k buffer @state.k "f32" outer [1] capacity 64 by 64 inner [16] input "past" output "present"

// -----
// expected-error @below {{'plan.entry' op port "x" has no input buffer of this entry}}
plan.entry @e symbols {} inputs [{name = "x", role = "generic", dtype = "f32", buffer = @e.x, dims = [16]}] outputs [] derived {} {
}

// -----
// expected-error @below {{'plan.entry' op port "k" names no plan.state: @kv.k}}
plan.entry @e symbols {} inputs [] outputs [{name = "k", role = "state", dtype = "f32", state = @kv.k, dims = [16]}] derived {} {
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op names no plan.buffer: @e.x}}
  plan.launch "fill"(write @e.x : f32[16]) floats [0.0] name "0"
}

// -----
plan.buffer @f.x activation device size 64 at 0 live [0, 1) in @f
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op @f.x belongs to another entry, @f}}
  plan.launch "fill"(write @f.x : f32[16]) floats [0.0] name "0"
}

// -----
module attributes {plan.totals = {arena = 64 : i64}} {
  plan.buffer @e.x activation device size 64 at 0 live [0, 1) in @e
  plan.entry @e symbols {} inputs [] outputs [] derived {} {
    plan.launch "fill"(write @e.x : f32[16]) floats [0.0] name "0"
    // expected-error @below {{'plan.launch' op step 1 touches @e.x, which is live in [0, 1)}}
    plan.launch "fill"(write @e.x : f32[16]) floats [0.0] name "1"
  }
}

// -----
// The size counts at the upper bound: 4 * 17.
plan.buffer @e.x activation device size 64 at 0 live [0, 1) in @e
plan.entry @e symbols {n = [1, 17]} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op @e.x is used up to byte 68, its size is 64}}
  plan.launch "fill"(write @e.x : f32["n"]) floats [0.0] name "0"
}

// -----
plan.buffer @e.x activation device size 64 at 0 live [0, 1) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op @e.x has dimensions without an upper bound}}
  plan.launch "fill"(write @e.x : f32["n"]) floats [0.0] name "0"
}

// -----
plan.buffer @e.x activation device size 64 at 0 live [0, 1) in @e
plan.buffer @e.y activation device size 64 at 64 live [0, 1) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op reads @e.x before it is written}}
  plan.launch "softmax"(read @e.x : f32[16], write @e.y : f32[16]) ints [0, 0] name "0"
}

// -----
plan.buffer @constant.0 constant device size 64 at 0 data dense<0.0> : tensor<16xf32>
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op writes @constant.0, which is constant}}
  plan.launch "fill"(write @constant.0 : f32[16]) floats [0.0] name "0"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  plan.signal 0 on compute
  // expected-error @below {{'plan.signal' op event 0 is signalled twice}}
  plan.signal 0 on copy
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.wait' op event 0 has not been signalled}}
  plan.wait 0 on copy
}

// -----
plan.segment @segment.w size 64 {kind = "raw"} from [@w]
plan.buffer @e.s staging device size 128 at 0 live [0, 1) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.copy' op reads up to byte 128 of @segment.w, its size is 64}}
  plan.copy 128 from @segment.w + 0 to @e.s + 0
}

// -----
plan.segment @segment.w size 64 {kind = "raw"} from [@w]
plan.buffer @e.s staging device size 64 at 0 live [0, 1) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.copy' op writes up to byte 68 of @e.s, its size is 64}}
  plan.copy 64 from @segment.w + 0 to @e.s + 4
}

// -----
// A reader that does not wait for the copy.
plan.segment @segment.w size 64 {kind = "raw"} from [@w]
plan.buffer @e.s staging device size 64 at 0 live [0, 3) in @e
plan.buffer @e.y activation device size 64 at 64 live [2, 3) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  plan.copy 64 from @segment.w + 0 to @e.s + 0
  plan.signal 0 on copy
  // expected-error @below {{'plan.launch' op reads @e.s without waiting for its copy}}
  plan.launch "softmax"(read @e.s : f32[16], write @e.y : f32[16]) ints [0, 0] name "0"
}

// -----
// A copy that does not wait for the step before it, whose bytes it may take.
plan.segment @segment.w size 64 {kind = "raw"} from [@w]
plan.buffer @e.y activation device size 64 at 0 live [0, 1) in @e
plan.buffer @e.s staging device size 64 at 0 live [1, 2) in @e
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  plan.launch "fill"(write @e.y : f32[16]) floats [0.0] name "0"
  // expected-error @below {{'plan.copy' op may run before the compute steps in front of it are done}}
  plan.copy 64 from @segment.w + 0 to @e.s + 0
}

// -----
module attributes {plan.totals = {arena = 128 : i64}} {
  // expected-note @below {{buffer 0 is @e.x}}
  plan.buffer @e.x activation device size 128 at 0 live [0, 2) in @e
  // expected-note @below {{buffer 1 is @e.y}}
  plan.buffer @e.y activation device size 64 at 64 live [1, 2) in @e
  // expected-error @below {{'plan.entry' op buffer 0 and buffer 1 overlap in memory at step 1}}
  plan.entry @e symbols {} inputs [] outputs [] derived {} {
    plan.launch "fill"(write @e.x : f32[16]) floats [0.0] name "0"
    plan.launch "softmax"(read @e.x : f32[16], write @e.y : f32[16]) ints [0, 0] name "1"
  }
}

// -----
// expected-error @below {{arena and reserve take 192 bytes, the budget is 128}}
module attributes {plan.totals = {arena = 128 : i64, reserve = 64 : i64, budget = 128 : i64}} {
}
