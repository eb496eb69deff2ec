"""Points as a Markdown table and as a plot: accuracy against bytes of flash and against energy, for
float32 and int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomically
from ..measure import style
from ..text import markdown as md
from ..text import markdown_table, one_line
from .points import accuracy_of

Named = Sequence[tuple[str, dict[str, Any]]]
"""(name, point) in the order in which they were measured."""

COLUMNS = (
    "network",
    "weights",
    "float32",
    "int8",
    "int8 weights, exact state",
    "flash float32",
    "flash int8",
    "RAM float32",
    "RAM int8",
    "additions per step",
    "energy float32",
    "energy int8",
)


def write_curve(out: Path, about: dict[str, Any], points: Named) -> None:
    """Write a table (.md) and a plot (.svg): curve.* for pruning, compression.* for fine-tuning
    with int8 weights.

    Args:
        out: the folder.
        about: task, what, from, seed, command and, for weights, scope.
        points: the curve, in order.
    """
    name = "curve"
    if about["what"] == "int8":
        name = "compression"
    write_atomically(out / f"{name}.md", markdown(about, points, f"{name}.svg").encode())
    write_atomically(out / f"{name}.svg", plot(about, points))


def title(about: dict[str, Any]) -> str:
    """What was done, in one line."""
    scope = ""
    if about["what"] == "weights":
        scope = f", scope {about['scope']}"
    states = ""
    if about.get("state_bits", 32) != 32:
        states = f", states of {about['state_bits']} bits"
    if about["what"] == "int8":
        done = f"fine-tuned for int8{states}"
    else:
        done = f"pruning of {about['what']}{scope}"
    return f"{about['task']}, seed {about['seed']}: {done}"


def markdown(about: dict[str, Any], points: Named, picture: str) -> str:
    """The page: the table, the plot, and the command that reproduces both.

    Args:
        about: as for ``write_curve``.
        points: the curve, in order.
        picture: the plot's file.

    Returns:
        Markdown.
    """
    measure = accuracy_of(point for _, point in points)
    measured = "Balanced accuracy, measured"
    if measure == "accuracy":
        measured = "Measured"
    lines = [f"# {md(title(about))}", "", f"{measured} on the {points[0][1]['split']} split.", ""]
    if about["command"]:
        lines += ["```bash", one_line(about["command"]), "```", ""]
    lines += markdown_table(COLUMNS, [_cells(name, point, measure) for name, point in points])
    reasons = {point["why_no_int8"] for _, point in points if point["int8"] is None}
    lines += [
        "",
        *(f"No int8: {md(reason)}" for reason in sorted(reasons)),
        *[""] * bool(reasons),
        f"![curve]({picture})",
        "",
    ]
    lines += [
        "Flash, and RAM of one stream, are in bytes of the C export. Energy per step counts",
        "operations only: in float32 0.9 pJ per addition and 4.6 pJ per multiply-add; in int8,",
        "which computes in int32, 0.1 and 3.2 pJ (45 nm). Memory accesses are not included.",
    ]
    return "\n".join(lines) + "\n"


def _cells(name: str, point: dict[str, Any], measure: str) -> list[str]:
    int8 = point["int8"]
    return [
        md(name),
        f"{point['weights_not_zero']:,}",
        f"{100 * point[measure]:.2f} %",
        f"{100 * int8[measure]:.2f} %" if int8 else "-",
        f"{100 * int8[f'{measure}_of_its_weights']:.2f} %" if int8 else "-",
        f"{point['float32_flash_bytes']:,}",
        f"{int8['flash_bytes']:,}" if int8 else "-",
        f"{point['float32_ram_bytes']:,}",
        f"{int8['ram_bytes']:,}" if int8 else "-",
        f"{point['synaptic_adds_per_step']:,.1f}",
        f"{point['energy_pj_per_step'] / 1000:.3f} nJ",
        f"{int8['energy_pj_per_step'] / 1000:.3f} nJ" if int8 else "-",
    ]


def plot(about: dict[str, Any], points: Named) -> bytes:
    """The plot; equal points give equal bytes.

    Args:
        about: as for ``write_curve``.
        points: the curve, in order.

    Returns:
        SVG.
    """
    with style.context():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(style.WIDTH, 2.7), layout="constrained")
        figure.suptitle(title(about), fontsize=8.5, x=0.01, ha="left")
        left, right = figure.subplots(1, 2, sharey=True)
        measure = accuracy_of(point for _, point in points)
        size, energy = "flash of the C export, bytes", "operations per step, nJ"
        _panel(left, points, measure, "a", "accuracy against size", size, _bytes)
        _panel(right, points, measure, "b", "accuracy against energy", energy, _energy)
        left.set_ylabel(f"{points[0][1]['split']} {measure.replace('_', ' ')}, %")
        # In the title's row it covers no line.
        figure.legend(*left.get_legend_handles_labels(), loc="upper right", ncols=2)
        return style.rendered(figure, "svg")


def _bytes(point: dict[str, Any], int8: bool) -> float:
    if int8:
        return point["int8"]["flash_bytes"]
    return point["float32_flash_bytes"]


def _energy(point: dict[str, Any], int8: bool) -> float:
    return (point["int8"] if int8 else point)["energy_pj_per_step"] / 1000


def _panel(
    axes: Any, points: Named, measure: str, letter: str, name: str, label: str, across: Any
) -> None:
    """One line for float32 and one for int8; every point is labelled with the pruned fraction of
    the network."""
    style.label(axes, letter, name)
    widest = max(across(point, False) for _, point in points)
    for int8, colour, marker, dash in (
        (False, style.BLUE, "o", "-"),
        (True, style.ORANGE, "s", style.DASHES[1]),
    ):
        known = [(what, point) for what, point in points if point["int8"] or not int8]
        x = [across(point, int8) for _, point in known]
        y = [100 * (point["int8"] if int8 else point)[measure] for _, point in known]
        axes.plot(
            x, y, color=colour, marker=marker, linestyle=dash, label="int8" if int8 else "float32"
        )
        for at, height, (what, _) in zip(x, y, known, strict=True):
            # int8 is smaller: its names stand on the left if there is room.
            left = int8 and at > 0.25 * widest
            place: dict[str, Any] = {
                "xytext": (-5 if left else 5, -3),
                "ha": "right" if left else "left",
                "va": "top",
            }
            axes.annotate(
                what, (at, height), **place, textcoords="offset points", fontsize=6, color=colour
            )
    axes.margins(0.1, 0.15)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.grid(True, axis="y")
