"""Benchmarks against every peer: ``python -m benchmarks`` from the repository's root. See
docs/benchmarks.md.

Not part of the installed package, and no test depends on it: it measures wall time.
"""
