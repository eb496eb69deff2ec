"""The beginning of a program that cannot import torch."""

FORBIDDING = """
import importlib, sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is forbidden here")

sys.meta_path.insert(0, Forbidden())
"""
