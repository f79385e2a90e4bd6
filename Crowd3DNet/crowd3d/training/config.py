"""The keys of ``configs/train/*.yml``; each can be overridden on the command line as ``key=value``."""

from __future__ import annotations

from dataclasses import dataclass, field

from crowd3d.errors import BadConfig
from crowd3d.imaging.tiles import RELEASE_TILE_PX
from crowd3d.model.crowd3dnet import BACKBONES, MAP_STRIDE
from crowd3d.model.place_maps import TILE_PX
from crowd3d.training.augment import Augmentation
from crowd3d.training.supervision import LossWeights

DATASET_NAMES = ("muco", "h36m", "agora", "largecrowd", "synthetic")


@dataclass(frozen=True)
class TrainConfig:
    """One stage of the published recipe.

    Attributes:
        tab: name of the stage.
        tag: name of the run; by default ``<backbone>_cm<cells>``. Files go to ``train_log/<tag>_<tab>/``.
        backbone: hrnet_w32, resnet50 or compact.
        body: smpl, free_low, or auto for the free body when there are only synthetic crowds.
        dataset: names of `DATASET_NAMES` with commas between.
        probabilities: how often a sample comes from each; those of the chosen data sets are scaled to sum to 1.
        epoch: epochs of this stage.
        steps_per_epoch: 0 for what the data sets' sizes give.
        new_training_epoch: so many first epochs teach centres only.
        batch_size: tiles per process and step.
        accumulate: batches whose mean gradient makes a step.
        lr: rate of Adam, times 0.1 when each of the epochs `milestones` begins.
        model_precision: fp32, bf16, fp16, or auto for fp16 on a GPU and fp32 elsewhere.
        device: auto, cpu or cuda.
        nw: worker processes that make batches, at most one per core; 0 makes them in the training process.
        seed: of weights, order and augmentation.
        centermap_conf_thresh: score above which a cell is a predicted centre.
        save_every, report_every: steps between saved states and between lines of the log.
        validation_tiles: held-out synthetic tiles that every epoch ends with.
        augmentation: how often and how much samples are changed.
        loss_weights: weights of the terms.
    """

    tab: str
    tag: str = ""
    backbone: str = "hrnet_w32"
    body: str = "auto"
    dataset: str = "muco,h36m,agora,largecrowd"
    probabilities: dict[str, float] = field(default_factory=dict)
    epoch: int = 15
    steps_per_epoch: int = 0
    new_training_epoch: int = 0
    batch_size: int = 30
    accumulate: int = 1
    lr: float = 5e-5
    milestones: tuple[int, ...] = (50, 65)
    model_precision: str = "auto"
    device: str = "auto"
    nw: int = 4
    seed: int = 0
    centermap_conf_thresh: float = 0.2
    save_every: int = 500
    report_every: int = 10
    validation_tiles: int = 64
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss_weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name in ("epoch", "batch_size", "accumulate", "save_every", "report_every", "validation_tiles"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("steps_per_epoch", "new_training_epoch", "nw", "seed"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        self._check("backbone", self.backbone in BACKBONES, f"one of {', '.join(BACKBONES)}")
        self._check("body", self.body in ("auto", "smpl", "free_low"), "one of auto, smpl, free_low")
        self._check("dataset", bool(self.datasets) and set(self.datasets) <= set(DATASET_NAMES), f"of {', '.join(DATASET_NAMES)}")
        missing = [name for name in self.datasets if self.probabilities.get(name, 0.0) <= 0]
        self._check("probabilities", not missing, f"above 0 for {', '.join(missing)}")

    def _check(self, key: str, good: bool, wanted: str) -> None:
        if not good:
            raise BadConfig(f"{key}={getattr(self, key)} is not {wanted}; correct it")

    @property
    def datasets(self) -> list[str]:
        """Names of the chosen data sets."""
        return [name.strip().removesuffix("_scale") for name in self.dataset.split(",") if name.strip()]

    @property
    def shares(self) -> list[float]:
        """How often a sample comes from each of `datasets`."""
        chosen = [self.probabilities[name] for name in self.datasets]
        return [share / sum(chosen) for share in chosen]

    @property
    def tile_px(self) -> int:
        """Side of a tile."""
        return TILE_PX if self.backbone == "compact" else RELEASE_TILE_PX

    @property
    def body_name(self) -> str:
        """For `load_body`."""
        automatic = "free_low" if self.datasets == ["synthetic"] else "smpl"
        return automatic if self.body == "auto" else self.body

    @property
    def body_kind(self) -> str:
        """What files call the body."""
        return "smpl" if self.body_name == "smpl" else "free"

    @property
    def run_name(self) -> str:
        """Name of the folder."""
        tag = self.tag or f"{self.backbone.split('_')[0]}_cm{self.tile_px // MAP_STRIDE}"
        return f"{tag}_{self.tab}"
