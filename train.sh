#!/usr/bin/env bash
# The published training recipe: `bash train.sh [key=value …]`, such as `bash train.sh dataset=synthetic backbone=compact epoch=2`.
# Several GPUs: torchrun --nproc_per_node N -m crowd3d.cli.main train [key=value …]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
exec "$python" -m crowd3d.cli.main train "$@"
