"""Many images: bootstrap intervals, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Mean over images with its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_interval(values: np.ndarray, rng: np.random.Generator, level: float = 0.95, draws: int = 2000) -> Interval:
    """Percentile bootstrap (Efron 1979) of the mean.

    Args:
        values: (I,) one figure per image; NaN = the image gives none.
        rng: source of the resampling.
        level: coverage of the interval.
        draws: resamples.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(values.mean()), float(low), float(high))


def summarise(per_image: Sequence[Mapping[str, float]], seed: int = 0) -> dict[str, Interval]:
    """Mean over images and 95 % interval of every metric of `evaluate`.

    Args:
        per_image: one result of `evaluate` per image, all with the same keys.
        seed: of the bootstrap.
    """
    return {name: bootstrap_interval(np.array([image[name] for image in per_image]), np.random.default_rng(seed)) for name in per_image[0]}


def over_scenes(scenes: Sequence[str], per_image: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean of every figure over the pictures of each scene, NaN left out: scene → figure → mean.

    Args:
        scenes: the scene of each picture.
        per_image: its figures, all with the same keys.
    """
    rows = {scene: [image for name, image in zip(scenes, per_image, strict=True) if name == scene] for scene in dict.fromkeys(scenes)}
    return {scene: {name: finite_mean([image[name] for image in images]) for name in images[0]} for scene, images in rows.items()}


def finite_mean(values: Sequence[float]) -> float:
    """Mean of what is finite, NaN if nothing is."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


_SECTIONS = {
    "People": [
        ("true_people", "true people", "{:.0f}"),
        ("predicted_people", "predicted people", "{:.0f}"),
        ("matched_people", "matched", "{:.0f}"),
        ("precision", "precision", "{:.3f}"),
        ("recall", "recall", "{:.3f}"),
        ("f1", "F1", "{:.3f}"),
        ("count_error", "count error", "{:+.0f}"),
    ],
    "Camera": [
        ("fov_error_deg", "field of view error", "{:.2f}°"),
        ("normal_error_deg", "ground normal error", "{:.2f}°"),
        ("camera_height_error_percent", "camera height error", "{:.1f} %"),
    ],
    "Positions": [
        ("ground_error_mean_m", "ground position error, mean", "{:.2f} m"),
        ("ground_error_median_m", "    median", "{:.2f} m"),
        ("ground_error_p90_m", "    90th percentile", "{:.2f} m"),
        ("neighbour_distance_error_median_m", "nearest neighbour distance error", "{:.2f} m"),
        ("density_error_per_m2", "density map error", "{:.3f} /m²"),
        ("reprojection_error_median_px", "keypoint error", "{:.1f} px"),
    ],
    "Crowd scores": [
        ("ppds", "PPDS", "{:.1f}"),
        ("pa_ppds", "PA-PPDS", "{:.1f}"),
        ("pcod", "PCOD", "{:.1f}"),
        ("pcod_smap", "PCOD, 0.3 m band", "{:.1f}"),
        ("oks", "OKS", "{:.1f}"),
        ("rp", "redundancy", "{:.1f}"),
        ("scale_score", "scale score", "{:.1f}"),
        ("gigacrowd_score", "GigaCrowd score", "{:.1f}"),
    ],
    "Bodies": [
        ("mpjpe_mm", "MPJPE", "{:.1f} mm"),
        ("pa_mpjpe_mm", "PA-MPJPE", "{:.1f} mm"),
        ("world_mpjpe_mm", "world MPJPE", "{:.0f} mm"),
    ],
}


def _cell(form: str, value: float | Interval) -> str:
    if isinstance(value, Interval):
        return f"{_cell(form, value.mean)}  [{_cell(form, value.low)}, {_cell(form, value.high)}]"
    return form.format(value) if np.isfinite(value) else "–"


def format_table(metrics: Mapping[str, float | Interval]) -> str:
    """A table for the console, from `evaluate` or `summarise`; the published form stands in the last column where there is one."""
    rows: list[tuple[str, str, str]] = [("", "corrected", "published form")]
    for title, entries in _SECTIONS.items():
        rows.append((title, "", ""))
        for name, label, form in entries:
            published = metrics.get(f"published_{name}")
            rows.append((f"  {label}", _cell(form, metrics[name]), "" if published is None else _cell(form, published)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows)
