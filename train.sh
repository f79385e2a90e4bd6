#!/usr/bin/env bash
# Train the shipped networks on synthetic crowds; `crowd3d train default --help` lists the arguments.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" -m crowd3d.cli.main train default "$@"
