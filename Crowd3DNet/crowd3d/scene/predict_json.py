"""``predict.json``, the result file of the LargeCrowd benchmark, and ``predict_extra.json`` with what its schema has no room for."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crowd3d.errors import BadOutput, MissingAsset
from crowd3d.files import atomic_path, read_json, write_json
from crowd3d.types import People, Scene

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

EXTRA_NAME = "predict_extra.json"
HANDS = (22, 23)
_CHUNK = 1 << 22


@dataclass(frozen=True)
class PredictedFrame:
    """One frame of ``predict.json``.

    Attributes:
        image: name of the frame's file.
        K: (3, 3) float64 intrinsic matrix.
        people: everybody; scores are 1 and keypoints unknown unless the side file says more.
    """

    image: str
    K: np.ndarray
    people: People


def _shortest(values: np.ndarray) -> list:
    """Numbers that JSON prints with no more digits than the array's type holds, so that reading gives the same array back."""
    return values.astype(str).astype(np.float64).tolist()


def frame_json(scene: Scene) -> dict[str, Any]:
    """One scene in the schema of ``predict.json``; the hand joints are zero, as the schema wants them."""
    people = scene.people
    pose = people.pose_rad.copy()
    pose[:, HANDS] = 0.0
    columns = (pose.reshape(-1, 72), people.betas, people.translation_cam_m, people.hvip_px, people.hvip_cam_m)
    return {
        "Intrinsic_matrix": scene.camera.K.tolist(),
        "person_list": [
            {"pose": p, "shape": b, "trans_cam": t, "gender": "neutral", "scale_smpl": 1.0, "hvip2d": h2, "hvip3d": h3}
            for p, b, t, h2, h3 in zip(*map(_shortest, columns), strict=True)
        ],
    }


def write_predict_json(path: Path, scenes: Iterable[Scene], ids: Iterable[np.ndarray] | None = None) -> None:
    """Write ``predict.json`` frame by frame, and ``predict_extra.json`` beside it.

    The side file holds per frame: name of the body that the betas belong to, ground plane, image size, the lens' distortion if it has
    any, scores and ids. Only one scene is held at a time.

    Args:
        path: file to write.
        scenes: scenes with distinct image names.
        ids: (N,) per scene, for people who were followed from picture to picture; by default the rows of ``person_list``.

    Raises:
        BadOutput: the folder cannot be written, somebody is not told in numbers, or there are not as many ids as scenes and people.
    """
    path = Path(path)
    try:
        extra = _write_frames(path, zip(scenes, itertools.repeat(None) if ids is None else ids, strict=ids is not None))
    except ValueError as error:
        raise BadOutput(f"cannot write {path}: {error}; give every scene its ids and every person finite numbers") from error
    write_json(path.parent / EXTRA_NAME, extra)


def _write_frames(path: Path, frames: Iterable[tuple[Scene, np.ndarray | None]]) -> dict[str, Any]:
    """Write the file itself, and return what goes beside it."""
    extra: dict[str, Any] = {}
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("{")
        for scene, id_ in frames:
            _check(scene, id_)
            file.write((",\n" if extra else "\n") + json.dumps(scene.image) + ": " + json.dumps(frame_json(scene), allow_nan=False))
            extra[scene.image] = {
                "body": scene.body,
                "ground": scene.ground.coefficients.tolist(),
                "image_size": [scene.camera.width, scene.camera.height],
                **({} if scene.camera.distortion is None else {"distortion": asdict(scene.camera)["distortion"]}),
                "id": list(range(len(scene.people))) if id_ is None else id_.tolist(),
                "score": np.asarray(scene.people.score, np.float64).tolist(),
            }
        file.write("\n}\n")
    return extra


def _check(scene: Scene, id_: np.ndarray | None) -> None:
    people = scene.people
    if id_ is not None and len(id_) != len(people):
        raise ValueError(f"{scene.image} has {len(people)} people and {len(id_)} ids")
    for name in ("pose_rad", "betas", "translation_cam_m", "hvip_px", "hvip_cam_m", "score"):
        values = getattr(people, name)
        wrong = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if wrong.any():
            raise ValueError(f"{name} of person {int(np.argmax(wrong))} of {scene.image} is no number")


def _frames(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of the file's one object, decoded one by one, so that a file larger than the memory can be read."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as file:
        text, expected = file.read(_CHUNK).lstrip(), "{"
        while text[:1] == expected:
            text = text[1:].lstrip()
            if expected == "{" and text[:1] == "}":
                return
            while True:
                try:
                    name, end = decoder.raw_decode(text)
                    rest = text[end:].lstrip().removeprefix(":").lstrip()
                    frame, end = decoder.raw_decode(rest)
                    text = rest[end:].lstrip()
                    if not text and (more := file.read(_CHUNK)):
                        text = more.lstrip()
                    break
                except RecursionError as error:
                    raise ValueError("nested too deeply") from error
                except json.JSONDecodeError:
                    more = file.read(max(_CHUNK, len(text)))
                    if not more:
                        raise
                    text += more
            yield name, frame
            expected = ","
        if text[:1] != "}":
            raise ValueError("the object of frames is not closed")


def _people(person_list: list[dict[str, Any]], score: list[float] | None) -> People:
    def column(key: str, width: int) -> np.ndarray:
        return np.array([person[key] for person in person_list], np.float64).reshape(-1, width)

    count = len(person_list)
    return People(
        pose_rad=column("pose", 72).reshape(-1, 24, 3).astype(np.float32),
        betas=column("shape", 10).astype(np.float32),
        translation_cam_m=column("trans_cam", 3),
        hvip_px=column("hvip2d", 2),
        hvip_cam_m=column("hvip3d", 3),
        score=np.ones(count) if score is None else np.array(score, np.float64),
        keypoints_px=np.zeros((count, 17, 3)),
    )


def read_predict_json(path: Path) -> Iterator[PredictedFrame]:
    """Read ``predict.json`` frame by frame, with scores from ``predict_extra.json`` when it lies beside it.

    Raises:
        MissingAsset: the file is absent or not of this format.
    """
    path = Path(path)
    side = path.parent / EXTRA_NAME
    try:
        extra = read_json(side) if side.exists() else {}
        for name, frame in _frames(path):
            score = extra[name]["score"] if name in extra else None
            yield PredictedFrame(name, np.array(frame["Intrinsic_matrix"], np.float64), _people(frame["person_list"], score))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingAsset(f"{path} is not a predict.json: {error}; write it again with single_image/inference.py") from error


@cache
def _validator(part: str) -> Draft202012Validator:
    # Only who checks files of other programs needs this package.
    from jsonschema import Draft202012Validator

    schema = json.loads(files("crowd3d.scene").joinpath("predict_schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]})


def validate_predict_json(path: Path) -> int:
    """Check a file against the JSON Schema that ships with the package, ``scene/predict_schema.json``.

    Returns:
        Number of frames.

    Raises:
        MissingAsset: the file is absent or breaks the schema; the message names the first place.
    """
    count = 0
    try:
        for name, frame in _frames(Path(path)):
            for error in _validator("frame").iter_errors(frame):
                place = "/".join(map(str, [name, *error.absolute_path]))
                raise MissingAsset(f"{path} breaks the schema of predict.json at {place}: {error.message[:120]}; write the file again")
            count += 1
    except (OSError, ValueError) as error:
        raise MissingAsset(f"{path} is not a predict.json: {error}; write it again with single_image/inference.py") from error
    return count
