"""Temporary."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhotoModels:
    finder: Path
    movenet: Path

def photo_models(folder: Path) -> PhotoModels | None:
    m = PhotoModels(folder / "nanodet.safetensors", folder / "movenet.safetensors")
    return m if m.finder.is_file() and m.movenet.is_file() else None
