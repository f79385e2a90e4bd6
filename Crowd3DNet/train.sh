#!/usr/bin/env bash
# The same as ../train.sh, for those who stand here.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../train.sh" "$@"
