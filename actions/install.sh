#!/usr/bin/env bash
# Put `headway` on the PATH of the following steps, from the very commit of these actions; nothing where it is there.
set -euo pipefail
if command -v headway >/dev/null; then
  exit 0
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
place="${RUNNER_TEMP:?}/headway"
python3 -m venv "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check "$root"
echo "$place/bin" >> "$GITHUB_PATH"
