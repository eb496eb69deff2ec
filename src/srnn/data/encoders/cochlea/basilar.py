"""The basilar membrane: sound -> velocity of the membrane at places from the base (high tones) to
the apex (low tones).

A hydrodynamic model, solved in the frequency domain: a plane wave runs along a duct of height h,
whose wall at place x (cm) has stiffness S, damping R and mass m (per area). With omega = 2 pi f:

    S(x) = C0 exp(-alpha x) - a                  R(x) = delta sqrt(C0 m) exp(-alpha x / 2)
    xi(omega, x) = S - m omega^2 - i omega R     impedance of the wall, times -i omega
    g(omega, x) = omega sqrt(rho / (h xi))       wave number
    G(omega, x) = integral of g from 0 to x + (2 / alpha) g(omega, 0)
    p(omega, x) = sqrt(G / g) H0(G)              pressure; H0 is the Hankel function of the first kind
    z(omega) = i sqrt(2 rho C0 / h) conj(H0(b) / H1(b)),  b = (2 omega / alpha) sqrt(2 rho / (h C0))    input impedance
    v(omega, x) = (2 omega / xi) p(omega, x) / p(omega, 0) z(omega)                                     velocity

The integral of g has a closed form: with s = exp(-alpha x / 2), xi is the quadratic C0 s^2 - i
omega R(0) s - (a + m omega^2), and dx = -2 ds / (alpha s).

Source: Sieroka, Dosch & Rupp 2006, J. Acoust. Soc. Am. 120:297; used for SHD and SSC by Cramer et
al. 2020.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from ....files.bounds import Between, Positive
from ....files.conversion import CheckedSettings

CACHE_BYTES = 2**30
"""Maximal bytes of cached transfer functions."""


@dataclass(frozen=True)
class BasilarMembrane(CheckedSettings):
    """The model's constants, in units of cm, g, s. The defaults are those of SHD and SSC."""

    length: Positive = 3.5
    """Length from base to apex, in cm; the places are spread evenly along it, both ends
    included."""
    stiffness: Positive = 1e9
    """C0, the stiffness at the base."""
    stiffness_offset: Positive = 3500.0
    """a."""
    decay: Positive = 3.0
    """alpha, per cm."""
    density: Positive = 1.0
    """rho, the density of the fluid."""
    damping: Annotated[float, Between(0, 2, above=True, below=True)] = 0.15
    """delta; below 2 waves still propagate."""
    height: Positive = 0.1
    """h, the height of the duct."""
    mass: Positive = 0.05
    """m, the mass per area of the membrane."""

    def transfer(
        self, frequency: npt.ArrayLike, place: npt.ArrayLike
    ) -> npt.NDArray[np.complex128]:
        """Velocity of the membrane for a sound of amplitude 1.

        Args:
            frequency: (F,) above 0, in Hz.
            place: (P,) in cm from the base.

        Returns:
            (F, P).
        """
        from scipy.special import hankel1

        omega = 2 * np.pi * np.asarray(frequency, float)[:, None]
        x = np.asarray(place, float)[None, :]
        xi, phase, g = self._wave(omega, x)
        _, phase_base, g_base = self._wave(omega, np.zeros((1, 1)))
        pressure = np.sqrt(phase / g) * hankel1(0, phase)
        pressure_base = np.sqrt(phase_base / g_base) * hankel1(0, phase_base)
        b = 2 * omega / self.decay * np.sqrt(2 * self.density / (self.height * self.stiffness))
        impedance = (
            1j
            * np.sqrt(2 * self.density * self.stiffness / self.height)
            * (hankel1(0, b) / hankel1(1, b)).conj()
        )
        return 2 * omega / xi * pressure / pressure_base * impedance

    def _wave(
        self, omega: npt.NDArray, x: npt.NDArray
    ) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
        """xi, G and g at places x."""
        s = np.exp(-self.decay * x / 2)
        friction = omega * self.damping * np.sqrt(self.stiffness * self.mass)  # omega R(0)
        inertia = self.stiffness_offset + self.mass * omega**2
        scale = omega * np.sqrt(self.density / self.height)

        def xi(s: npt.NDArray) -> npt.NDArray:
            return self.stiffness * s**2 - 1j * friction * s - inertia

        def antiderivative(s: npt.NDArray) -> npt.NDArray:
            """The integral of 1 / (s sqrt(xi(s))) over s. For damping < 2 the logarithm's argument
            never meets its branch cut."""
            root = 1j * np.sqrt(inertia)
            return -np.log((2 * root * np.sqrt(xi(s)) - 1j * friction * s - 2 * inertia) / s) / root

        base = np.ones((1, 1))  # s at x = 0
        integral = scale * 2 / self.decay * (antiderivative(base) - antiderivative(s))
        return xi(s), integral + 2 / self.decay * scale / np.sqrt(xi(base)), scale / np.sqrt(xi(s))


class TransferTables:
    """Transfer functions that are computed once and kept; above ``CACHE_BYTES``, the least recently
    used are dropped.

    Thread-safe: a thread that needs a table that another one is computing waits for it.
    """

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[object, ...], Future[npt.NDArray]] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self,
        membrane: BasilarMembrane,
        place: npt.NDArray,
        samples: int,
        rate: float,
        bins: int,
        dtype: npt.DTypeLike,
    ) -> npt.NDArray[np.complexfloating]:
        """The transfer functions at frequencies from 1 Hz to ``rate``, evenly spaced.

        The converter behind SHD starts at 1 Hz, where an FFT has 0 Hz, because the model has no
        value at 0 Hz.

        Args:
            membrane: whose functions.
            place: (P,) in cm from the base.
            samples: number of frequencies.
            rate: the last frequency, in Hz.
            bins: how many of the frequencies are needed, from the first on.
            dtype: of the result, complex.

        Returns:
            (bins, P).
        """
        key = (membrane, place.tobytes(), samples, rate, bins, np.dtype(dtype).str)
        with self._lock:
            missing = key not in self._tables
            table = self._tables.setdefault(key, Future())
            self._tables.move_to_end(key)
        if missing:
            try:
                table.set_result(
                    membrane.transfer(np.linspace(1, rate, samples)[:bins], place).astype(dtype)
                )
            except BaseException as error:
                with self._lock:
                    self._tables.pop(key, None)
                table.set_exception(error)
            with self._lock:
                ready = [key for key, other in self._tables.items() if other.done()]
                size = sum(self._tables[key].result().nbytes for key in ready)
                for old in ready[:-1]:  # the least recently used first
                    if size > CACHE_BYTES:
                        size -= self._tables.pop(old).result().nbytes
        return table.result()


def velocity(spectrum: npt.NDArray, table: npt.NDArray, samples: int) -> npt.NDArray[np.floating]:
    """Velocity over time: the real part of the inverse FFT over T bins.

    Args:
        spectrum: (K,) complex, the bins of the sound from 0 Hz up; higher ones are zero.
        table: (K, P) transfer functions, of the same dtype.
        samples: T >= K, bins from 0 Hz to half the sound's rate.

    Returns:
        (T, P), at half the sound's rate.
    """
    from scipy.fft import irfft

    product = table * spectrum[:, None]
    # The real part belongs to the Hermitian half of the T bins, (Y[k] + conj(Y[T - k])) / 2: half
    # the work of a complex FFT.
    half = samples // 2 + 1
    hermitian = np.zeros((half, table.shape[1]), table.dtype)
    low = min(len(product), half)
    hermitian[:low] = product[:low]
    hermitian[0] *= 2  # its own mirror image
    # Bins T-1 ... T-half+1 on bins 1 ... half-1.
    mirrored = product[samples - half + 1 :][::-1].conj()
    hermitian[half - len(mirrored) : half] += mirrored
    hermitian *= 0.5
    return np.asarray(irfft(hermitian, samples, axis=0, overwrite_x=True))
