"""A generated crowd, to try everything without data."""
