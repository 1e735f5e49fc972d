#!/usr/bin/env bash
# Installs what the tests need, builds, runs every suite, and ends with
# `N passed, N failed` (and what was skipped). Needs root or sudo the first
# time. Suites can be named: test/run.sh unit lit.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export LLMC_SHARED=${LLMC_SHARED:-$root/../shared}
export LLMC_VENV=${LLMC_VENV:-$root/.venv}
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
logs=$root/build/test-logs
jobs=$(nproc)
wanted=("$@")

die() {
  echo "test/run.sh: $*" >&2
  echo "0 passed, 1 failed"
  exit 1
}

started=$SECONDS
bash cmake/install_packages.sh test || die "packages could not be installed"
mkdir -p "$logs"
echo "== build"
{ cmake --preset release -DLLMC_BUILD_TESTS=ON && cmake --build --preset release -- -j "$jobs"; } >"$logs/build.log" 2>&1 ||
  { tail -n 40 "$logs/build.log"; die "the build failed (build/test-logs/build.log)"; }
echo "   $((SECONDS - started)) s"

total_passed=0 total_failed=0 total_skipped=0
broken=()

# suite NAME COMMAND...: counts from the last `N passed, N failed[, N skipped]`
# that the command prints; a command that fails without counts is one failure.
suite() {
  local name=$1
  shift
  if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then
    return
  fi
  echo "== $name"
  local begin=$SECONDS status=0 line passed=0 failed=0 skipped=0
  "$@" >"$logs/$name.log" 2>&1 </dev/null || status=$?
  line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$logs/$name.log" | tail -n 1)
  if [ -n "$line" ]; then
    passed=$(sed -E 's/^([0-9]+) passed.*/\1/' <<<"$line")
    failed=$(sed -E 's/^[0-9]+ passed, ([0-9]+) failed.*/\1/' <<<"$line")
    skipped=$(sed -nE 's/.*, ([0-9]+) skipped.*/\1/p' <<<"$line")
    skipped=${skipped:-0}
  fi
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1
  fi
  if [ "$failed" -ne 0 ]; then
    broken+=("$name")
    grep -vE '^(\[ +OK|\[ RUN)' "$logs/$name.log" | tail -n 60
  fi
  grep -iE '^ *skip' "$logs/$name.log" | sort | uniq -c | sort -rn | head -n 10
  echo "   $passed passed, $failed failed, $skipped skipped in $((SECONDS - begin)) s"
  total_passed=$((total_passed + passed))
  total_failed=$((total_failed + failed))
  total_skipped=$((total_skipped + skipped))
}

unit_tests() {
  rm -f build/Testing/Temporary/LastTestsFailed.log
  ctest --test-dir build -E '^lit$' -j "$jobs" --timeout 300 --output-on-failure || true
  local summary
  summary=$(ctest --test-dir build -E '^lit$' -N | sed -nE 's/^Total Tests: ([0-9]+)/\1/p')
  local failed=0
  [ -f build/Testing/Temporary/LastTestsFailed.log ] &&
    failed=$(wc -l <build/Testing/Temporary/LastTestsFailed.log)
  [ "${summary:-0}" -gt 0 ] || return 1
  echo "$((summary - failed)) passed, $failed failed"
  [ "$failed" -eq 0 ]
}

lit_tests() {
  local lit out
  lit=$(sed -nE 's/^LLMC_LIT:[A-Z]+=(.*)/\1/p' build/CMakeCache.txt)
  [ -x "$lit" ] || { echo "no lit: was the compiler built?"; return 1; }
  out=$("$lit" -v build/test/lit 2>&1)
  echo "$out"
  count() { awk -F: -v want="^ *($1) *$" '$1 ~ want { n += $2 } END { print n + 0 }' <<<"$out"; }
  local good bad unsupported
  good=$(count 'Passed|Expectedly Failed')
  bad=$(count 'Failed|Unresolved|Unexpectedly Passed|Timed Out')
  unsupported=$(count 'Unsupported')
  echo "$good passed, $bad failed, $unsupported skipped"
  [ "$bad" -eq 0 ] && [ "$good" -gt 0 ]
}

runtime_alone() {
  rm -f build-runtime/CMakeCache.txt
  cmake --preset runtime -DLLMC_BUILD_TESTS=OFF &&
    cmake --build --preset runtime -- -j "$jobs" || return 1
  # Nothing of MLIR or LLVM may be linked.
  if ldd build-runtime/bin/llmc-run | grep -E 'MLIR|LLVM'; then
    return 1
  fi
  echo "1 passed, 0 failed"
}

# What reads files from outside, and what computes with their numbers, under
# the address and undefined-behaviour sanitizers.
sanitizers() {
  local names=(llmc_plan llmc_tokenizer llmc_io llmc_core llmc_kernels) name good=0 bad=0
  cmake --preset asan &&
    cmake --build --preset asan --target "${names[@]/%/_tests}" -- -j "$jobs" || return 1
  for name in "${names[@]}"; do
    if "build-asan/bin/${name}_tests" --gtest_brief=1; then
      good=$((good + 1))
    else
      bad=$((bad + 1))
    fi
  done
  echo "$good passed, $bad failed"
  [ "$bad" -eq 0 ]
}

python_venv() {
  bash test/models/setup_venv.sh && echo "1 passed, 0 failed"
}

run_python() { "$LLMC_VENV/bin/python" "$@"; }

suite format bash test/style/format.sh
suite layering bash test/style/layering.sh
suite runtime-alone runtime_alone
suite unit unit_tests
suite lit lit_tests
suite sanitizers sanitizers
suite venv python_venv
suite tokenizer run_python test/tokenizer/compare.py
suite passes run_python test/passes/compare_pipeline.py
suite conformance run_python test/passes/conformance.py
for script in compare quantized stories layouts contract sweep machine budgets rows random_budgets kv_spill kv_window swaps generated light images poison pack mutations determinism bad_input faults big_model no_alloc examples; do
  [ -f "test/e2e/$script.py" ] && suite "$script" run_python "test/e2e/$script.py"
done

# Not html.py: that name is Python's own.
suite html run_python test/e2e/inspect_html.py

echo "== all suites in $((SECONDS - started)) s; logs in build/test-logs"
[ ${#broken[@]} -gt 0 ] && echo "failed suites: ${broken[*]}"
if [ "$total_skipped" -gt 0 ]; then
  echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
else
  echo "$total_passed passed, $total_failed failed"
fi
[ "$total_failed" -eq 0 ] && [ "$total_passed" -gt 0 ]
