"""Live signals: a network one step at a time (``Stream``); with its encoder and class scores, a
whole ``Decoder``."""

from __future__ import annotations

from ...nn.decision import Decisions
from .decoder import Decoder, Session
from .spotting import Spotter, SpottingRule
from .stream import Stream

__all__ = ["Decisions", "Decoder", "Session", "Spotter", "SpottingRule", "Stream"]
