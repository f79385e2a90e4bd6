"""Several data sets as one, in given proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crowd3d.training.datasets.base import AnnotatedTiles
from crowd3d.training.supervision import Sample


class MixedData:
    """One pass is as long as the release's: until the data set that lasts longest at its probability has been seen once.

    Of the places of a pass each data set has a share equal to its probability. Its places divide its items evenly among them, and the
    generator chooses within each part, so that every item is as likely as any other; the release sees some items half as often.

    Args:
        datasets: at least one, none of them empty.
        probabilities: one each, positive; scaled to sum 1.
    """

    def __init__(self, datasets: Sequence[AnnotatedTiles], probabilities: Sequence[float]) -> None:
        shares = np.array(probabilities, np.float64)
        if len(datasets) != len(shares) or not len(shares) or not (shares > 0).all():
            raise ValueError(f"{len(datasets)} data sets with probabilities {list(probabilities)}; one positive number each is needed")
        shares /= shares.sum()
        self.datasets = list(datasets)
        self.length = max(1, int(max(int(len(d) / d.subsampling) / share for d, share in zip(datasets, shares, strict=True))))
        self.ends = np.round(np.cumsum(shares) * self.length).astype(np.int64)

    def __len__(self) -> int:
        return self.length

    def choose(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        """Data set and item of a place in the pass."""
        dataset = int(np.searchsorted(self.ends, index, side="right"))
        first = int(self.ends[dataset - 1]) if dataset else 0
        places, items = int(self.ends[dataset]) - first, len(self.datasets[dataset])
        return dataset, min(int((index - first + rng.random()) * items / places), items - 1)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of a place in the pass; `rng` says which item of the place's part, and how it is augmented."""
        dataset, item = self.choose(index, rng)
        return self.datasets[dataset].sample(item, rng)
