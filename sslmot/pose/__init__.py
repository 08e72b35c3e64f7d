"""Poses of people: joints in crops, the full-body filter, pose maps and canonical poses."""
