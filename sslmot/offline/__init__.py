"""Whole clips: read, tracked, written, drawn."""
