"""Readers of the data that sslmot tracks and learns from."""
