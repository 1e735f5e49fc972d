#!/usr/bin/env bash
# Installs the Debian packages of the named sections of packages.txt (all
# sections before a name are implied: "test" brings everything). Does nothing
# when they are there. A package with a leading ? may fail to install.
#   cmake/install_packages.sh runtime|build|test
set -euo pipefail
want=${1:?usage: install_packages.sh runtime|build|test}
here=$(cd "$(dirname "$0")" && pwd)

packages=() optional=()
section=
while read -r line; do
  case "$line" in
    '' | '#'*) ;;
    '['*']')
      [ "$section" = "$want" ] && break
      section=${line:1:-1}
      ;;
    '?'*) optional+=("${line:1}") ;;
    *) packages+=("$line") ;;
  esac
done <"$here/packages.txt"

absent() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] ||
      echo "$package"
  done
}
mapfile -t missing < <(absent "${packages[@]}")
mapfile -t wished < <(absent "${optional[@]}")
[ $((${#missing[@]} + ${#wished[@]})) -eq 0 ] && exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    [ ${#missing[@]} -eq 0 ] && exit 0
    echo "install_packages.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  }
  sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  echo "installing $# packages: $*"
  { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1
}
if [ ${#missing[@]} -gt 0 ] && ! install "${missing[@]}"; then
  tail -n 30 "$log" >&2
  exit 1
fi
if [ ${#wished[@]} -gt 0 ] && ! install "${wished[@]}"; then
  echo "install_packages.sh: going on without ${wished[*]}" >&2
fi
