#!/usr/bin/env bash
# Every C++ file is formatted as .clang-format says (clang-format 22).
set -uo pipefail
cd "$(dirname "$0")/../.."
passed=0 failed=0
while read -r file; do
  [ -f "$file" ] || continue
  if clang-format-22 --dry-run -Werror "$file" >/dev/null 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "not formatted: $file (run clang-format-22 -i)"
  fi
done < <(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
