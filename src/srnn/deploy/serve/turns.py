"""Computing in turns: all streams and bodies share the event loop, and none keeps the others
waiting.

A turn is a few hundred samples (about a millisecond; fewer of a slow network). A client that sends
much delays only itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import numpy as np

from ..streaming import Decisions, Session
from .messages import Array

MOST = 512
"""Max samples of a turn."""

FIRST = 64
"""Samples of the first turn, while nothing is known of the network's speed."""

SECONDS = 0.01
"""A turn that takes longer (of a large network, or one that is not compiled) is followed by one of
half as many samples."""


class Turns:
    """The turns of one session, of at most ``most`` samples."""

    def __init__(self, session: Session, most: int = MOST) -> None:
        self._session = session
        self._most = most
        self.size = min(FIRST, most)
        """Samples of the next turn."""

    async def cut(self, samples: Array) -> AsyncIterator[Array]:
        """The samples of one turn after the other; in between, others get theirs."""
        while len(samples):
            block, samples = np.split(samples, [self.size])
            yield block
            if len(samples):
                await asyncio.sleep(0)

    async def decide(self, block: Array, probe: Callable[[int], None] | None = None) -> Decisions:
        """Take a turn.

        Args:
            block: samples (T, channels), at most ``size``.
            probe: as for ``Session.decide``.

        Returns:
            The decisions of the steps that are now known.
        """
        steps = await self.encode(self._session.encode, block)

        began = time.thread_time()  # on a busy machine, shorter turns would make it busier
        decisions = self._session.decide(steps, probe)
        seconds = time.thread_time() - began

        if seconds > SECONDS:
            self.size = max(1, self.size // 2)
        elif seconds < SECONDS / 4 and len(block) == self.size:  # a shorter block proves nothing
            self.size = min(self._most, 2 * self.size)
        return decisions

    async def finish(self, then: Array | None = None) -> Decisions:
        """The last decisions: of the steps that were held back, and of the steps ``then``."""
        steps = await self.encode(self._session.encoder.flush)
        if then is not None:
            steps = np.concatenate([steps, then])
        return self._session.decide_last(steps)

    async def encode(self, encode: Callable[..., Array], *block: Array) -> Array:
        """Encode, in a thread if it takes long (a cochlea's).

        Args:
            encode: the session's ``encode``, or its encoder's ``flush``.
            block: its arguments.

        Returns:
            Steps (T, inputs).
        """
        if self._session.encoder.heavy:
            return await asyncio.to_thread(encode, *block)
        return encode(*block)
