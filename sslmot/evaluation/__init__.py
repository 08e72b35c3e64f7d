"""Scores of tracking and re-identification, from ground truth."""
