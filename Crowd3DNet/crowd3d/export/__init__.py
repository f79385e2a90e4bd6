"""Meshes and tables for other programs, one module per format."""

from crowd3d.export.bvh import write_bvh
from crowd3d.export.coco import write_coco
from crowd3d.export.glb import write_glb
from crowd3d.export.obj import write_release_objs
from crowd3d.export.people_csv import write_people_csv
from crowd3d.export.ply import write_ply
from crowd3d.export.rigged import write_rigged_glb
from crowd3d.export.rrd import write_rrd
from crowd3d.export.smpl import write_mcs, write_smpl
from crowd3d.export.usd import write_usd

__all__ = [
    "write_bvh",
    "write_coco",
    "write_glb",
    "write_mcs",
    "write_people_csv",
    "write_ply",
    "write_release_objs",
    "write_rigged_glb",
    "write_rrd",
    "write_smpl",
    "write_usd",
]
