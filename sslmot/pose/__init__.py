"""Poses of people: joints found in crops, the gate for full bodies, maps and canonical poses."""
