"""Who touches whom: a handful of balls per person, looked up in a spatial index."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from crowd3d.optimise.terms import SPHERES
from crowd3d.types import NOMINAL_STATURE_M

CONTACTS = 4
REACH_M = 1.2
MARGIN_M = 0.05
"""Balls that are this near to each other are watched as well, so that a step does not push them together."""


def find_contacts(centres: Tensor, stature_m: Tensor, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For everybody the deepest contacts with others.

    Args:
        centres: (N, B, 3) balls of everybody in the upright world, metres.
        stature_m: (N,) statures, which scale the balls.
        frame: (N,) photograph that each person is in.

    Returns:
        ball (N, M), away (N, M, 3) and bound (N, M) of `terms.Held`.
    """
    count = len(centres)
    balls = torch.zeros(count, CONTACTS, dtype=torch.long)
    away, bound = centres.new_zeros(count, CONTACTS, 3), centres.new_zeros(count, CONTACTS)
    place = centres.mean(1)[:, [0, 2]].numpy()
    pairs = cKDTree(place).query_pairs(REACH_M, output_type="ndarray") if count else np.zeros((0, 2), np.int64)
    together = frame.numpy()
    pairs = pairs[together[pairs[:, 0]] == together[pairs[:, 1]]]
    if len(pairs) == 0:
        return balls, away, bound
    first, second = torch.from_numpy(np.concatenate([pairs, pairs[:, ::-1]]).astype(np.int64)).unbind(1)
    radius = torch.tensor([r for _, r in SPHERES]).to(centres) * (stature_m / NOMINAL_STATURE_M)[:, None]
    between = centres[first][:, :, None] - centres[second][:, None]
    distance = between.norm(dim=-1)
    overlap = (radius[first][:, :, None] + radius[second][:, None] - distance).flatten(1)
    depth, which = overlap.max(1)
    mine, other = which // len(SPHERES), which % len(SPHERES)
    row = torch.arange(len(first))
    gap = distance[row, mine, other]
    normal = between[row, mine, other] / gap.clamp(min=1e-9)[:, None]
    # two people at the same place: one to the right, one to the left
    aside = torch.sign(first - second).to(centres)[:, None] * torch.tensor([1.0, 0.0, 0.0]).to(centres)
    normal = torch.where((gap > 1e-6)[:, None], normal, aside)
    limit = (centres[first, mine] * normal).sum(1) + depth / 2
    order = np.lexsort((-depth.numpy(), first.numpy()))
    ranked = first.numpy()[order]
    rank = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    chosen = torch.from_numpy(order[(rank < CONTACTS) & (depth.numpy()[order] > -MARGIN_M)].copy())
    slot = torch.from_numpy(rank[(rank < CONTACTS) & (depth.numpy()[order] > -MARGIN_M)])
    balls[first[chosen], slot] = mine[chosen]
    away[first[chosen], slot] = normal[chosen]
    bound[first[chosen], slot] = limit[chosen]
    return balls, away, bound


def deepest_overlap(centres: Tensor, stature_m: Tensor) -> Tensor:
    """(N,) metres by which everybody's balls reach into somebody else's, 0 for most."""
    ball, away, bound = find_contacts(centres, stature_m, torch.zeros(len(centres)))
    at = centres.gather(1, ball[..., None].expand(*ball.shape, 3))
    return 2 * (bound - (at * away).sum(-1)).amax(1).clamp(min=0.0)
