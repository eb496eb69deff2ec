"""The published networks: their weights, loaded into an ordinary SRNN, and a comparison with
recordings of the authors' runs."""

from .networks import PUBLISHED
from .published import describe_silent_units, load_published
from .replay import Replay, verify

__all__ = ["PUBLISHED", "Replay", "describe_silent_units", "load_published", "verify"]
