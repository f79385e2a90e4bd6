"""Crowd bundle adjustment: camera, ground and everybody in one least-squares problem."""

from crowd3d.optimise.refine import Part, RefineReport, refine, refine_in_rounds

__all__ = ["Part", "RefineReport", "refine", "refine_in_rounds"]
