"""The system as two functions, for notebooks and programs."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from crowd3d.geometry import Camera
from crowd3d.model.engines import EngineName
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.infer import InferOptions, infer
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.optimise import OptimiseChoice
from crowd3d.pipeline.process import ProcessOptions, process
from crowd3d.pipeline.weights import DefaultWeights, pose_assets
from crowd3d.pose.backends import BackendName, choose_backend, scout
from crowd3d.settings import load_settings
from crowd3d.types import Scene


def reconstruct(
    image: str | Path,
    *,
    weights: str | Path | None = None,
    pose_backend: BackendName = "auto",
    keypoints: str | Path | None = None,
    camera: Camera | None = None,
    known: Known = NOTHING,
    engine: EngineName = "auto",
    optimise: OptimiseChoice = "auto",
    folder: str | Path | None = None,
) -> Scene:
    """Reconstruct everybody in a photograph.

    Args:
        image: path of the photograph.
        weights: Crowd3DNet in the release's format or the project's; by default the shipped estimator.
        pose_backend: who finds people and their keypoints, as ``--pose_backend`` of process.py.
        keypoints: file or folder of people who are known already, as ``--keypoints`` of process.py.
        camera: exact intrinsics, if known; short for ``known=Known(camera)``.
        known: everything else that is known of camera, ground and people.
        engine: what runs the networks.
        optimise: ``auto``, ``people``, ``all`` or ``none``, as ``--optimise`` of inference.py.
        folder: keep all files of the run here, pictures included, and resume from them; by default nothing is kept.

    Raises:
        BadConfig, BadImage, NoPeopleFound, UnsolvableGround, MissingAsset, BadOutput: see `crowd3d.errors`.
    """
    if camera is not None:
        known = replace(known, camera=camera)
    settings = load_settings()
    shipped = DefaultWeights.shipped(settings)
    assets = pose_assets(settings, engine, None if keypoints is None else Path(keypoints))
    backend = choose_backend(pose_backend, assets)
    part = ProcessOptions(backend, scout(assets) if backend.wants_tiles else None, known=known)
    options = InferOptions(
        weights=None if weights is None else Path(weights),
        smpl_folder=settings.smpl_model_root,
        known=known,
        engine=engine,
        optimise=optimise,
        pictures=folder is not None,
    )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(folder or temporary)
        mid, results = MidFolder(root / "mid"), ResultFolder(root)
        process(Path(image), mid, part)
        return infer(Path(image), mid, results, shipped, options)


def load(folder: str | Path) -> Scene:
    """Read a scene that `Scene.save` or ``inference.py`` wrote.

    Raises:
        MissingAsset: there is none.
    """
    return Scene.load(folder)
