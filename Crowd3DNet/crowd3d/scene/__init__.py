"""From people of single tiles to one scene, and the release's file formats."""

from crowd3d.scene.merging import duplicate_free, group_people
from crowd3d.scene.predict_json import PredictedFrame, read_predict_json, validate_predict_json, write_predict_json
from crowd3d.scene.release_results import ReleaseResults, read_all_result, release_results, write_all_result

__all__ = [
    "PredictedFrame",
    "ReleaseResults",
    "duplicate_free",
    "group_people",
    "read_all_result",
    "read_predict_json",
    "release_results",
    "validate_predict_json",
    "write_all_result",
    "write_predict_json",
]
