"""C99 for devices: ``export_c`` writes a trained network as a small library, a program to try it, and a Makefile."""

from .project import export_c

__all__ = ["export_c"]
