"""The settings of ``augmentation``. They have a file of their own, so that recipes are read without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import require

_RAW = ("gain", "speed", "channel_mix", "noise", "stream")


@dataclass(frozen=True)
class AugmentConfig:
    """How training sequences are changed at random, anew in every epoch. See ``srnn.data.augmentation`` and, for changes to raw
    signals, ``srnn.data.raw_augmentation``."""

    time_shift: int = 0
    """Sequences are shifted by up to this many steps, earlier or later."""
    stretch: float = 0.0
    """Time is multiplied by exp(u), with u uniform in +- stretch."""
    channel_shift: int = 0
    """Events only: shifted by up to this many channels, up or down."""
    drop: float = 0.0
    """Events only: up to this fraction of the events is dropped."""
    channel_warp: float = 0.0
    """Values only: the position of a channel is multiplied by exp(u), with u uniform in +- channel_warp; on mel bands this mimics
    a longer or shorter vocal tract (Jaitly & Hinton 2013)."""
    channel_mask: int = 0
    """Values only: twice, up to this many neighbouring channels are set to zero."""
    time_mask: int = 0
    """Values only: twice, up to this many neighbouring steps are set to zero."""
    image_shift: float = 0.0
    """Images read pixel by pixel only: both coordinates of the image are shifted by up to this many pixels."""
    image_warp: float = 0.0
    """Images read pixel by pixel only: rotated, sheared and scaled by the matrix 1 + U, U (2, 2) uniform in +- image_warp."""

    mix: float = 0.0
    """Each sequence is mixed with another of its batch (mixup, Zhang et al. 2018), whose label counts by its share: the smaller
    of the two parts drawn for each batch from Beta(mix, mix). Values are averaged; each event is kept with a probability equal to
    its sequence's share. 0.4: usually a little, sometimes half."""

    gain: float = 0.0
    """Raw signals only: up to this many decibels louder or softer."""
    speed: float = 0.0
    """Raw signals only: played faster by exp(u), with u uniform in +- speed, about their middle (the pitch of sound changes, too:
    speed perturbation, Ko et al. 2015)."""
    channel_mix: float = 0.0
    """Raw signals of several channels only: each, in units of its standard deviation, becomes a mixture of all, by the matrix
    1 + U, U uniform in +- channel_mix: what electrodes placed elsewhere, or a rotated sensor, would give."""
    noise: tuple[float, float] | None = None
    """Raw signals only: noise is added; [5, 50] puts it 5 to 50 decibels below the mean power of the training signals."""
    stream: float = 0.0
    """Sounds with one label only: this fraction of the sequences is read from a window that moves along a stream of clips and
    silence. Where the window does not hold the word, its class is _silence_."""

    def __post_init__(self) -> None:
        require(0 <= self.gain <= 60, "training.augment.gain", "from 0 to 60 decibels", self.gain)
        for name, most in (("stream", 1), ("channel_mix", 100), ("image_shift", 1000)):
            require(
                0 <= getattr(self, name) <= most, f"training.augment.{name}", f"from 0 to {most}", getattr(self, name)
            )
        require(
            self.noise is None or -30 <= self.noise[0] <= self.noise[1] <= 100,
            "training.augment.noise", "two numbers of decibels from -30 to 100, the smaller one first", self.noise,
        )  # fmt: skip
        for name in ("time_shift", "channel_shift", "channel_mask", "time_mask", "mix"):
            value = getattr(self, name)
            require(0 <= value < float("inf"), f"training.augment.{name}", "at least 0, and finite", value)
        for name in ("stretch", "drop", "channel_warp", "image_warp", "speed"):
            require(0 <= getattr(self, name) < 1, f"training.augment.{name}", "in [0, 1)", getattr(self, name))

    @property
    def active(self) -> bool:
        return any(getattr(self, item.name) not in (0, None) for item in fields(self))

    @property
    def raw(self) -> tuple[str, ...]:
        """The enabled settings that change raw signals, before they are encoded."""
        return tuple(name for name in _RAW if getattr(self, name) not in (0, None))
