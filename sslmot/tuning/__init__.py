"""Fit the tracker's settings to an encoder or to footage."""
