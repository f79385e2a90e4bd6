"""Pictures of a reconstructed scene: the overlay on the photograph and the map seen from above."""

from crowd3d.render.colours import person_colours
from crowd3d.render.crowd import Style
from crowd3d.render.overlay import render_overlay, render_overview, render_zoom
from crowd3d.render.topview import top_view

__all__ = ["Style", "person_colours", "render_overlay", "render_overview", "render_zoom", "top_view"]
