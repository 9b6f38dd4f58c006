#!/usr/bin/env bash
# Creates the virtual environment $1 with the Python $2, or with the first Python >= 3.10 on the path if $2 is empty.
set -euo pipefail
venv=$1
wanted=${2:-}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

if [ -n "$wanted" ]; then
  candidates=("$wanted")
else
  candidates=(python3 python3.13 python3.12 python3.11 python3.10 python3.14 python)
fi
python=""
for candidate in "${candidates[@]}"; do
  if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  found=$("${candidates[0]}" --version 2>/dev/null | head -n 1) || true
  echo "error: AgeLab needs Python 3.10 or newer, and ${candidates[0]} is '${found:-not there}';" \
    "install one and call, for example: PYTHON=/usr/bin/python3.11 make demo" >&2
  exit 2
fi

rm -rf "$venv"
bin=bin
[ "${OS:-}" = Windows_NT ] && bin=Scripts
if ! output=$("$python" -m venv "$venv" 2>&1) || ! "$venv/$bin/python" -m pip --version >/dev/null 2>&1; then
  rm -rf "$venv"
  echo "error: $python could not make a virtual environment in $venv (on Debian and Ubuntu:" \
    "apt-get install python3-venv): $(tail -n 1 <<<"$output")" >&2
  exit 2
fi
echo "made $venv with $("$venv/$bin/python" --version)"
