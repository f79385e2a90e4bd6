"""Browser viewer: one self-contained HTML file."""

from crowd3d.view.viewer import write_viewer

__all__ = ["write_viewer"]
