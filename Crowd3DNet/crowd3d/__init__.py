"""Crowds in one metric world from one gigapixel photograph."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crowd3d.pipeline.api import Crowd3D, Known, load, reconstruct

__all__ = ["Crowd3D", "Known", "__version__", "load", "reconstruct"]

__version__: str

# PyTorch's threads spin while they wait: beside another program that takes five times the processor time. Read when it is imported first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251 (this sets it)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("crowd3d")
    # The pipeline imports every other package; whoever needs one of them only should not pay for all.
    if name in __all__:
        from crowd3d.pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module 'crowd3d' has no attribute {name!r}")
