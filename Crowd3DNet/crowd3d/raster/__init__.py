"""A z-buffer with identity buffer on the CPU, shared by the synthetic crowds and by the overlay."""

from crowd3d.raster.buffers import Buffers, Meshes, draw, in_bands
from crowd3d.raster.pytorch3d_renderer import find_renderer
from crowd3d.raster.render import Renderer, load_kernels, render_meshes

__all__ = ["Buffers", "Meshes", "Renderer", "draw", "find_renderer", "in_bands", "load_kernels", "render_meshes"]
