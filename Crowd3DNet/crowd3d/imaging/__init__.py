"""Reading gigapixel images crop by crop, and tile layouts."""

from crowd3d.imaging.given import Given, opened
from crowd3d.imaging.part_params import PartParams, read_part_params
from crowd3d.imaging.reader import GigapixelImage, turned, turned_square
from crowd3d.imaging.tiles import TileName, format_tile_name, parse_tile_name, plan_pyramid, plan_tiles, plan_tiles_release
from crowd3d.imaging.writer import path_for_size, write_jpeg, write_png, write_strips

__all__ = [
    "GigapixelImage",
    "Given",
    "PartParams",
    "TileName",
    "format_tile_name",
    "opened",
    "parse_tile_name",
    "path_for_size",
    "plan_pyramid",
    "plan_tiles",
    "plan_tiles_release",
    "read_part_params",
    "turned",
    "turned_square",
    "write_jpeg",
    "write_png",
    "write_strips",
]
