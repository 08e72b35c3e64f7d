"""Detect objects in frames."""
