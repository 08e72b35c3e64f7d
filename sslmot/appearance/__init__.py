"""Appearance models: features of the boxes of a frame."""
