"""COCO keypoints: what was seen of everybody in the pictures, with ids that stay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from crowd3d.bodies.joints import COCO17_LIMBS, COCO17_NAMES
from crowd3d.files import write_json
from crowd3d.types import Scene

_BOX_MARGIN = 0.1


def write_coco(path: Path, frames: Iterable[tuple[Scene, np.ndarray]]) -> None:
    """Write a data set in COCO's format (person keypoints, `pycocotools` reads it).

    Besides COCO's own keys an annotation has ``score``, ``keypoint_scores`` and ``track_id``; boxes are those of the keypoints, a tenth
    wider. People without any observed keypoint are left out.

    Args:
        path: JSON file.
        frames: scenes with the (N,) ids of their people.

    Raises:
        BadOutput: the file cannot be written.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (scene, ids) in enumerate(frames, 1):
        camera = scene.camera
        images.append({"id": number, "file_name": scene.image, "width": camera.width, "height": camera.height, "frame_id": number - 1})
        for points, score, id_ in zip(scene.people.keypoints_px, scene.people.score, ids, strict=True):
            if (points[:, 2] > 0).any():
                annotations.append(_annotation(points, float(score), len(annotations) + 1, number, int(id_)))
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO17_NAMES),
        "skeleton": (COCO17_LIMBS + 1).tolist(),
    }
    info = {"description": "2D keypoints of a Crowd3D reconstruction"}
    write_json(path, {"info": info, "images": images, "annotations": annotations, "categories": [category]})


def _annotation(points: np.ndarray, score: float, number: int, image: int, track: int) -> dict[str, Any]:
    """One person; keypoints are pixels with COCO's flag 2 (seen) or 0, 0, 0 (unknown)."""
    known = points[:, 2] > 0
    low, high = points[known, :2].min(0), points[known, :2].max(0)
    margin = _BOX_MARGIN * (high - low)
    box = np.round(np.concatenate([low - margin, high - low + 2.0 * margin]), 2)
    flat = np.where(known[:, None], np.column_stack([np.round(points[:, :2], 2), np.full(len(points), 2.0)]), 0.0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "track_id": track,
        "iscrowd": 0,
        "bbox": box.tolist(),
        "area": round(float(box[2] * box[3]), 2),
        "num_keypoints": int(known.sum()),
        "keypoints": flat.ravel().tolist(),
        "score": round(score, 4),
        "keypoint_scores": np.round(points[:, 2], 4).tolist(),
    }
