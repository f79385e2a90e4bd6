"""Browser viewer: one self-contained HTML file."""

from crowd3d.view.viewer import Curve, Layers, Moment, Way, write_viewer

__all__ = ["Curve", "Layers", "Moment", "Way", "write_viewer"]
