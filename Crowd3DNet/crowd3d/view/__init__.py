"""Browser viewer: one self-contained HTML file."""

from crowd3d.view.viewer import Layers, Moment, Way, write_viewer

__all__ = ["Layers", "Moment", "Way", "write_viewer"]
