"""Scoring reconstructed crowds: assignment, metrics, reports."""

from crowd3d.evaluation.report import Interval, bootstrap_interval, format_table, summarise
from crowd3d.evaluation.scoring import evaluate
from crowd3d.evaluation.truth import Truth, load_truth

__all__ = ["Interval", "Truth", "bootstrap_interval", "evaluate", "format_table", "load_truth", "summarise"]
