"""The system as functions, for notebooks and programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crowd3d.errors import MissingAsset
from crowd3d.geometry import Camera
from crowd3d.imaging import Given
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.optimise import OptimiseChoice
from crowd3d.pipeline.predictor import Crowd3D, KeypointsGiven
from crowd3d.pose.backends import BackendName
from crowd3d.progress import Report
from crowd3d.types import Scene

__all__ = ["Crowd3D", "Known", "load", "reconstruct"]


def reconstruct(
    image: Given,
    *,
    weights: str | Path | None = None,
    pose_backend: BackendName = "auto",
    keypoints: KeypointsGiven | None = None,
    camera: Camera | None = None,
    known: Known = NOTHING,
    device: str = "auto",
    engine: EngineName = "auto",
    optimise: OptimiseChoice = "auto",
    progress: Report | None = None,
    folder: str | Path | None = None,
) -> Scene:
    """Reconstruct everybody in one photograph; for several, `Crowd3D` loads the networks once.

    Args:
        image, keypoints, known, progress, folder: see `Crowd3D.reconstruct`.
        weights, pose_backend, device, engine, optimise: see `Crowd3D`.
        camera: exact intrinsics, if known; short for ``known=Known(camera)``.

    Raises:
        BadConfig, BadImage, UnsolvableGround, MissingAsset, BackendFailed, BadOutput: see `crowd3d.errors`.
    """
    if keypoints is not None:
        if pose_backend not in ("auto", "file"):
            raise MissingAsset(f"keypoints go with pose_backend file, not {pose_backend}; leave one of them out")
        pose_backend = "file"
    predictor = Crowd3D(weights, pose_backend, device, engine, optimise)
    return predictor.reconstruct(image, known if camera is None else replace(known, camera=camera), keypoints, progress, folder)


def load(folder: str | Path) -> Scene:
    """Read a scene that `Scene.save` or ``inference.py`` wrote.

    Raises:
        MissingAsset: there is none.
    """
    return Scene.load(folder)
