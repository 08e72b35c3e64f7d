"""A generated crowd, to try tracking without data."""
