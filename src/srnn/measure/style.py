"""One look for all figures of the paper: as wide as a page, readable at that size, for colour-blind
readers and in grey.

Colours are those of Okabe & Ito (2008). Lines that might be confused also differ in dash, points in
shape.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SrnnError, nearest
from ..files import reading

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.legend import Legend

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, YELLOW, SKY = "#CC79A7", "#E69F00", "#56B4E9"
BLACK, GREY, LIGHT = "#1c2024", "#6b7280", "#d4d7dc"
CYCLE = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (8, 2)),
    (0, (3, 3)),
    "-",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEGMENTS = (BLUE, SKY, ORANGE, PINK, GREEN, YELLOW)
"""P, PQ, QR, RS, ST, TP of the electrocardiogram."""

WIDTH = 7.2
"""Inches, 183 mm: two columns of a journal."""
FORMATS = ("svg", "pdf", "png")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_AXIS_POINTS = 27
"""Points that the numbers and the label of an axis take below it."""
SHEET: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": 7.5,
    "axes.labelcolor": BLACK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": LIGHT,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": BLACK,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.9,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "image.cmap": "cividis",
    "savefig.dpi": 200,
    "text.parse_math": False,
    "svg.hashsalt": "srnn",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}
"""matplotlib's settings; the salt makes the same numbers give the same picture, byte for byte."""


@contextlib.contextmanager
def context() -> Iterator[None]:
    """``with context():`` around everything that draws or saves: ``SHEET`` over matplotlib's own
    defaults.

    A ``matplotlibrc`` in the current folder, which may be anybody's, is ignored: its
    ``text.usetex`` would run LaTeX on text of its own. Import matplotlib within. SrnnError if such
    a file keeps matplotlib from being imported.
    """
    with reading("matplotlibrc", "settings of matplotlib"):
        import matplotlib
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SHEET)
        yield


def pyplot() -> Any:
    """matplotlib's pyplot. SrnnError if a ``matplotlibrc`` in the current folder keeps it from
    being imported."""
    with reading("matplotlibrc", "settings of matplotlib"):
        from matplotlib import pyplot
    return pyplot


def check_formats(formats: list[str]) -> list[str]:
    """The formats, each once. SrnnError for an unknown one."""
    for name in formats:
        if name not in FORMATS:
            near = nearest(name, FORMATS)
            raise SrnnError(f"There is no picture format '{name}'.{near}", "name", "formats")
    return list(dict.fromkeys(formats))


def rendered(figure: Figure, form: str) -> bytes:
    """A picture's file, without dates, so that it is the same each time.

    Args:
        figure: what is drawn.
        form: svg, pdf or png.

    Returns:
        The file's content.
    """
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=dates[form])
    return buffer.getvalue()


def label(axes: Axes, letter: str, text: str) -> None:
    """Write a panel's letter and title.

    Args:
        axes: the panel.
        letter: written bold, left of the title.
        text: the title.
    """
    title(axes, text)
    axes.annotate(
        letter,
        (0, 1),
        (-17, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=10,
        fontweight="bold",
        ha="center",
        va="bottom",
        annotation_clip=False,
    )


def title(axes: Axes, text: str) -> None:
    """Write a panel's title.

    Args:
        axes: the panel.
        text: the title.
    """
    axes.set_title(text, pad=6)


def frame(axes: Axes) -> None:
    """The frame of a panel that only names what is missing."""
    axes.set(xticks=[], yticks=[], facecolor="#f6f6f4")
    for spine in axes.spines.values():
        spine.set(visible=True, linestyle=(0, (3, 2)), color=GREY, linewidth=0.6)


def note(axes: Axes, text: str, command: str | None = None) -> None:
    """Write what is missing in the middle of a panel, in smaller letters if there is little room.
    Call it once the figure has its layout.

    Args:
        axes: the panel.
        text: what is missing.
        command: the command that would make it, steps separated by ";"; None: nothing is written.
    """
    import textwrap

    extent = axes.get_window_extent()
    width, height = (72 * size / axes.figure.dpi for size in (extent.width, extent.height))
    if command is None:
        steps = []
    else:
        steps = [step.strip() for step in command.split(";")]
    for size in (7.0, 6.0, 5.0):
        characters = max(16, int(width / (0.62 * size)) - 1)
        about = textwrap.wrap(text, characters, break_on_hyphens=False)
        words = [
            line
            for step in steps
            for line in textwrap.wrap(
                step, characters, break_long_words=False, break_on_hyphens=False
            )
        ]
        line = 1.35 * size
        needed = line * (len(about) + len(words) + (1 if words else 0))
        if needed < height:
            break
    look: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "ha": "center",
        "va": "top",
        "in_layout": False,
        "linespacing": 1.12,
        "fontsize": size,
        "annotation_clip": False,
    }
    axes.annotate("\n".join(about), (0.5, 0.5), (0, needed / 2), **look)
    if words:
        place = (0, needed / 2 - line * (len(about) + 1))
        axes.annotate("\n".join(words), (0.5, 0.5), place, color=BLUE, family="monospace", **look)


def legend_below(axes: Axes, columns: int = 1, centre: float = 0.5, **look: Any) -> Legend:
    """Write a legend under a panel's axis label, wherever the layout puts that.

    Args:
        axes: the panel.
        columns: columns of the legend.
        centre: as a fraction of the axes' width; left of the middle if names on the left leave more
            room there.
        look: arguments of matplotlib's ``legend``.

    Returns:
        The legend.
    """
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0, -_AXIS_POINTS / 72, axes.figure.dpi_scale_trans)
    return axes.legend(
        loc="upper center", bbox_to_anchor=(centre, 0), bbox_transform=below, ncols=columns, **look
    )


def heat_map(
    axes: Axes,
    cells: npt.ArrayLike,
    texts: Sequence[tuple[float, float, str, float]] = (),
    **look: Any,
) -> AxesImage:
    """Draw a picture of cells.

    Args:
        axes: the panel.
        cells: (rows, columns), the first row at the bottom.
        texts: (column, row, text, value), in white on the dark half of the scale.
        look: arguments of matplotlib's ``imshow``.

    Returns:
        The image, for a scale of its colours.
    """
    image = axes.imshow(cells, **{"aspect": "auto", "origin": "lower", **look})
    low, high = image.get_clim()
    for x, y, text, value in texts:
        if value < (low + high) / 2:
            colour = "white"
        else:
            colour = BLACK
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, color=colour)
    return image


def log_scale(axes: Axes, *which: Literal["x", "y"]) -> None:
    """Make these axes logarithmic, with powers of ten as plain text: no text in a figure is read as
    mathematics.

    Args:
        axes: a plot of matplotlib's.
        which: "x", "y" or both.
    """
    from matplotlib.ticker import LogFormatterSciNotation

    class Plain(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            text = re.sub(
                r"\^\{(.*?)\}",
                lambda power: power[1].translate(_SUPERSCRIPT),
                super().__call__(x, pos),
            )
            return re.sub(r"\$|\\mathdefault|[{}]", "", text.replace(r"\times", "×"))

    for name in which:
        axes.set(**{f"{name}scale": "log"})
        if name == "x":
            axis = axes.xaxis
        else:
            axis = axes.yaxis
        axis.set_major_formatter(Plain())
        axis.set_minor_formatter(Plain(labelOnlyBase=False))
