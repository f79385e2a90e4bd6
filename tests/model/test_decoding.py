from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import maximum_filter

from crowd3d.model import Detections, Maps, decode_maps
from crowd3d.model.decoding import local_maxima
from crowd3d.model.place_maps import HVIP_REACH, TORSO_OFFSET_TILES, find_peaks, torso_and_reach
from crowd3d.pipeline.network import INFERENCE_THRESHOLD


def random_maps(batch: int = 3, side: int = 32) -> Maps:
    draw = torch.Generator().manual_seed(0)
    return Maps(torch.rand(batch, 148, side, side, generator=draw), torch.rand(batch, 1, side, side, generator=draw))


def test_people_agree_with_the_release(reference) -> None:
    released = reference.released
    people = decode_maps(reference.maps, INFERENCE_THRESHOLD)
    np.testing.assert_array_equal(people.centers.numpy(), released["parsed__centers_pred"])
    np.testing.assert_array_equal(people.image_index.numpy(), released["parsed__reorganize_idx"])
    np.testing.assert_allclose(people.score.numpy(), released["parsed__centers_conf"][:, 0], atol=1e-4)
    np.testing.assert_allclose(people.numbers.numpy(), released["parsed__params_pred"], atol=1e-4)
    np.testing.assert_allclose(people.pose_rad.flatten(1).numpy(), released["params__poses"], atol=1e-4)


def test_peaks_are_the_local_maxima_of_scipy() -> None:
    maps = random_maps()
    people = decode_maps(maps, threshold=0.9, top_k=1000)
    centre = maps.center_map[:, 0].numpy()
    image, y, x = np.nonzero((centre == maximum_filter(centre, (0, 5, 5), mode="constant")) & (centre > 0.9))
    found = {tuple(row) for row in torch.cat([people.image_index[:, None], people.centers], dim=1).tolist()}
    assert found == set(zip(image.tolist(), x.tolist(), y.tolist(), strict=True))


def test_order_is_by_tile_then_by_falling_score_and_top_k_keeps_the_best() -> None:
    maps = random_maps()
    everybody, best = decode_maps(maps, 0.0, 1000), decode_maps(maps, 0.0, 5)
    for tile in range(3):
        scores = everybody.score[everybody.image_index == tile]
        assert (scores.diff() <= 0).all()
        torch.testing.assert_close(best.score[best.image_index == tile], scores[:5])
    assert (everybody.image_index.diff() >= 0).all()


def test_values_belong_to_their_cells() -> None:
    maps = random_maps()
    people = decode_maps(maps, 0.5)
    for i, (x, y) in zip(range(len(people)), people.centers.tolist(), strict=True):
        tile = people.image_index[i]
        assert people.score[i] == maps.center_map[tile, 0, y, x]
        torch.testing.assert_close(people.numbers[i], maps.params_maps[tile, :, y, x])


def test_threshold_is_strict_and_plateaus_keep_all_their_cells() -> None:
    centre = torch.zeros(1, 1, 16, 16)
    centre[0, 0, 3, 4] = 0.25
    centre[0, 0, 10, 10:12] = 0.5
    people = decode_maps(Maps(torch.zeros(1, 148, 16, 16), centre), threshold=0.25)
    assert sorted(people.centers.tolist()) == [[10, 10], [11, 10]]


def test_an_empty_place_has_nobody() -> None:
    people = decode_maps(Maps(torch.zeros(2, 148, 16, 16), torch.zeros(2, 1, 16, 16)), INFERENCE_THRESHOLD)
    assert len(people) == 0
    assert people.pose_rad.shape == (0, 24, 3)


def test_the_148_numbers_are_split_as_specified() -> None:
    numbers = torch.arange(148, dtype=torch.float64)[None].repeat(2, 1)
    identity = torch.tensor([1.0, 0, 0, 1, 0, 0], dtype=torch.float64).repeat(22)
    numbers[1, 6:138] = identity
    people = Detections(torch.zeros(2, 2, dtype=torch.int64), torch.ones(2), torch.zeros(2, dtype=torch.int64), numbers, 64)
    assert people.hvip_length[0] == 0
    assert people.torso_offset[0].tolist() == [1, 2]
    assert people.space_offset[0].tolist() == [3, 4, 5]
    assert people.betas[0].tolist() == list(range(138, 148))
    torch.testing.assert_close(people.rotations[1], torch.eye(3, dtype=torch.float64).expand(24, 3, 3))
    first_column = torch.tensor([6.0, 8.0, 10.0], dtype=torch.float64)
    torch.testing.assert_close(people.rotations[0, 0, :, 0], first_column / first_column.norm())
    torch.testing.assert_close(people.pose_rad[:, 22:], torch.zeros(2, 2, 3, dtype=torch.float64))


def test_places_without_pytorch_are_those_of_the_whole_decoding() -> None:
    maps = random_maps()
    people = decode_maps(maps, 0.3)
    peaks = find_peaks(local_maxima(maps.center_map).numpy(), 0.3)
    assert np.bincount(peaks.tile).tolist() == np.bincount(people.image_index).tolist()
    np.testing.assert_array_equal(np.stack([peaks.x, peaks.y], 1), people.centers.numpy())
    np.testing.assert_array_equal(peaks.score, people.score.numpy())
    torso, reach = torso_and_reach(peaks, maps.params_maps[:, :3].numpy())
    offset = TORSO_OFFSET_TILES * (2 * people.torso_offset - 1)
    np.testing.assert_allclose(torso, (people.centers / people.map_size + offset).numpy(), atol=1e-6)
    np.testing.assert_allclose(reach, (people.hvip_length * HVIP_REACH / 2).numpy(), atol=1e-6)


def test_no_places_where_nothing_is_above_the_threshold() -> None:
    assert [len(part) for part in find_peaks(np.zeros((2, 1, 8, 8), np.float32), 0.2)] == [0, 0, 0, 0]
