"""The networks: Crowd3DNet with its backbones, decoding and lifting; checkpoints and engines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crowd3d.model.checkpoints import fill, load_network, load_released_checkpoint, load_weights, save_weights
    from crowd3d.model.conversion import make_engine
    from crowd3d.model.crowd3dnet import Crowd3DNet, Maps, Places
    from crowd3d.model.decoding import Detections, decode_maps
    from crowd3d.model.engines import Engine
    from crowd3d.model.lifting import LiftedPeople, TileViews, lift_people, torso_root

_HOMES = {
    "checkpoints": ("fill", "load_network", "load_released_checkpoint", "load_weights", "save_weights"),
    "conversion": ("make_engine",),
    "crowd3dnet": ("Crowd3DNet", "Maps", "Places"),
    "decoding": ("Detections", "decode_maps"),
    "engines": ("Engine",),
    "lifting": ("LiftedPeople", "TileViews", "lift_people", "torso_root"),
}
__all__ = [
    "Crowd3DNet",
    "Detections",
    "Engine",
    "LiftedPeople",
    "Maps",
    "Places",
    "TileViews",
    "decode_maps",
    "fill",
    "lift_people",
    "load_network",
    "load_released_checkpoint",
    "load_weights",
    "make_engine",
    "save_weights",
    "torso_root",
]


def __getattr__(name: str) -> object:
    # Engines need no PyTorch, which takes two seconds to import.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
