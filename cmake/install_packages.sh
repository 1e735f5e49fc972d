#!/usr/bin/env bash
# Installs the Debian packages of the named sections of packages.txt (all
# sections before a name are implied: "test" brings everything). Does nothing
# when they are there.
#   cmake/install_packages.sh runtime|build|test
set -euo pipefail
want=${1:?usage: install_packages.sh runtime|build|test}
here=$(cd "$(dirname "$0")" && pwd)

packages=()
section=
while read -r line; do
  case "$line" in
    '' | '#'*) ;;
    '['*']')
      [ "$section" = "$want" ] && break
      section=${line:1:-1}
      ;;
    *) packages+=("$line") ;;
  esac
done <"$here/packages.txt"

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_packages.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  }
  sudo=sudo
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  exit 1
fi
