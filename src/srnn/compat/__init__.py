"""The published networks: their weights, loaded into an ordinary SRNN."""

from .published import PUBLISHED, Published, load_published

__all__ = ["PUBLISHED", "Published", "load_published"]
