"""Inputs made at random, in search of those that crash, hang, take all memory or raise wrongly.

``python -m tests.fuzz --seconds 300``, best under sanitizers (``sanitized.sh``). A module has
``TARGETS``: by name what takes a generator, makes one case of it and asks the library. A target
swallows the errors that are documented (``errors.py``); whatever else it raises is a fault.
"""
