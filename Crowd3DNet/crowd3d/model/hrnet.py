"""HRNet-W32 backbone (Sun et al., Deep High-Resolution Representation Learning, CVPR 2019), the released configuration."""

from __future__ import annotations

from functools import reduce
from operator import add

from torch import Tensor, nn

from crowd3d.model.blocks import BasicBlock, bottlenecks, conv1x1, conv3x3

WIDTHS = (32, 64, 128, 256)
BLOCKS_PER_BRANCH = 4


def _downward(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    """Chain of stride-2 convolutions; only the last one changes the channels, and it has no ReLU."""
    chain: list[nn.Module] = [
        nn.Sequential(conv3x3(in_channels, in_channels, 2), nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)) for _ in range(steps - 1)
    ]
    chain.append(nn.Sequential(conv3x3(in_channels, out_channels, 2), nn.BatchNorm2d(out_channels)))
    return nn.Sequential(*chain)


def _upward(in_channels: int, out_channels: int, steps: int) -> nn.Sequential:
    upsample = nn.Upsample(scale_factor=2**steps, mode="nearest")
    return nn.Sequential(conv1x1(in_channels, out_channels), nn.BatchNorm2d(out_channels), upsample)


def _fusion(source: int, target: int) -> nn.Module | None:
    """Path from branch `source` to branch `target`; None is the identity."""
    if source == target:
        return None
    if source > target:
        return _upward(WIDTHS[source], WIDTHS[target], source - target)
    return _downward(WIDTHS[source], WIDTHS[target], target - source)


class ExchangeModule(nn.Module):
    """Parallel branches, then every output branch sums all of them at its own resolution.

    Args:
        branches: number of input branches; branch b has WIDTHS[b] channels and 1/2^b of the resolution.
        outputs: number of output branches.
    """

    def __init__(self, branches: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*[BasicBlock(WIDTHS[b], WIDTHS[b]) for _ in range(BLOCKS_PER_BRANCH)]) for b in range(branches)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fusion(source, target) for source in range(branches))  # type: ignore[misc]
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        outputs = []
        for paths in self.fuse_layers:
            terms = [x if path is None else path(x) for path, x in zip(paths, maps, strict=True)]  # type: ignore[call-overload]
            outputs.append(self.relu(reduce(add, terms)))
        return outputs


def _stage(modules: int, branches: int, outputs: int) -> nn.ModuleList:
    """`modules` exchanges; only the last one may drop output branches."""
    return nn.ModuleList(ExchangeModule(branches, branches if m < modules - 1 else outputs) for m in range(modules))


def _new_branch(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Sequential(conv3x3(in_channels, out_channels, 2), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)))


class HRNetW32(nn.Module):
    """Images (B, 3, S, S) with values 0…255 → features (B, 32, S/4, S/4)."""

    out_channels = WIDTHS[0]

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, 64, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = conv3x3(64, 64, 2)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = bottlenecks(64, 64, count=4)
        same = nn.Sequential(conv3x3(256, WIDTHS[0]), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True))
        self.transition1 = nn.ModuleList([same, _new_branch(256, WIDTHS[1])])
        self.stage2 = _stage(1, branches=2, outputs=2)
        self.transition2 = nn.ModuleDict({"2": _new_branch(WIDTHS[1], WIDTHS[2])})
        self.stage3 = _stage(4, branches=3, outputs=3)
        self.transition3 = nn.ModuleDict({"3": _new_branch(WIDTHS[2], WIDTHS[3])})
        self.stage4 = _stage(3, branches=4, outputs=1)

    def forward(self, images: Tensor) -> Tensor:
        x = images / 255.0 * 2.0 - 1.0
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        maps = [transition(x) for transition in self.transition1]
        for module in self.stage2:
            maps = module(maps)
        maps = [*maps, self.transition2["2"](maps[-1])]
        for module in self.stage3:
            maps = module(maps)
        maps = [*maps, self.transition3["3"](maps[-1])]
        for module in self.stage4:
            maps = module(maps)
        return maps[0]
