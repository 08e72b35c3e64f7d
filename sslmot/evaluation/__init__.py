"""Scores, where there is ground truth."""
