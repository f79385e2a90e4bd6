"""What a reconstructed crowd measures: densities, zones, distances, groups, flows, every figure with its uncertainty."""

from crowd3d.measure.areas import Line, Zone, read_areas, read_control
from crowd3d.measure.figures import Spread
from crowd3d.measure.over_time import LevelsOverTime, levels_over_time
from crowd3d.measure.recall import Recall
from crowd3d.measure.scene import MeasureOptions, SceneMeasures, measure_scene
from crowd3d.measure.sequence import SequenceMeasures, measure_sequence
from crowd3d.measure.view import Control, View

__all__ = [
    "Control",
    "LevelsOverTime",
    "Line",
    "MeasureOptions",
    "Recall",
    "SceneMeasures",
    "SequenceMeasures",
    "Spread",
    "View",
    "Zone",
    "levels_over_time",
    "measure_scene",
    "measure_sequence",
    "read_areas",
    "read_control",
]
