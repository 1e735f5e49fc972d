#!/usr/bin/env bash
# Data flows one way: tools -> compiler -> passes -> dialects; the runtime and
# the solver know nothing of MLIR. Each rule: files, then what they may not include.
set -uo pipefail
cd "$(dirname "$0")/../.."
passed=0 failed=0
rule() {
  local what=$1 forbidden=$2
  shift 2
  local hits
  if [ -z "$(git ls-files "$@" | head -1)" ]; then
    echo "rule without files: $what"
    failed=$((failed + 1))
    return
  fi
  hits=$(git ls-files "$@" | grep -E '\.(cpp|h|cu|cuh|td|inc)$' |
    xargs grep -nE "#include [<\"]($forbidden)" 2>/dev/null || true)
  if [ -z "$hits" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "$what:"
    echo "$hits"
  fi
}
rule "the runtime includes only itself" '(mlir|llvm|compiler|passes|dialects|tools)/' 'runtime/*'
rule "the plan format includes neither the executor nor kernels' code" 'runtime/(core|tokenizer|kernels|include)/' 'runtime/plan/*'
rule "the runtime's program includes only the runtime" '(mlir|llvm|compiler|passes|dialects)/' 'tools/llmc-run/*'
rule "the solver uses the standard library only" '(mlir|llvm|compiler|dialects|runtime|tools)/' 'passes/solver/*'
rule "dialects know neither passes nor compiler" '(passes|compiler|tools)/' 'dialects/*'
rule "passes know neither compiler nor tools" '(compiler|tools)/' 'passes/*'
rule "the compiler knows no tools" 'tools/' 'compiler/*'
rule "the compiler shares the plan format and support with the runtime" 'runtime/(core|kernels/host)' 'compiler/*' 'passes/*'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
