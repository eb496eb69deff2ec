"""The catalogue of data sets: their sources, licences and files, and how to verify the files.

A checksum is listed only where it is known for certain (published by the source, or carried by
widely used loaders); a file without one is checked by its size if that is known, or by being
readable. ``fetch.py`` downloads and verifies. To add a data set, add an entry to ``CATALOGUE``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ...errors import SrnnError, nearest
from .base import resolve_data_dir


@dataclass(frozen=True)
class DataFile:
    name: str
    """Its path relative to the data set's folder."""
    url: str
    bytes: int | None = None
    """Its size, where known."""
    checksum: str | None = None
    """``md5:...`` or ``sha256:...`` of the file, where known."""
    content_checksum: str | None = None
    """The checksum of a .gz file's content, for one that may have been recompressed."""


@dataclass(frozen=True)
class FileReport:
    name: str
    condition: Literal["whole", "readable", "missing", "wrong"]
    """whole: its checksum is right; readable: it can be read and no checksum is known; missing;
    wrong."""
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether it can be used."""
        return self.condition in ("whole", "readable")


@dataclass(frozen=True)
class Use:
    """A task that reads a data set."""

    task: str
    options: dict[str, Any] = field(default_factory=dict)
    """The options with which it reads this data set; the others have their defaults."""
    needs: str = ""
    """Another file or folder under the data folder that it reads, and that is not part of this data
    set."""
    how: str = ""
    """The command that creates it; {data} is the data folder."""

    def missing(self, root: Path) -> str | None:
        """How to create what it needs, if that is missing. ``root``: the data folder."""
        if not self.needs or (root / self.needs).exists():
            return None
        return " ".join(
            shlex.quote(word.replace("{data}", str(root))) for word in shlex.split(self.how)
        )


@dataclass(frozen=True)
class DataSet:
    name: str
    title: str
    folder: str
    """Its folder under the data folder, where ``fetch`` puts it."""
    licence: str
    citation: str
    size: str
    """Its size, as text for people."""
    homepage: str
    elsewhere: tuple[str, ...] = ()
    """Other folders from which it is read: those of its archive, or of another library."""
    sign: str = ""
    """Pattern of the files, as ``Path.glob`` takes it, by which one of these folders is
    recognised."""
    files: tuple[DataFile, ...] = ()
    """What ``fetch`` downloads and ``verify`` checks."""
    unpack: bool = False
    """Whether its files are archives, which ``prepare`` unpacks."""
    strip: int = 0
    """Leading folders to take off the names in its archives."""
    listed: str = ""
    """A file beside this one that lists the names of its files, where these are not all in its
    archive (``unpack_listed``)."""
    sums: DataFile | None = None
    """A file of SHA-256 sums, which lists the files (PhysioNet's way); it is fetched first."""
    sums_pattern: str = ""
    """Regular expression for the files in ``sums`` that are wanted."""
    how_to_get: str = ""
    """For a data set that cannot be fetched: where to ask, and what to put where."""
    uses: tuple[Use, ...] = ()
    """The tasks that read it; ``prepare`` loads each once."""
    recordings: str = ""
    """Sound, sensors: pattern of its recordings' names under the folder, as ``Path.glob`` takes
    it."""
    count: int = 0
    """Minimal number of recordings."""

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(use.task for use in self.uses)

    @property
    def fetchable(self) -> bool:
        """Whether ``fetch`` can get all of it."""
        return not self.how_to_get


_ZENKE = "https://zenkelab.org/datasets/"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_SPEECH = "http://download.tensorflow.org/data/"
_COMMANDS_TEST = DataFile(
    "speech_commands_test_set_v0.02.tar.gz", _SPEECH + "speech_commands_test_set_v0.02.tar.gz"
)
_HEIDELBERG = (
    "Cramer, Stradmann, Schemmel, Zenke: The Heidelberg spiking data sets for the systematic "
    "evaluation of spiking neural networks. IEEE Trans. Neural Networks and "
    "Learning Systems 33 (2022) 2744-2757"
)
_WARDEN = (
    "Warden: Speech Commands: a dataset for limited-vocabulary speech "
    "recognition. arXiv:1804.03209 (2018)"
)

_DATA_SETS = (
    DataSet(
        name="digits",
        title="Handwritten digits, 8 x 8 pixels, 1,797 of them",
        folder="",
        licence="CC BY 4.0 (UCI)",
        citation="Alpaydin, Kaynak: Optical recognition of handwritten digits. UCI "
        "Machine Learning Repository (1998)",
        size="included in scikit-learn, no download",
        homepage="https://archive.ics.uci.edu/dataset/80",
        uses=(Use("digits"),),
    ),
    DataSet(
        name="mnist",
        title="MNIST: handwritten digits, 28 x 28 pixels",
        folder="mnist",
        licence="CC BY-SA 3.0",
        citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
        "Proc. IEEE 86 (1998) 2278-2324",
        size="11 MB, 60,000 training and 10,000 test images",
        homepage="http://yann.lecun.com/exdb/mnist/",
        elsewhere=("mnist/raw", "MNIST/raw"),  # torchvision's
        sign="t*-images?idx3-ubyte*",
        files=tuple(
            DataFile(
                name, _MNIST + name, checksum=f"md5:{packed}", content_checksum=f"md5:{content}"
            )
            for name, packed, content in (
                (
                    "train-images-idx3-ubyte.gz",
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    "6bbc9ace898e44ae57da46a324031adb",
                ),
                (
                    "train-labels-idx1-ubyte.gz",
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    "a25bea736e30d166cdddb491f175f624",
                ),
                (
                    "t10k-images-idx3-ubyte.gz",
                    "9fb629c4189551a2d022fa330f9573f3",
                    "2646ac647ad5339dbf082846283269ea",
                ),
                (
                    "t10k-labels-idx1-ubyte.gz",
                    "ec29112dd5afa0611ce80d1b7f02629c",
                    "27ae3e4e09519cfbb04c329615203637",
                ),
            )
        ),
        uses=(Use("smnist"), Use("psmnist")),
    ),
    DataSet(
        name="shd",
        title="Spiking Heidelberg Digits: spoken digits as spikes in 700 channels of a cochlea model",
        folder="shd",
        licence="CC BY 4.0",
        citation=_HEIDELBERG,
        size="8,156 training and 2,264 test recordings",
        elsewhere=("SHD",),  # Tonic's
        sign="shd_*.h5*",
        homepage="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/",
        unpack=True,
        files=(
            DataFile(
                "shd_train.h5.zip",
                _ZENKE + "shd_train.h5.zip",
                checksum="md5:f3252aeb598ac776c1b526422d90eecb",
            ),
            DataFile(
                "shd_test.h5.zip",
                _ZENKE + "shd_test.h5.zip",
                checksum="md5:1503a5064faa34311c398fb0a1ed0a6f",
            ),
        ),
        uses=(Use("shd"),),
    ),
    DataSet(
        name="ssc",
        title="Spiking Speech Commands: 35 spoken words as spikes in 700 channels of a cochlea model",
        folder="ssc",
        licence="CC BY 4.0",
        citation=_HEIDELBERG,
        size="75,466 training, 9,981 validation and 20,382 test recordings",
        elsewhere=("SSC",),
        sign="ssc_*.h5*",
        homepage="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd/",
        unpack=True,
        files=(
            DataFile(
                "ssc_train.h5.zip",
                _ZENKE + "ssc_train.h5.zip",
                checksum="md5:d102be95e7144fcc0553d1f45ba94170",
            ),
            DataFile(
                "ssc_valid.h5.zip",
                _ZENKE + "ssc_valid.h5.zip",
                checksum="md5:b4eee3516a4a90dd0c71a6ac23a8ae43",
            ),
            DataFile(
                "ssc_test.h5.zip",
                _ZENKE + "ssc_test.h5.zip",
                checksum="md5:a35ff1e9cffdd02a20eb850c17c37748",
            ),
        ),
        uses=(Use("ssc"),),
    ),
    DataSet(
        name="speech-commands-v1",
        title="Google Speech Commands, version 0.01: 30 spoken words",
        folder="speech_commands_v0.01",
        licence="CC BY 4.0",
        citation=_WARDEN,
        size="1.5 GB, 64,727 recordings",
        homepage="https://research.google/blog/launching-the-speech-commands-dataset/",
        unpack=True,
        files=(
            DataFile(
                "speech_commands_v0.01.tar.gz",
                _SPEECH + "speech_commands_v0.01.tar.gz",
                bytes=1_489_096_277,
                checksum="sha256:743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
            ),
        ),
        uses=(Use("gsc", {"version": 1}),),
        recordings="[!_.]*/[!.]*.wav",
        count=64_721,  # of words; six of background noise come with them
    ),
    DataSet(
        name="speech-commands-v2",
        title="Google Speech Commands, version 0.02: 35 spoken words",
        folder="speech_commands_v0.02",
        licence="CC BY 4.0",
        citation=_WARDEN,
        size="2.4 GB, 105,829 recordings",
        homepage="https://arxiv.org/abs/1804.03209",
        unpack=True,
        files=(
            DataFile(
                "speech_commands_v0.02.tar.gz",
                _SPEECH + "speech_commands_v0.02.tar.gz",
                bytes=2_428_923_189,
                checksum="sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
        ),
        uses=(Use("gsc"),),
        recordings="[!_.]*/[!.]*.wav",
        count=105_829,
    ),
    DataSet(
        name="speech-commands-test-v2",
        title="Google Speech Commands, version 0.02: the official test set of 12 classes",
        folder="speech_commands_test_set_v0.02",
        licence="CC BY 4.0",
        citation=_WARDEN,
        size="4,890 recordings of ten words, silence and unknown words",
        homepage="https://arxiv.org/abs/1804.03209",
        unpack=True,
        files=(_COMMANDS_TEST,),
        uses=(
            Use(
                "gsc",
                {"test_set": "official"},
                needs="speech_commands_v0.02/yes",
                how="srnn data prepare speech-commands-v2 --data-dir {data}",
            ),
        ),
        recordings="[!.]*/[!.]*.wav",
        count=4890,
    ),
    DataSet(
        name="speech-commands-mini",
        title="Speech Commands mini: half of the speakers of the official test set, version 0.02",
        folder="speech_commands_mini",
        licence="CC BY 4.0",
        citation=_WARDEN,
        size="2,754 recordings of ten words, silence and unknown words by 130 speakers",
        homepage="https://arxiv.org/abs/1804.03209",
        unpack=True,
        listed="speech_commands_mini.txt",
        files=(_COMMANDS_TEST,),
        uses=(Use("gsc", {"source": "mini"}),),
        recordings="[!.]*/[!.]*.[fw]*",  # .wav, as in the archive, or .flac
        count=2754,
    ),
    DataSet(
        name="fsdd",
        title="Free Spoken Digit Dataset: ten digits by six speakers",
        folder="fsdd",
        licence="CC BY-SA 4.0",
        citation="Jackson et al.: Free Spoken Digit Dataset. github.com/Jakobovski/free-spoken-digit-dataset",
        size="3,000 recordings",
        homepage="https://github.com/Jakobovski/free-spoken-digit-dataset",
        unpack=True,
        strip=1,
        files=(
            # GitHub packs this archive when asked, so it has no lasting checksum.
            DataFile(
                "fsdd.zip",
                "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
            ),
        ),
        uses=(
            Use("spoken-digits"),
            Use(
                "spoken-digits-spikes",
                needs="fsdd/cochlea.h5",
                how="srnn data encode cochlea {data}/fsdd/recordings --pattern "
                "'{label}_{speaker}_{index}' --out {data}/fsdd/cochlea.h5",
            ),
        ),
        recordings="recordings/[!.]*.wav",
        count=3000,
    ),
    DataSet(
        name="movement",
        title="Movement: seven exercises of the shoulder, measured by a watch on the wrist of ten people",
        folder="movement",
        licence="BSD 3-Clause (the package seglearn's)",
        citation="Burns, Leung, Hardisty, Whyne, Henry, McLachlin: Shoulder physiotherapy exercise "
        "recognition: machine learning the inertial signals from a smartwatch. Physiological "
        "Measurement 39 (2018) 075007; Burns, Whyne: Seglearn: a Python package for learning "
        "sequences and time series. JMLR 19 (2018) 1-7",
        size="140 recordings of half a minute, six channels at 50 Hz",
        homepage="https://github.com/dmbee/seglearn",
        unpack=True,
        files=(
            DataFile(
                "seglearn-1.2.5.zip",  # a wheel is a zip archive
                "https://files.pythonhosted.org/packages/8e/1d/786c3ff9c0452d0a6461a97ae248478319473777bf074ad1738d4749f2ac/seglearn-1.2.5-py3-none-any.whl",
                bytes=11_320_941,
                checksum="sha256:ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
            ),
        ),
        uses=(Use("folder", {"path": "movement/recordings.csv"}),),
        recordings="recordings/[!.]*.csv",
        count=140,
    ),
    DataSet(
        name="qtdb",
        title="QT Database: two-lead electrocardiograms with marked waves",
        folder="qtdb/records",
        licence="Open Data Commons Attribution 1.0",
        citation="Laguna, Mark, Goldberger, Moody: A database for evaluation of algorithms for measurement "
        "of QT and other waveform intervals in the ECG. Computers in Cardiology 24 (1997) 673-676",
        size="105 records of 15 minutes; of their files, signals and the marks q1c",
        homepage="https://physionet.org/content/qtdb/1.0.0/",
        elsewhere=(
            "qtdb",
            "qtdb/1.0.0",
            "qtdb/qt-database-1.0.0",
        ),  # PhysioNet's, of its mirror and its archive
        sign="[!.]*.hea",
        sums=DataFile("SHA256SUMS", "https://physionet.org/files/qtdb/1.0.0/SHA256SUMS.txt"),
        sums_pattern=r"sel\w+\.(dat|hea|q1c)",
        uses=(Use("ecg", {"source": "records"}),),
    ),
    DataSet(
        name="soli",
        title="Project Soli: eleven hand gestures as radar images",
        folder="soli",
        licence="by agreement with its authors; it may not be passed on",
        citation="Wang, Song, Lien, Poupyrev, Hilliges: Interacting with Soli: exploring fine-grained "
        "dynamic gesture recognition in the radio-frequency spectrum. UIST (2016) 851-860",
        size="2,750 recordings",
        elsewhere=("soli/dsp",),
        sign="file_half.json",
        homepage="https://github.com/simonwsw/deep-soli",
        files=(
            DataFile(
                "file_half.json",
                "https://raw.githubusercontent.com/simonwsw/deep-soli/master/config/file_half.json",
            ),
        ),
        how_to_get="ask its authors (github.com/simonwsw/deep-soli leads to them) and put the files "
        "GESTURE_SUBJECT_INSTANCE.h5 into {folder}",
        uses=(Use("soli"), Use("soli_sequence")),
    ),
    DataSet(
        name="timit",
        title="TIMIT: read sentences with their phonemes",
        folder="timit",
        licence="LDC User Agreement; it may not be passed on",
        citation="Garofolo et al.: TIMIT acoustic-phonetic continuous speech corpus, LDC93S1. "
        "Linguistic Data Consortium (1993)",
        size="6,300 sentences by 630 speakers",
        homepage="https://catalog.ldc.upenn.edu/LDC93S1",
        how_to_get="buy it from the Linguistic Data Consortium (catalog.ldc.upenn.edu/LDC93S1) and put its "
        "folders TRAIN and TEST into {folder}",
        uses=(Use("timit"),),
    ),
)

CATALOGUE: Mapping[str, DataSet] = MappingProxyType(
    {data_set.name: data_set for data_set in _DATA_SETS}
)


def data_set_of(task: str, options: Mapping[str, Any]) -> DataSet | None:
    """The data set that a task reads with these options; None: not in the catalogue.

    Args:
        task: the task's name.
        options: its options by name; of several data sets, the one that names most of them is
            meant.
    """
    fitting = [
        (len(use.options), data_set)
        for data_set in _DATA_SETS
        for use in data_set.uses
        if use.task == task
        and all(options.get(name) == value for name, value in use.options.items())
    ]
    if not fitting:
        return None
    return max(fitting, key=lambda pair: pair[0])[1]


def find_data_set(name: str) -> DataSet:
    """The data set of that name; SrnnError, with the nearest, if there is none."""
    if name not in CATALOGUE:
        near = nearest(name, CATALOGUE)
        raise SrnnError(f"There is no data set {name!r}.{near}", "name", "data_set")
    return CATALOGUE[name]


def folder_of(data_set: DataSet, data_dir: Path | None = None) -> Path:
    """The folder where a data set is, or, if it is in none, where it belongs.

    Args:
        data_set: the data set.
        data_dir: the data folder; None: as for ``resolve_data_dir``.
    """
    own, *others = (
        resolve_data_dir(data_dir) / name for name in (data_set.folder, *data_set.elsewhere)
    )
    return next(
        (folder for folder in (own, *others) if others and any(folder.glob(data_set.sign))), own
    )


def find_bare(folder: Path, name: str) -> Path | None:
    """The unpacked form of a file that was packed by itself; None if it is not there.

    Programs other than gzip give it the name stored in its archive (MNIST's: a dot for a hyphen),
    or a folder of its own.

    Args:
        folder: the data set's folder.
        name: the file's name without its ending of packing.
    """
    paths = (folder / name, folder / name.replace("-idx", ".idx"), folder / name / name)
    return next((path for path in paths if path.is_file()), None)
