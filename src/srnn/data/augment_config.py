"""The settings of ``augmentation``. A file of its own, so that recipes are read without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import require


@dataclass(frozen=True)
class AugmentConfig:
    """How training sequences are changed at random, anew in every epoch. See ``srnn.data.augmentation``."""

    time_shift: int = 0
    """Up to so many steps, earlier or later."""
    stretch: float = 0.0
    """Time is multiplied by exp(u), u uniform in +- stretch."""
    channel_shift: int = 0
    """Events only: up to so many channels, up or down."""
    drop: float = 0.0
    """Events only: up to this fraction of the events is dropped."""
    channel_warp: float = 0.0
    """Values only: the position of a channel is multiplied by exp(u), u uniform in +- channel_warp: on mel bands, a longer or
    shorter vocal tract (Jaitly & Hinton 2013)."""
    channel_mask: int = 0
    """Values only: twice, up to so many neighbouring channels are set to zero."""
    time_mask: int = 0
    """Values only: twice, up to so many neighbouring steps are set to zero."""
    image_shift: float = 0.0
    """Images read pixel by pixel only: both coordinates of the image move by up to so many pixels."""
    image_warp: float = 0.0
    """Images read pixel by pixel only: turned, sheared and scaled by the matrix 1 + U, U (2, 2) uniform in +- image_warp."""

    def __post_init__(self) -> None:
        for name in ("time_shift", "channel_shift", "channel_mask", "time_mask", "image_shift"):
            require(getattr(self, name) >= 0, f"training.augment.{name}", "at least 0", getattr(self, name))
        for name in ("stretch", "drop", "channel_warp", "image_warp"):
            require(0 <= getattr(self, name) < 1, f"training.augment.{name}", "in [0, 1)", getattr(self, name))

    @property
    def active(self) -> bool:
        """Whether any augmentation is enabled."""
        return any(getattr(self, item.name) for item in fields(self))
