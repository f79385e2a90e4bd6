#!/usr/bin/env bash
# The published training recipe: `bash train.sh [key=value …]`, such as `bash train.sh dataset=synthetic backbone=compact epoch=2`.
# Several GPUs: torchrun --nproc_per_node N -m crowd3d.cli.main train [key=value …]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
# Threads that spin while they wait take the cores from the processes that make batches.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
exec "$python" -m crowd3d.cli.main train "$@"
