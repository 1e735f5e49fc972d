// RUN: not llmc-opt %s --plan-cost 2>&1 | FileCheck %s

// CHECK: error: a wait is never satisfied
plan.entry @main symbols {} inputs [] outputs [] derived {} {
  plan.wait 0 on compute
}
