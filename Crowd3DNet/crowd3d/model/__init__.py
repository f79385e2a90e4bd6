"""The networks: Crowd3DNet with its backbones, decoding and lifting; checkpoints and engines."""

from crowd3d.model.checkpoints import fill, load_network, load_released_checkpoint, load_weights, save_weights
from crowd3d.model.crowd3dnet import Crowd3DNet, Maps, Places
from crowd3d.model.decoding import Detections, decode_maps
from crowd3d.model.engines import Engine, make_engine
from crowd3d.model.lifting import LiftedPeople, TileViews, lift_people, torso_root

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
