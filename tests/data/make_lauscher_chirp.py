"""Makes lauscher_chirp.npz with lauscher, the converter behind SHD and SSC (LGPL-2.1; used here as a yardstick only).

    python -m venv yardstick && yardstick/bin/pip install lauscher==1.0.1
    yardstick/bin/python tests/data/make_lauscher_chirp.py

The numbers in the file were made with lauscher 1.0.1, numpy 2.4.6, scipy 1.17.1. It takes about two minutes.
"""

import multiprocessing
from pathlib import Path

import numpy as np
from lauscher.audiowaves import MonoAudioWave
from lauscher.helpers import CommandLineArguments
from lauscher.transformations import BasilarMembrane, BushyCell, HairCell, HanningWindow, RmsNormalizer

RATE, SAMPLES, PLACES, REPEATS = 48000, 2401, 700, 16


def chirp() -> np.ndarray:
    """50 ms from 100 Hz to 8 kHz, with a click; an odd number of samples. tests/test_cochlea.py makes the same."""
    time = np.arange(SAMPLES) / RATE
    x = np.sin(2 * np.pi * 100 * time * 80 ** (time / time[-1]))
    x[600] += 5
    return x


def main() -> None:
    CommandLineArguments().num_concurrent_jobs = 1
    x: object = MonoAudioWave(chirp(), RATE)
    for stage in (RmsNormalizer(0.3), HanningWindow(), BasilarMembrane(channels=PLACES), HairCell()):
        x = stage(x)
    probability = np.array(x.channels)
    counts = np.zeros((REPEATS, PLACES))
    for seed in range(REPEATS):
        np.random.seed(seed)  # noqa: NPY002 (what lauscher draws from)
        train = BushyCell()(x)
        labels = np.asarray(train.spike_labels)
        counts[seed] = np.bincount(labels.astype(int), minlength=PLACES)
        print(seed, counts[seed].sum(), flush=True)
    np.savez_compressed(
        Path(__file__).with_name("lauscher_chirp.npz"),
        shape=probability.shape,  # (places, steps)
        places=np.arange(0, PLACES, 60),
        steps=np.arange(0, probability.shape[1], 13),
        probability=probability[::60, ::13].T,  # (steps, places)
        spikes_mean=counts.mean(axis=0).astype(np.float32),  # of a place, over REPEATS draws
        spikes_total=counts.sum(axis=1).astype(np.int32),  # of each draw
    )


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
