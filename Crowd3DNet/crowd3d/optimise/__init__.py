"""Crowd bundle adjustment: camera, ground and everybody in one least-squares problem."""

from crowd3d.optimise.belief import EMBEDDED, INDEPENDENT, PLAIN, Belief, belief_of
from crowd3d.optimise.refine import Part, RefineReport, refine, refine_frames, refine_in_rounds

__all__ = [
    "EMBEDDED",
    "INDEPENDENT",
    "PLAIN",
    "Belief",
    "Part",
    "RefineReport",
    "belief_of",
    "refine",
    "refine_frames",
    "refine_in_rounds",
]
