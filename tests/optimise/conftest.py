"""Fixtures of the optimiser's tests."""

from small_crowd import body, crowd, noisy, seen

__all__ = ["body", "crowd", "noisy", "seen"]
