"""Pretrained networks: the models shipped beside this file, and the lookup of a model by its name.

    NAME.safetensors    the model (``model.trained``), in float32; int8 is derived from it wherever it is exported
    NAME.yaml           its card: what it hears, how well, how it was made, what it must not be used for
    NAME.npy            a recording from its validation split to try it on; the card names the data set and the licence
                        (.csv where channels have names and units)

``release/pretrained.py`` makes all three from finished runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import SrnnError, nearest
from ...files.conversion import read_named
from ...files.yaml_reading import read_yaml
from ...registry import is_name

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """What you should know about a pretrained network. Accuracies are fractions, energies are in
    nJ."""

    hears: str
    """What it reads and what it answers, in one line."""
    signal: str
    """The signal in a recording: sampling rate, channels, units."""
    rate: float | None
    """Samples per second of that signal; None: the signal is not in time."""
    decides: str
    """When: at every step, or after how long."""
    data: str
    """Title of the data set."""
    licence: str
    attribution: str
    """Attribution of the data, and so of the example."""
    split: str
    """How validation and test were held out."""
    selected_by: str
    """Which set chose settings, epoch and seed."""
    seeds: dict[str, float]
    """Accuracy on validation by seed; the network with the median accuracy is shipped."""
    seed: int
    """Seed of the shipped network."""
    metric: str
    """Which kind of accuracy all accuracies here are."""
    validation: float
    validation_int8: float | None
    """Accuracy of the integer model, which the int8 C equals, on at most 1,000 sequences; None:
    there is no int8 form."""
    test: float | None
    """Test accuracy of the shipped network, read once; None: ``split`` says why not."""
    others: str
    """Other speakers, records or data sets that it was tried on, with results; or "none"."""
    parameters: int
    bytes: dict[str, int]
    """Size of the model's file, and of the flash that the C export takes in float32 and int8, where
    it has these forms."""
    energy_nj: dict[str, dict[str, float]]
    """By each model of ``srnn energy``, on validation: energy per step, and per decision."""
    not_for: str
    """What it must not be used for."""
    made_by: list[str]
    """The commands that made it."""
    live: dict[str, dict[str, float]] | None = None
    """Words in one long signal (``srnn evaluate --live``), detected by the rule in the model's
    file. By split and noise, such as "validation, 20 dB of noise": the fraction understood,
    false_accepts per hour, those without_a_word, the median delay in seconds. None: not
    measured."""

    @property
    def live_in_words(self) -> list[str]:
        """``live`` as text, one line for each split and noise."""
        return [
            f"{name}: {one['understood']:.1%} of the words understood, {one['false_accepts']:.0f} "
            "false accepts an hour, "
            f"{one['without_a_word']:.0f} of them where no word is; {one['delay']:.2f} s after a "
            "clip's beginning"
            for name, one in (self.live or {}).items()
        ]

    @property
    def spread(self) -> float:
        """Standard deviation of the validation accuracy over the seeds; 0 for a single seed."""
        from statistics import stdev

        if len(self.seeds) > 1:
            return stdev(self.seeds.values())
        return 0.0


def pretrained_names() -> list[str]:
    """The names of the pretrained networks, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find_model(path: Path | str) -> Path:
    """The file of the pretrained network of that name, else the path of a run or model that is
    there (``registry.is_name``).

    SrnnError, which lists the names, for anything else.
    """
    names = pretrained_names()
    if is_name(path, names, "pretrained network"):
        return FOLDER / f"{path}.safetensors"
    if Path(path).exists():
        return Path(path)
    close = ""
    if Path(path).parent == Path():
        close = nearest(path, names, "srnn models")
    raise SrnnError(
        f"{path} was not found: name a run folder, a model's file, or a pretrained network.{close}",
        "missing",
        path,
    )


def read_card(name: str) -> Card:
    """The card of a pretrained network. SrnnError, with the nearest name, for any other."""
    if name not in pretrained_names():
        near = nearest(name, pretrained_names())
        raise SrnnError(f"There is no pretrained network '{name}'.{near}", "name", "name")
    path = FOLDER / f"{name}.yaml"
    return read_named(Card, read_yaml(path, "a card"), path.name)


def example(name: str) -> Path:
    """A short recording to try a pretrained network on, a file that ``predict`` takes: an array
    (samples, channels), .npy, or a table whose titles name channels and units, .csv.

    SrnnError, with the nearest name, for an unknown network.
    """
    read_card(name)
    table = FOLDER / f"{name}.csv"
    if table.is_file():
        return table
    return FOLDER / f"{name}.npy"
