"""The settings of ``augmentation``. They have a file of their own, so that recipes are read without
torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from ..errors import require
from ..files.bounds import BelowOne, Between, CountFrom0, Fraction, NotNegative
from ..files.conversion import CheckedSettings

Decibels = Annotated[float, Between(-30, 100)]
_RAW = ("gain", "speed", "rotate", "channel_mix", "noise", "stream")


@dataclass(frozen=True)
class AugmentConfig(CheckedSettings, key="training.augment"):
    """How training sequences are changed at random, anew in every epoch. See
    ``srnn.data.augmentation`` and, for changes to raw signals, ``srnn.data.raw_augmentation``."""

    time_shift: CountFrom0 = 0
    """Sequences are shifted by up to this many steps, earlier or later."""
    stretch: BelowOne = 0.0
    """Time is multiplied by exp(u), with u uniform in +- stretch."""
    channel_shift: CountFrom0 = 0
    """Events only: shifted by up to this many channels, up or down."""
    drop: BelowOne = 0.0
    """Events only: up to this fraction of the events is dropped."""
    channel_warp: BelowOne = 0.0
    """Values only: the position of a channel is multiplied by exp(u), with u uniform in +-
    channel_warp; on mel bands this mimics a longer or shorter vocal tract (Jaitly & Hinton
    2013)."""
    channel_mask: CountFrom0 = 0
    """Values only: twice, up to this many neighbouring channels are set to zero."""
    time_mask: CountFrom0 = 0
    """Values only: twice, up to this many neighbouring steps are set to zero."""
    image_shift: Annotated[float, Between(0, 1000)] = 0.0
    """Images read pixel by pixel only: both coordinates of the image are shifted by up to this many
    pixels."""
    image_warp: BelowOne = 0.0
    """Images read pixel by pixel only: rotated, sheared and scaled by the matrix 1 + U, U (2, 2)
    uniform in +- image_warp."""

    mix: NotNegative = 0.0
    """Each sequence is mixed with another of its batch (mixup, Zhang et al. 2018), whose label
    counts by its share: the smaller of the two parts drawn for each batch from Beta(mix, mix).
    Values are averaged; each event is kept with a probability equal to its sequence's share. 0.4:
    usually a little, sometimes half."""

    gain: Annotated[float, Between(0, 60)] = 0.0
    """Raw signals only: up to this many decibels louder or softer."""
    speed: BelowOne = 0.0
    """Raw signals only: played faster by exp(u), with u uniform in +- speed, about their middle
    (the pitch of sound changes, too: speed perturbation, Ko et al. 2015)."""
    channel_mix: Annotated[float, Between(0, 100)] = 0.0
    """Raw signals of several channels only: each, in units of its standard deviation, becomes a
    mixture of all, by the matrix 1 + U, U uniform in +- channel_mix: what electrodes placed
    elsewhere would give."""
    rotate: Annotated[float, Between(0, 180)] = 0.0
    """Raw signals of sensors with three axes only, whose channels are x, y, z of one after the
    other (ax, ay, az, gx, gy, gz): all are turned together, about an axis of any direction, by up
    to this many degrees: what a sensor that is worn otherwise would give."""
    noise: tuple[Decibels, Decibels] | None = None
    """Raw signals only: noise is added; [5, 50] puts it 5 to 50 decibels below the mean power of
    the training signals."""
    stream: Fraction = 0.0
    """Sounds with one label only: this fraction of the sequences is read from a window that moves
    along a stream of clips and silence. Where the window does not hold the word, its class is
    _silence_."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ascends = self.noise is None or self.noise[0] <= self.noise[1]
        require(
            ascends,
            "training.augment.noise",
            "two numbers of decibels, the smaller one first",
            self.noise,
        )

    @property
    def active(self) -> bool:
        return any(getattr(self, item.name) not in (0, None) for item in fields(self))

    @property
    def raw(self) -> tuple[str, ...]:
        """The enabled settings that change raw signals, before they are encoded."""
        return tuple(name for name in _RAW if getattr(self, name) not in (0, None))
