"""Rotations, camera, ground plane, HVIP and projection. NumPy and PyTorch only."""

from crowd3d.geometry.camera import Camera
from crowd3d.geometry.distortion import Distortion, Fisheye, RadialTangential
from crowd3d.geometry.plane import GroundPlane

__all__ = ["Camera", "Distortion", "Fisheye", "GroundPlane", "RadialTangential"]
