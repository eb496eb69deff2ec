"""The colours of the pages: text can be read, and classes and series be told apart, also by
colour-blind readers."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest

STYLE = files("srnn.measure.page").joinpath("assets", "style.css").read_text(encoding="utf-8")
LIVE = files("srnn.deploy.live").joinpath("page.html").read_text(encoding="utf-8")
BLOCKS = {"light": ":root {", "dark": ':root[data-theme="dark"] {'}
SERIES = [f"c{i}" for i in range(10)]
# Machado, Oliveira & Fernandes 2009, at full severity, in linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(axis=1)


def colours(theme: str) -> dict[str, np.ndarray]:
    """Linear RGB by name."""
    given = dict(
        re.findall(r"--(\w+): (#[0-9a-f]{6})", STYLE.split(BLOCKS[theme])[1].split("}")[0])
    )
    rgb = {
        name: np.array([int(hexa[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        for name, hexa in given.items()
    }
    return {
        name: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
        for name, v in rgb.items()
    }


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """By WCAG."""
    low, high = sorted(float(colour @ XYZ[1]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, in which a distance of 2 or 3 is hardly seen."""
    given = XYZ @ np.clip(colour, 0, 1) / WHITE
    x, y, z = np.where(given > 0.008856, np.cbrt(given), 7.787 * given + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", BLOCKS)
def test_text_can_be_read(theme: str) -> None:
    known = colours(theme)
    for text in ("ink", "soft", "accent", "good"):
        for back in ("paper", "card"):
            assert contrast(known[text], known[back]) >= 4.5, (text, back)
    assert contrast(known["card"], known["accent"]) >= 4.5  # the main button


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", BLOCKS)
def test_classes_are_told_apart(theme: str, vision: str) -> None:
    seen = {name: lab(VISION[vision] @ colour) for name, colour in colours(theme).items()}
    near = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(SERIES, 2)}
    assert min(near.values()) > 12, min(near, key=lambda pair: near[pair])


@pytest.mark.parametrize("theme", BLOCKS)
def test_lines_stand_out(theme: str) -> None:
    """Of Okabe and Ito's colours yellow and sky are pale on white: only classes and runs have them,
    when there are many."""
    known = colours(theme)
    faint = [name for name in SERIES if contrast(known[name], known["card"]) < 3]
    assert faint == (["c4", "c5"] if theme == "light" else [])


@pytest.mark.parametrize("theme", BLOCKS)
def test_the_live_page_has_the_same(theme: str) -> None:
    given = dict(
        re.findall(r"--(c\d): (#[0-9a-f]{6})", STYLE.split(BLOCKS[theme])[1].split("}")[0])
    )
    marks = {
        "light": [":root {"],
        "dark": [":root:not([data-theme=light]) {", ":root[data-theme=dark] {"],
    }[theme]
    for mark in marks:
        assert (
            dict(re.findall(r"--(c\d): (#[0-9a-f]{6})", LIVE.split(mark)[1].split("}")[0])) == given
        )
