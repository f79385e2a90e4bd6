"""Browser viewer: one self-contained HTML file."""

from crowd3d.view.viewer import Layers, Moment, Path2D, write_viewer

__all__ = ["Layers", "Moment", "Path2D", "write_viewer"]
