#!/usr/bin/env bash
# Makes the Python environment of the export scripts and comparisons: .venv in the repository's
# root, or $LLMC_VENV. Prints the path of its python. A second run only compares a hash.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${LLMC_VENV:-$here/../../.venv}
requirements=$here/requirements.txt
stamp=$venv/llmc-requirements.sha256
wanted=$(sha256sum <"$requirements")

if [[ -x $venv/bin/python && -f $stamp && $(cat "$stamp") == "$wanted" ]]; then
  echo "$(cd "$venv" && pwd)/bin/python"
  exit 0
fi

python=${PYTHON:-python3}
[[ -x $venv/bin/python ]] || "$python" -m venv "$venv" >&2
rm -f "$stamp"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
torch=$(grep '^torch==' "$requirements")
# Exactly this version first and alone: a local CPU wheel or the CPU index is good for it, PyPI's
# own wheel for Linux brings gigabytes of CUDA along.
"${pip[@]}" "$torch" >&2 ||
  "${pip[@]}" --extra-index-url https://download.pytorch.org/whl/cpu "$torch+cpu" >&2
"${pip[@]}" -r "$requirements" >&2
echo "$wanted" >"$stamp"
echo "$(cd "$venv" && pwd)/bin/python"
