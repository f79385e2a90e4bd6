"""Sharing work among the processes that ``torchrun`` starts, on one machine or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")
_PATIENCE = timedelta(days=30)


class Shard(NamedTuple):
    """This process among all.

    Attributes:
        rank: its number.
        processes: how many there are.
    """

    rank: int = 0
    processes: int = 1

    @classmethod
    def join(cls) -> Shard:
        """Meet the other processes of ``torchrun``; alone without it."""
        # What `torch.distributed.is_torchelastic_launched` asks: who is alone need not import PyTorch.
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # noqa: TID251 (torchrun sets it)
            return cls()
        from torch import distributed

        # Others may have pictures to do for hours when this process has finished its own.
        distributed.init_process_group("gloo", timeout=_PATIENCE)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process does what is done once for all."""
        return self.rank == 0

    def part(self, items: Sequence[Item]) -> Sequence[Item]:
        """What this process has to do."""
        return items[self.rank :: self.processes]

    def gather(self, value: dict[str, str]) -> dict[str, str]:
        """Wait for everybody; the union of what all processes give."""
        if self.processes == 1:
            return value
        from torch import distributed

        gathered: list[dict[str, str]] = [{} for _ in range(self.processes)]
        distributed.all_gather_object(gathered, value)
        return {key: text for one in gathered for key, text in one.items()}

    def once(self, make: Callable[[], Value]) -> Value:
        """What the leading process makes, given to everybody; where it fails, ``torchrun`` ends the others."""
        if self.processes == 1:
            return make()
        from torch import distributed

        told = [make() if self.leads else None]
        distributed.broadcast_object_list(told)
        return told[0]  # type: ignore[return-value]


ALONE = Shard()
"""One process that does everything."""
