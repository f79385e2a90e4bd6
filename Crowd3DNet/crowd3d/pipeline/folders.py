"""Names of the files of a run; those of the release are kept, so that tools made for them go on working."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MidFolder:
    """Intermediate files of one photograph."""

    root: Path

    @property
    def position(self) -> Path:
        """(T, 4) int64 tiles: top, left, bottom, right."""
        return self.root / "position.npy"

    @property
    def row_col(self) -> Path:
        """(T, 2) int64 tile row and column."""
        return self.root / "row_col.npy"

    @property
    def tiles(self) -> Path:
        """512² JPEG tiles."""
        return self.root / "part_images_scale"

    @property
    def tile_overview(self) -> Path:
        """The photograph with the outlines of the tiles."""
        return self.root / "part.jpg"

    @property
    def alphapose(self) -> Path:
        """Keypoints per tile in AlphaPose's result format."""
        return self.root / "alphapose-results-scale.json"

    @property
    def keypoints(self) -> Path:
        """(N, 17, 3) float64 u, v, score of everybody."""
        return self.root / "joints_2d_alphapose_merge.npy"

    @property
    def standing_keypoints(self) -> Path:
        """The same for upright people only."""
        return self.root / "joints_2d_alphapose_merge_filter.npy"

    @property
    def keypoint_overview(self) -> Path:
        """The photograph with the keypoints."""
        return self.root / "joints_2d_merge_filter_scale.jpg"

    @property
    def observations(self) -> Path:
        """Everything that is known of everybody; depth and HVIP only from the embedded backend."""
        return self.root / "observations.npz"

    @property
    def occupied_tiles(self) -> Path:
        """Names of the tiles with people."""
        return self.root / "have_people_image_name.json"

    @property
    def optimisation_annotations(self) -> Path:
        """Keypoints per tile for the per-scene fine-tuning."""
        return self.root / "optim_annots_scale.pkl"

    @property
    def raw_ground(self) -> Path:
        """Camera and ground as estimated, in the release's three files; the plane is that of the ankles."""
        return self.root / "ground_mid" / "mid"

    @property
    def ground(self) -> Path:
        """Camera and ground for everything later, in the release's three files."""
        return self.root / "ground_mid" / "ground"


@dataclass(frozen=True)
class ResultFolder:
    """Results of one photograph."""

    root: Path

    @property
    def camera(self) -> Path:
        """Camera, ground and their covariance in full precision."""
        return self.root / "camera_ground.json"

    @property
    def estimate(self) -> Path:
        """The same before the optimisation."""
        return self.root / "lifted" / "camera_ground.json"

    @property
    def lifted(self) -> Path:
        """The scene before the optimisation, and pictures of it if they were asked for."""
        return self.root / "lifted"

    @property
    def network(self) -> Path:
        """People as Crowd3DNet says, everybody once."""
        return self.root / "network.npz"

    @property
    def all_result(self) -> Path:
        """People per tile as the network says, the release's pickle."""
        return self.root / "all_result.pkl"

    @property
    def predict(self) -> Path:
        """Everybody, in the schema of the LargeCrowd submission."""
        return self.root / "predict.json"

    @property
    def predict_extra(self) -> Path:
        """Scores, ids and the body that betas belong to."""
        return self.root / "predict_extra.json"

    @property
    def overlay(self) -> Path:
        """The photograph with the bodies, full size; ``.tif`` where it is larger than JPEG allows (`crowd3d.imaging.path_for_size`)."""
        return self.root / "overlay.jpg"

    @property
    def overview(self) -> Path:
        """The same, reduced."""
        return self.root / "overview.jpg"

    @property
    def top_view(self) -> Path:
        """Map of the ground."""
        return self.root / "topview.png"

    @property
    def mesh(self) -> Path:
        """Crowd and ground in the upright world."""
        return self.root / "crowd.glb"

    @property
    def table(self) -> Path:
        """One line per person."""
        return self.root / "people.csv"

    @property
    def page(self) -> Path:
        """Self-contained page for the browser."""
        return self.root / "viewer.html"


@dataclass(frozen=True)
class SequenceFolder:
    """Files of a sequence.

    Attributes:
        mid_root: intermediate files, a folder per picture.
        res_root: results.
    """

    mid_root: Path
    res_root: Path

    def mid(self, frame: str) -> MidFolder:
        """Intermediate files of a picture, those of a single photograph."""
        return MidFolder(self.mid_root / "frames" / frame)

    def results(self, frame: str) -> ResultFolder:
        """Results of a picture, those of a single photograph."""
        return ResultFolder(self.res_root / "frames" / frame)

    @property
    def ground_mid(self) -> Path:
        """Camera and ground for all pictures, in the release's files."""
        return self.mid_root / "ground_mid"

    @property
    def video(self) -> Path:
        """Pictures that were taken from a video."""
        return self.mid_root / "video"

    @property
    def camera(self) -> Path:
        """Camera, ground and their covariance, for all pictures."""
        return self.res_root / "camera_ground.json"

    @property
    def trajectories(self) -> Path:
        """One line per person and picture."""
        return self.res_root / "trajectories.csv"

    @property
    def top_view(self) -> Path:
        """Map of the ground with everybody's path."""
        return self.res_root / "topview.png"

    @property
    def predict(self) -> Path:
        """Everybody in all pictures; the ids that stay are in ``predict_extra.json`` beside it."""
        return self.res_root / "predict.json"
