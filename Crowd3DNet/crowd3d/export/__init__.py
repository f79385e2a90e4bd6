"""Meshes and tables for other programs, one module per format."""

from crowd3d.export.glb import write_glb
from crowd3d.export.obj import write_release_objs
from crowd3d.export.people_csv import write_people_csv
from crowd3d.export.ply import write_ply

__all__ = ["write_glb", "write_people_csv", "write_ply", "write_release_objs"]
