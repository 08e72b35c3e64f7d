"""Fuzzer: random inputs, to find crashes, hangs, high memory use and undocumented errors.

Run ``python -m tests.fuzz --seconds 300``, if possible under sanitizers (``sanitized.sh``). Each
module has ``TARGETS``, by name. A target takes a random generator, makes one case and calls the
library. It catches documented errors (``errors.py``). Any other error is a fault.
"""
