"""Bodies over the photograph, against the formula in NumPy."""

import numpy as np

from crowd3d.render.blending import blend


def test_bodies_and_their_rims_are_laid_over_the_photograph_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(4)
    photo, drawn = (rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(2))
    identity = rng.integers(0, 3, (40, 50)).astype(np.int32)
    rim = np.where(identity > 0, 255, rng.integers(0, 256, (40, 50)) * rng.integers(0, 2, (40, 50))).astype(np.uint8)
    cover = np.where(identity > 0, 0.8, 0.55 * rim / 255)[..., None]
    expected = np.where(rim[..., None] > 0, photo * (1 - cover) + drawn * cover, photo)
    blended = photo.copy()
    blend(blended, drawn, identity, rim, 0.8, 0.55)
    np.testing.assert_allclose(blended, expected, atol=0.51)
    np.testing.assert_array_equal(blended[rim == 0], photo[rim == 0])
