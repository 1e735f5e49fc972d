// RUN: llmc-opt %s --plan-place=budget=40960 | FileCheck %s --check-prefix=MIN
// RUN: llmc-opt %s --plan-place=budget=40960 | FileCheck %s --check-prefix=ORDER
// RUN: llmc-opt %s --plan-place=budget=400000 | FileCheck %s --check-prefix=MOST
// RUN: llmc-opt %s --plan-place | FileCheck %s --check-prefix=ALL

// Three tables of 1000 rows: 64 floats (256000 bytes), the same packed in panels
// for the last product (1024 * 256 bytes), and 64 codes of 8 bits (64000) with
// their scales (4000 bytes, which stay). Up to four rows of each are picked.
// Most is live in the product: x 1024, y 16000, one panel 16384, the scales,
// ids 64 and the numbers 0 to 3, in 64: 37568, in pages 40960.

plan.segment @segment.t size 256000 {kind = "raw"} from [@t]
plan.segment @segment.p size 262144 {kind = "panel64", layout = "nk", n = 1000, k = 64, dtype = "f32"} from [@p] by_rows @segment.p.rows
plan.segment @segment.p.rows size 256000 {kind = "raw"} from [@p]
plan.segment @segment.q size 64000 {kind = "q_codes", format = "int8", n = 1000, k = 64, bits = 8, block_size = 64, layout = "nk", dtype = "f32"} from [@q]
plan.segment @segment.s size 4000 {kind = "q_scales", format = "int8", n = 1000, k = 64, bits = 8, block_size = 64, layout = "nk", dtype = "f32"} from [@q]
plan.buffer @weight.t weight device size 256000 from @segment.t
plan.buffer @weight.p weight device size 262144 from @segment.p
plan.buffer @weight.q weight device size 64000 from @segment.q
plan.buffer @weight.s weight device size 4000 from @segment.s
plan.buffer @main.ids input device size 32 in @main
plan.buffer @main.near activation device size 16 in @main
plan.buffer @main.a activation device size 1024 in @main
plan.buffer @main.b activation device size 1024 in @main
plan.buffer @main.c activation device size 1024 in @main
plan.buffer @main.y output device size 16000 in @main
plan.entry @main symbols {seq = [1, 4]} inputs [] outputs [] derived {} {
  plan.launch "gather"(read @weight.t : f32[1000, 64], read @main.ids : i64[1, "seq"], write @main.a : f32[1, "seq", 64]) ints [0] name "embed"
  plan.launch "cast"(read @main.ids : i64[1, "seq"], write @main.near : i32[1, "seq"]) name "cast"
  plan.launch "gather"(read @weight.p : f32[1000, 64] panel64, read @main.near : i32[1, "seq"], write @main.b : f32[1, "seq", 64]) ints [0] name "tied"
  plan.launch "gather_quant"(read @weight.q : u8[1000, 64], read @weight.s : f32[1000, 1], read @main.ids : i64[1, "seq"], write @main.c : f32[1, "seq", 64]) ints [1000, 64, 8, 64, 0, 128] name "codes"
  plan.launch "linear"(read @main.c : f32[1, "seq", 64], read @weight.p : f32[1000, 64] panel64, write @main.y : f32[1, "seq", 1000]) ints [0, 0] name "head"
}

// ALL-NOT: plan.copy
// ALL: plan.buffer @weight.t
// ALL-NOT: @constant.rows
// ALL: plan.launch "gather"(read @weight.t : f32[1000, 64], read @main.ids

// The tables are below: each gather finds its rows in a slot, one per index.
// MIN: plan.buffer @constant.rows constant device size 32 data dense<[0, 1, 2, 3]> : tensor<4xi64>
// MIN: plan.buffer @main.ids input device size 32 live [0, 20) in @main
// MIN: plan.buffer @main.stream.t staging device size 1024 live [2, 6) in @main
// MIN: plan.buffer @main.stream.p staging device size 1024 live [9, 13) in @main
// MIN: plan.buffer @main.stream.q staging device size 256 live [15, 20) in @main
// MIN: plan.buffer @main.stream.s staging device size 16 live [16, 20) in @main
// MIN: plan.copy 1024 from @segment.t + 0 to @main.stream.t + 0 rows 1000 of 256 at #plan.view<read @main.ids : i64[1, "seq"]>
// MIN: plan.launch "gather"(read @main.stream.t : f32[4, 64], read @constant.rows : i64[1, "seq"], write @main.a : f32[1, "seq", 64]) ints [0] name "embed"
// From the second segment, in which rows lie together; the codes with their
// scales, although these are resident.
// MIN: plan.copy 1024 from @segment.p.rows + 0 to @main.stream.p + 0 rows 1000 of 256 at #plan.view<read @main.near : i32[1, "seq"]>
// MIN: plan.launch "gather"(read @main.stream.p : f32[4, 64], read @constant.rows : i64[1, "seq"], write @main.b
// MIN: plan.copy 256 from @segment.q + 0 to @main.stream.q + 0 rows 1000 of 64 at #plan.view<read @main.ids : i64[1, "seq"]>
// MIN-NEXT: plan.copy 16 from @segment.s + 0 to @main.stream.s + 0 rows 1000 of 4 at #plan.view<read @main.ids : i64[1, "seq"]>
// MIN: plan.launch "gather_quant"(read @main.stream.q : u8[4, 64], read @main.stream.s : f32[4, 1], read @constant.rows : i64[1, "seq"], write @main.c : f32[1, "seq", 64]) ints [4, 64, 8, 64, 0, 128] name "codes"
// MIN: plan.copy 16384 from @segment.p + 0 to @main.stream.p.1 + 0

// Indices that a step computes: the copy is issued behind it, and they live as
// long as the slot's reader waits.
// ORDER: plan.buffer @main.near activation device size 16 live [6, 13) in @main
// ORDER: name "cast"
// ORDER-NEXT: plan.signal 2 on compute
// ORDER-NEXT: plan.wait 2 on copy
// ORDER-NEXT: plan.copy 1024 from @segment.p.rows
// ORDER-NEXT: plan.signal 3 on copy
// ORDER-NEXT: plan.wait 3 on compute
// ORDER-NEXT: plan.launch "gather"(read @main.stream.p

// Room for what is read whole: the table of which a row is read stays below.
// MOST-NOT: @weight.t
// MOST: plan.buffer @weight.p weight device
// MOST: plan.buffer @weight.q weight device
// MOST-NOT: @weight.t
// MOST: plan.copy 1024 from @segment.t
// MOST-NOT: plan.copy
