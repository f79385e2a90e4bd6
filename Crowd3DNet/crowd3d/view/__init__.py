"""Browser viewer: one self-contained HTML file."""

from crowd3d.view.viewer import Layers, write_viewer

__all__ = ["Layers", "write_viewer"]
