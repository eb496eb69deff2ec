"""How a layer runs over time: ``running.py`` picks a backend; ``reference.py`` defines what all
others must compute.

Importing this package imports neither torch nor Numba.
"""
