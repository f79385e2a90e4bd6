"""Rotations, camera, ground plane, HVIP and projection. NumPy and PyTorch only."""

from crowd3d.geometry.camera import Camera
from crowd3d.geometry.plane import GroundPlane

__all__ = ["Camera", "GroundPlane"]
