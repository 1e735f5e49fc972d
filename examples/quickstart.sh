#!/usr/bin/env bash
# From a bare Debian 12 to text: installs the packages, builds, compiles the
# example model under a memory budget, prints its memory plan, writes with it.
# Run it again and it does little.
set -euo pipefail
cd "$(dirname "$0")/.."
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

bash cmake/install_packages.sh build
if [ ! -f build/CMakeCache.txt ]; then
  echo "configuring ..."
  cmake --preset release -DLLMC_BUILD_TESTS=OFF >build-configure.log || { cat build-configure.log; exit 1; }
  mv build-configure.log build/
fi
echo "building ..."
cmake --build --preset release --target llmc llmc-run -- -j "$(nproc)" >build/quickstart.log 2>&1 ||
  { tail -n 40 build/quickstart.log; exit 1; }

export PATH=$PWD/build/bin:$PATH
out=build/example
mkdir -p "$out"
run() {
  echo
  echo "\$ $*"
  "$@"
}
run llmc compile examples/shakespeare/model.onnx --vram 3M -o "$out/shakespeare.plan"
run llmc inspect "$out/shakespeare.plan"
run llmc verify "$out/shakespeare.plan"
# Sampled: a model of this size repeats itself when it always takes the likeliest.
run llmc generate "$out/shakespeare.plan" --prompt "ROMEO:" -n 120 \
  --temperature 0.8 --seed 3
