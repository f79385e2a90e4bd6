"""Scoring ``predict.json`` against LargeCrowd: per picture, per scene, overall, and person by person."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from crowd3d.bodies import Body, load_body
from crowd3d.errors import MissingAsset
from crowd3d.evaluation.annotations import TrueFrame, read_scene, true_frame
from crowd3d.evaluation.observables import Observables, observe
from crowd3d.evaluation.report import Interval, summarise
from crowd3d.evaluation.scoring import Metrics, assign, score
from crowd3d.files import atomic_path, read_json, write_json
from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging.largecrowd_folder import LargeCrowdFolder
from crowd3d.scene.predict_json import EXTRA_NAME, PredictedFrame, read_predict_json
from crowd3d.types import People, Scene

log = logging.getLogger(__name__)

PUBLISHED_SCORES = {
    "Crowd3D": {"ppds": 81.5, "pa_ppds": 89.4, "pcod": 92.6, "oks": 71.7},
    "Crowd3D, true ground and camera": {"ppds": 92.4, "pa_ppds": 92.4, "pcod": 93.5, "oks": 73.9},
}
"""LargeCrowd's test set, as published with Crowd3D (CVPR 2023)."""
NOT_COMPARABLE = "Published figures: on real LargeCrowd, not comparable with figures on synthetic or other pictures."
SCENE_COLUMNS = {
    "recall": ("recall", 3),
    "precision": ("precision", 3),
    "ppds": ("PPDS", 1),
    "pa_ppds": ("PA-PPDS", 1),
    "pcod": ("PCOD", 1),
    "oks": ("OKS", 1),
    "ground_error_median_m": ("ground error, m", 2),
    "fov_error_deg": ("FOV error, °", 2),
    "normal_error_deg": ("normal error, °", 2),
    "camera_height_error_percent": ("height error, %", 1),
}
"""Figures of a scene's line in tables: what they are called, and how many digits are shown."""
NEIGHBOURHOOD_M = 2.0
_OF_CAMERA = ("fov_error_deg", "normal_error_deg", "camera_height_error_percent")


@dataclass(frozen=True)
class BenchmarkScores:
    """Figures of I pictures with K true people that had to be found.

    Attributes:
        scene: (I,) names of scenes.
        frame: (I,) file names of pictures.
        figures: one result of `evaluate` per picture, all with the same keys.
        people: name → (K,): ``distance_m`` from the camera, ``density_per_m2`` of true people around, ``visible_share`` of keypoints,
            ``height_px`` of the box around the keypoints, ``found`` 0 or 1, ``ground_error_m`` NaN for those not found.
    """

    scene: list[str]
    frame: list[str]
    figures: list[Metrics]
    people: dict[str, np.ndarray]

    def overall(self) -> dict[str, Interval]:
        """Mean over pictures and 95 % interval of every figure."""
        return summarise(self.figures)

    def per_scene(self) -> dict[str, dict[str, Interval]]:
        """The same for every scene."""
        return {
            name: summarise([figures for scene, figures in zip(self.scene, self.figures, strict=True) if scene == name])
            for name in dict.fromkeys(self.scene)
        }


class _Bodies(dict[str, Body]):
    """Bodies by name, loaded when first asked for."""

    def __init__(self, load: Callable[[str], Body]) -> None:
        super().__init__()
        self._load = load

    def __missing__(self, name: str) -> Body:
        self[name] = self._load(name)
        return self[name]


def score_benchmark(
    predict: Path, folder: LargeCrowdFolder, scenes: Sequence[str] = (), load: Callable[[str], Body] = load_body
) -> BenchmarkScores:
    """Score a ``predict.json``; a picture that it lacks counts as one in which nobody was found.

    What the schema has no room for comes from ``predict_extra.json`` beside it; without it the body is SMPL's, and the ground the plane
    through the HVIPs.

    Args:
        predict: the file.
        folder: the data set with its annotations.
        scenes: names of scenes to score; by default all that are annotated.
        load: gives a body by its name.

    Raises:
        MissingAsset: prediction, annotations or a body are absent or unusable.
    """
    truths = {name: read_scene(folder, name) for name in scenes or _annotated(folder)}
    scene_of = {frame: name for name, scene in truths.items() for frame in scene.frames}
    extra = _read_extra(predict.parent / EXTRA_NAME)
    bodies = _Bodies(load)
    figures: dict[str, Metrics] = {}
    people: dict[str, dict[str, np.ndarray]] = {}
    strangers = 0
    for predicted in read_predict_json(predict):
        name = scene_of.get(predicted.image)
        if name is None:
            strangers += 1
            continue
        true = true_frame(folder, truths[name], predicted.image, bodies)
        scene = _as_scene(predicted, true.observed.camera, extra.get(predicted.image, {}))
        seen = observe(scene, bodies[scene.body])
        figures[predicted.image] = score(seen, *true)
        people[predicted.image] = _people(seen, true)
    missing = [frame for frame in scene_of if frame not in figures]
    for frame in missing:
        true = true_frame(folder, truths[scene_of[frame]], frame, bodies)
        seen = observe(Scene(true.observed.camera, true.observed.ground, _nobody(), "free_low", frame), bodies["free_low"])
        figures[frame] = score(seen, *true) | dict.fromkeys(_OF_CAMERA, math.nan)
        people[frame] = _people(seen, true)
    if strangers:
        log.warning("%d pictures of %s are not annotated and were not scored", strangers, predict)
    if missing:
        log.warning("%s lacks %d of %d pictures, the first is %s: nobody found there", predict, len(missing), len(scene_of), missing[0])
    order = sorted(figures, key=lambda frame: (scene_of[frame], frame))
    if not order:
        raise MissingAsset(f"no picture of {', '.join(truths)} is annotated in {folder.annotations}; check the copy of the data set")
    columns = {column: np.concatenate([people[frame][column] for frame in order]) for column in people[order[0]]}
    return BenchmarkScores([scene_of[frame] for frame in order], order, [figures[frame] for frame in order], columns)


def write_csv(path: Path, scores: BenchmarkScores) -> None:
    """One line per picture: scene, picture, all figures; empty where a picture gives none.

    Raises:
        BadOutput: the file cannot be written.
    """
    names = list(scores.figures[0])
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", "image", *names])
        for scene, frame, figures in zip(scores.scene, scores.frame, scores.figures, strict=True):
            writer.writerow([scene, frame, *(figures[name] if math.isfinite(figures[name]) else "" for name in names)])


def write_scene_csv(path: Path, scores: BenchmarkScores) -> None:
    """One line per scene and figure, and for "all": scene, figure, mean, low and high end of the 95 % interval; empty for none.

    Raises:
        BadOutput: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", "figure", "mean", "low", "high"])
        for scene, summary in (*scores.per_scene().items(), ("all", scores.overall())):
            for name, interval in summary.items():
                writer.writerow([scene, name, *(value if math.isfinite(value) else "" for value in interval)])


def write_figures(path: Path, scores: BenchmarkScores) -> None:
    """JSON with ``overall`` and ``scenes`` (name → mean, low, high of the 95 % interval), ``images`` and ``published``; null for none.

    Raises:
        BadOutput: the file cannot be written.
    """

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    def intervals(summary: Mapping[str, Interval]) -> dict:
        return {name: {key: number(value) for key, value in interval._asdict().items()} for name, interval in summary.items()}

    images = zip(scores.frame, scores.figures, strict=True)
    write_json(
        path,
        {
            "overall": intervals(scores.overall()),
            "scenes": {name: intervals(summary) for name, summary in scores.per_scene().items()},
            "images": {frame: {name: number(value) for name, value in figures.items()} for frame, figures in images},
            "published": PUBLISHED_SCORES,
        },
    )


def comparison_rows(summary: Mapping[str, Interval]) -> Iterator[tuple[str, str, str, str, str]]:
    """Header and rows: method, PPDS, PA-PPDS, PCOD, OKS, all in the published form."""
    yield "published form, %", "PPDS", "PA-PPDS", "PCOD", "OKS"
    names = ("ppds", "pa_ppds", "pcod", "oks")
    ours = [summary[f"published_{name}"] for name in names]
    a, b, c, d = (f"{one.mean:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in ours)
    yield "this prediction", a, b, c, d
    for method, values in PUBLISHED_SCORES.items():
        a, b, c, d = (f"{values[name]:.1f}" for name in names)
        yield f"{method}, published on real LargeCrowd", a, b, c, d


def scene_rows(scores: BenchmarkScores) -> Iterator[tuple[str, ...]]:
    """Header and one row per scene: name, number of pictures, means of `SCENE_COLUMNS` in the corrected form."""
    yield "scene", "pictures", *(label for label, _ in SCENE_COLUMNS.values())
    for name, of in scores.per_scene().items():
        yield name, str(scores.scene.count(name)), *(f"{of[key].mean:.{digits}f}" for key, (_, digits) in SCENE_COLUMNS.items())


def _annotated(folder: LargeCrowdFolder) -> list[str]:
    names = sorted(path.stem for path in folder.annotations.glob("*.json"))
    if not names:
        raise MissingAsset(f"no annotations in {folder.annotations}; put them there as <scene>.json, see data/largecrowd/README.md")
    return names


def _read_extra(path: Path) -> dict:
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise MissingAsset(f"{path} cannot be read: {error}; delete it or write it again") from error


def _as_scene(predicted: PredictedFrame, true_camera: Camera, extra: Mapping) -> Scene:
    people = predicted.people
    size = (true_camera.width, true_camera.height)
    known = extra.get("ground")
    ground = _plane_through(people.hvip_cam_m, predicted.image) if known is None else GroundPlane.from_coefficients(known)
    camera = replace(Camera.from_K(predicted.K, size), distortion=extra.get("distortion"))
    return Scene(camera, ground, people, extra.get("body", "smpl"), predicted.image)


def _plane_through(points_cam_m: np.ndarray, image: str) -> GroundPlane:
    """Least-squares plane."""
    if len(points_cam_m) < 3:
        raise MissingAsset(f"the ground under {len(points_cam_m)} people of {image} is unknown; put {EXTRA_NAME} beside the file")
    centre = points_cam_m.mean(0)
    normal = np.linalg.svd(points_cam_m - centre)[2][2]
    return GroundPlane.from_coefficients(np.append(normal, -normal @ centre))


def _nobody() -> People:
    return People(
        np.zeros((0, 24, 3), np.float32), np.zeros((0, 10), np.float32), np.zeros((0, 3)), np.zeros((0, 2)), np.zeros((0, 3)),
        np.zeros(0), np.zeros((0, 17, 3)),
    )  # fmt: skip


def _people(predicted: Observables, true: TrueFrame) -> dict[str, np.ndarray]:
    """The columns of `BenchmarkScores.people` for one picture."""
    truth, rows = true.observed, np.flatnonzero(true.eligible)
    error = np.full(len(truth), np.nan)
    pairs, _ = assign(predicted, truth)
    error[pairs[0]] = np.linalg.norm(predicted.ground_xz_m[pairs[1]] - truth.ground_xz_m[pairs[0]], axis=1)
    if len(rows) == 0:
        return {name: np.zeros(0) for name in ("distance_m", "density_per_m2", "visible_share", "height_px", "found", "ground_error_m")}
    xz = truth.ground_xz_m
    around = cKDTree(xz).query_ball_point(xz[rows], NEIGHBOURHOOD_M, return_length=True) - 1
    v = truth.keypoints_px[rows, :, 1]
    return {
        "distance_m": np.linalg.norm(truth.torso_cam_m[rows], axis=1),
        "density_per_m2": around / (math.pi * NEIGHBOURHOOD_M**2),
        "visible_share": truth.counted[rows].mean(1),
        "height_px": np.nanmax(v, axis=1) - np.nanmin(v, axis=1),
        "found": np.isfinite(error[rows]).astype(np.float64),
        "ground_error_m": error[rows],
    }
