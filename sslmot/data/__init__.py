"""Readers of data for tracking and training."""
