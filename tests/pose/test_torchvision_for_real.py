"""torchvision run for real, on untrained weights that take everything for people; skipped where it is not installed in the right build."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
import torch

from crowd3d.errors import MissingAsset
from crowd3d.imaging import GigapixelImage
from crowd3d.pose.torchvision_backend import TorchvisionPose
from crowd3d.types import TileLayout


def test_untrained_weights_give_people_of_the_right_shape(
    photograph: GigapixelImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        TorchvisionPose().check()
    except MissingAsset as error:
        pytest.skip(str(error))
    from torchvision.models import detection

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    torch.manual_seed(0)
    state = detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][:] = torch.tensor([-5.0, 5.0])
    file = tmp_path / "checkpoints" / Path(urlparse(detection.KeypointRCNN_ResNet50_FPN_Weights.DEFAULT.url).path).name
    file.parent.mkdir()
    torch.save(state, file)
    assert TorchvisionPose().downloaded()
    layout = TileLayout(np.array([[80, 300, 400, 620]]), np.array([[0, 0]]), photograph.size)
    keypoints, tile_index = TorchvisionPose().detect(photograph, layout, Path("unused"))
    assert keypoints.shape == (len(tile_index), 17, 3)
    assert len(tile_index) > 0
    assert (tile_index == 0).all()
    assert ((keypoints[..., :2] >= (300, 80)) & (keypoints[..., :2] <= (620, 400))).all()
    assert ((keypoints[..., 2] >= 0) & (keypoints[..., 2] <= 1)).all()
