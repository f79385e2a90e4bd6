"""How much memory this process has taken."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def peak_memory_mb() -> int | None:
    """The most memory that this process has had so far, in MiB; None where the system does not tell (Windows)."""
    if find_spec("resource") is None:
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux and the BSDs count in KiB, macOS in bytes.
    return peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)
