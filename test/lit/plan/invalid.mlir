// RUN: llmc-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{'plan.segment' op needs either sources or a value}}
plan.segment @s size 4 {kind = "raw"}

// -----
// expected-error @below {{'plan.segment' op unknown packing "panel32"}}
plan.segment @s size 4 {kind = "panel32"} from [@w]

// -----
// expected-error @below {{'plan.segment' op packing "panel64" needs the integer 'k'}}
plan.segment @s size 4 {kind = "panel64", n = 4} from [@w]

// -----
// expected-error @below {{'plan.segment' op packing "panel64" needs a 'dtype'}}
plan.segment @s size 4 {kind = "panel64", n = 4, k = 4, dtype = "f33"} from [@w]

// -----
// expected-error @below {{'plan.buffer' op has no bytes}}
plan.buffer @x activation device size 0 in @e

// -----
// expected-error @below {{'plan.buffer' op offset 32 is not a multiple of 64}}
plan.buffer @x activation device size 4 at 32 in @e

// -----
// expected-error @below {{'plan.buffer' op of kind activation needs an entry}}
plan.buffer @x activation device size 4

// -----
// expected-error @below {{'plan.buffer' op of kind state belongs to no entry}}
plan.buffer @x state device size 4 in @e

// -----
// expected-error @below {{'plan.buffer' op a segment belongs to kind weight, and only to that}}
plan.buffer @x weight device size 4

// -----
// expected-error @below {{'plan.buffer' op data belongs to kind constant, and only to that}}
plan.buffer @x state device size 4 data dense<1> : tensor<4xi8>

// -----
// expected-error @below {{'plan.buffer' op lifetime [3, 2) ends before it starts}}
plan.buffer @x activation device size 4 live [3, 2) in @e

// -----
// expected-error @below {{'plan.state' op dimensions must be positive}}
plan.state @k buffer @b "f32" outer [1] capacity 0 by 64 inner [16] input "a" output "b"

// -----
// expected-error @below {{'plan.state' op unknown element type 'f33'}}
plan.state @k buffer @b "f33" outer [1] capacity 64 by 64 inner [16] input "a" output "b"

// -----
// expected-error @below {{'plan.entry' op bounds of symbol 'seq' must be [lower, upper] with lower <= upper}}
plan.entry @e symbols {seq = [4, 1]} inputs [] outputs [] derived {} {
}

// -----
// expected-error @below {{'plan.entry' op past 'n' is not one of the symbols}}
plan.entry @e symbols {seq = [1, 4]} past "n" inputs [] outputs [] derived {} {
}

// -----
// expected-error @below {{'plan.entry' op a port needs name, role and dtype, found {name = "x"}}}
plan.entry @e symbols {} inputs [{name = "x"}] outputs [] derived {} {
}

// -----
// expected-error @below {{'plan.entry' op derived input 'mask' must be "ones", "positions" or "empty", found "one"}}
plan.entry @e symbols {} inputs [] outputs [] derived {mask = "one"} {
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'graph.iota' op is not a step of a plan}}
  %0 = graph.iota {axis = 0 : i64, start = "0", step = "1"} : tensor<4xi64>
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op unknown kernel 'lineal'}}
  plan.launch "lineal"(read @x : f32[4]) name "n"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op dimension "seq +" of @x is not an expression}}
  plan.launch "fill"(write @x : f32["seq +"]) name "n"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.launch' op panel64 operand @x must have two dimensions}}
  plan.launch "fill"(write @x : f32[4] panel64) name "n"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{expected 'read', 'write' or 'update', found 'reads'}}
  plan.launch "fill"(reads @x : f32[4]) name "n"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{unknown element type 'f33'}}
  plan.launch "fill"(write @x : f33[4]) name "n"
}

// -----
plan.entry @e symbols {} inputs [] outputs [] derived {} {
  // expected-error @below {{'plan.copy' op needs a positive number of bytes}}
  plan.copy 0 from @s + 0 to @x + 0
}

// -----
// expected-error @below {{'plan.signal' op expects parent op 'plan.entry'}}
plan.signal 0 on copy
