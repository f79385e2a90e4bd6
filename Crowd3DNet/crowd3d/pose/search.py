"""Finding everybody in a photograph in two looks: by tiles of several sizes, then by those that the ground asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from crowd3d.geometry import Camera, GroundPlane
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.observations import Observations
from crowd3d.pose.source import Source
from crowd3d.types import TileLayout

log = logging.getLogger(__name__)

World = tuple[Camera, GroundPlane]
Planner = Callable[[Observations], World | None]
"""Camera and ground that follow from those who are certainly there, None where nothing does."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Surroundings:
    """What a backend may use besides the photograph.

    Attributes:
        known: camera and ground, where they need not be estimated.
        plan: estimates camera and ground from people.
        layout: tiles of the photograph, for backends that want them (`PoseBackend.wants_tiles`).
        tiles_folder: holds these tiles as 512² JPEG files, named by `format_tile_name`.
        sightings: where such a backend's results in tiles go, in AlphaPose's format.
    """

    known: World | None
    plan: Planner
    layout: TileLayout | None = None
    tiles_folder: Path = Path()
    sightings: Path = Path()


class Seeker(Protocol[Found]):
    """Networks in this process that look anywhere in a photograph; `Found` is what they remember between looks."""

    @property
    def source(self) -> Source:
        """What their measurements are worth."""
        ...

    def first_look(self, image: GigapixelImage) -> Found:
        """By tiles of several sizes, when neither camera nor ground is known."""
        ...

    def sure(self, image: GigapixelImage, found: Found) -> Observations:
        """Those who are certainly there."""
        ...

    def look_again(self, image: GigapixelImage, found: Found, camera: Camera, ground: GroundPlane) -> Found:
        """By tiles of the right size, where the first look left doubts."""
        ...

    def only_look(self, image: GigapixelImage, camera: Camera, ground: GroundPlane) -> Found:
        """Camera and ground are known before anything has been seen: one look instead of two."""
        ...

    def people(self, image: GigapixelImage, found: Found) -> Observations:
        """Everybody once, with all that can be measured of them."""
        ...


def search(seeker: Seeker, image: GigapixelImage, plan: Planner, known: World | None = None) -> Observations:
    """Everybody in a photograph.

    Args:
        seeker: who looks.
        image: the photograph.
        plan: estimates camera and ground between the looks.
        known: camera and ground, where nothing needs to be estimated.

    Returns:
        People, perhaps nobody.
    """
    image.decode_ahead()
    if known is not None:
        return seeker.people(image, seeker.only_look(image, *known))
    found = seeker.first_look(image)
    sure = seeker.sure(image, found)
    world = plan(sure) if len(sure) else None
    if world is not None:
        found = seeker.look_again(image, found, *world)
    return seeker.people(image, found)
