"""The system as one object that holds the loaded networks: photographs in, scenes out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from crowd3d.errors import BadConfig, MissingAsset
from crowd3d.imaging import GigapixelImage, Given, opened
from crowd3d.model.compiled import Engines
from crowd3d.model.engines import EngineName, chosen_engine
from crowd3d.pipeline.folders import MidFolder, ResultFolder
from crowd3d.pipeline.infer import infer
from crowd3d.pipeline.known import NOTHING, Known
from crowd3d.pipeline.network import NetworkChoice
from crowd3d.pipeline.optimise import OptimiseChoice
from crowd3d.pipeline.process import ProcessOptions, layout_for, look, part_of, process
from crowd3d.pipeline.solve import InferOptions, solve
from crowd3d.pipeline.weights import DefaultWeights, chosen_weights
from crowd3d.pose.backends import BACKEND_NAMES, BackendName
from crowd3d.pose.file_backend import FileBackend, has_torso
from crowd3d.pose.observations import Observations
from crowd3d.pose.search import Surroundings
from crowd3d.pose.source import plain
from crowd3d.pose.standing import complete
from crowd3d.progress import Report, part, telling
from crowd3d.settings import load_settings
from crowd3d.types import Scene

KeypointsGiven = str | Path | np.ndarray | Observations
FOUND, DONE = 0.7, 1.0
"""Share of the work that is done when everybody has been found, and at the end."""


class Crowd3D:
    """Networks, loaded once for any number of photographs.

    Nothing is loaded before the first photograph.

    Args:
        weights: Crowd3DNet in the release's format or trained here, whose people are then the result; by default those of the settings
            or of the release, where they are, else none: keypoints and lifter make the people.
        pose_backend: who finds people and their keypoints, as ``--pose_backend`` of process.py.
        device: where networks run: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        engine: what runs them: ``auto``, ``torch``, ``openvino`` or ``onnx``.
        optimise: ``auto``, ``people``, ``all`` or ``none``, as ``--optimise`` of inference.py.

    Raises:
        BadConfig: one of the words is unknown, or the device is not there.
        MissingAsset: weights, or what the backend needs, are absent.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        pose_backend: BackendName = "auto",
        device: str = "auto",
        engine: EngineName = "auto",
        optimise: OptimiseChoice = "auto",
    ) -> None:
        check_word("pose_backend", pose_backend, BACKEND_NAMES)
        check_word("optimise", optimise, get_args(OptimiseChoice))
        chosen_engine(engine, device)
        settings = load_settings()
        path = chosen_weights(None if weights is None else Path(weights), settings)
        network = None if path is None else NetworkChoice.of(path, settings.smpl_model_root, Engines(engine, device=device))
        self._options = InferOptions(DefaultWeights.shipped(settings, engine, device), network, optimise=optimise)
        # Whoever wants to give keypoints with every photograph needs nobody to find any.
        self._part = None if pose_backend == "file" else part_of(settings, pose_backend, engine, device)

    def reconstruct(
        self,
        image: Given,
        known: Known = NOTHING,
        keypoints: KeypointsGiven | None = None,
        progress: Report | None = None,
        folder: str | Path | None = None,
    ) -> Scene:
        """Everybody in a photograph as bodies in one metric world; a photograph of nobody gives a scene without people that says so.

        Args:
            image: path; content of a file as bytes; (H, W, 3) uint8 RGB array; picture of Pillow.
            known: what is known of camera, ground and people.
            keypoints: people who are known already, instead of those whom the backend finds: a file as ``--keypoints`` of process.py,
                an array (N, 17, 3) of COCO-17 u, v in pixels and score 0…1 (0 = unknown), or observations.
            progress: called with the share of the work that is done, 0…1 and never less than before, and with what is being done; by
                default bars are drawn.
            folder: keep all files of the run here, pictures included, and resume from them; by default nothing is written.

        Raises:
            BadConfig, BadImage, UnsolvableGround, MissingAsset, BackendFailed, BadOutput: see `crowd3d.errors`.
        """
        first = self._first_half(keypoints)
        first.backend.check()
        with telling(progress), opened(image) as photograph:
            options = replace(self._options, known=known.resolved(photograph.reduced, photograph.size))
            first = replace(first, known=options.known)
            if folder is None:
                with part(FOUND, "finding people"):
                    observed = look(photograph, first)
                with part(DONE, "reconstructing"):
                    layout = None if options.network is None else layout_for(observed, photograph.size, first)
                    return solve(photograph, observed, layout, options)
            mid, results = MidFolder(Path(folder) / "mid"), ResultFolder(Path(folder))
            with part(FOUND, "finding people"):
                process(photograph, mid, first, tiles=False)
            with part(DONE, "reconstructing"):
                return infer(photograph, mid, results, options)

    def _first_half(self, keypoints: KeypointsGiven | None) -> ProcessOptions:
        if keypoints is None:
            if self._part is None:
                raise MissingAsset("pose_backend file has no keypoints; give them as keypoints=…")
            return self._part
        if isinstance(keypoints, str | Path):
            return ProcessOptions(FileBackend(Path(keypoints)))
        return ProcessOptions(GivenBackend(keypoints if isinstance(keypoints, Observations) else observations_of_array(keypoints)))


@dataclass(frozen=True)
class GivenBackend:
    """People whom a program knows already."""

    observed: Observations
    wants_tiles: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Of their source."""
        return self.observed.source.name

    def key(self) -> Any:
        """Digest of all that is known of them."""
        digest = hashlib.blake2b(repr(self.observed.source).encode(), digest_size=12)
        for name in self.observed.row_fields():
            digest.update(np.ascontiguousarray(getattr(self.observed, name)).tobytes())
        return digest.hexdigest()

    def check(self) -> None:
        """They are always there."""

    def observe(self, image: GigapixelImage, around: Surroundings) -> Observations:
        """They."""
        return self.observed


def observations_of_array(keypoints: np.ndarray) -> Observations:
    """(N, 17, 3) u, v, score → people; those without a known shoulder or hip are left out.

    Raises:
        BadConfig: it is of another shape, or a number is none.
    """
    array = np.asarray(keypoints)
    if array.dtype.kind not in "fiu" or array.ndim != 3 or array.shape[1:] != (17, 3) or not np.isfinite(array).all():
        raise BadConfig(f"keypoints are finite numbers (N, 17, 3), COCO-17 u, v, score, not {array.dtype} of shape {array.shape}")
    array = array.astype(np.float64)
    return Observations.from_keypoints(complete(array[has_torso(array)]), plain("given"))


def check_word(what: str, word: str, choices: tuple[str, ...]) -> None:
    """Raises: BadConfig: the word is none of the choices."""
    if word not in choices:
        raise BadConfig(f"no {what} {word!r}; there are {', '.join(choices)}")
