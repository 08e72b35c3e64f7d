"""Thresholds that fit an encoder or footage."""
