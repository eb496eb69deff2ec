"""Energy: technologies, the shipped ones and malformed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.measure.energy import load_technology, technologies


def test_shipped_technologies() -> None:
    assert {"horowitz-45nm", "horowitz-45nm-dram", "horowitz-45nm-int8"} <= set(technologies())
    for name in technologies():
        found = load_technology(name)
        assert all(source != "not said" for source in found.sources.values()), name
    int8 = load_technology("horowitz-45nm-int8")
    assert int8.on_chip_word(1) == 10 * 8 / 64 and int8.address_pj == 0.1  # from its base


GOOD = 'base = "horowitz-45nm"\nname = "mine"\n'


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "[mac]\npj = 1.5\n")
    found = load_technology(path)
    assert (found.name, found.mac_pj, found.ac_pj) == ("mine", 1.5, 0.9)
    # Of one memory, whatever its size.
    path.write_text(GOOD + "address = {pj = 0}\n[on_chip]\nbytes = [100]\npj = [2.0]\n")
    found = load_technology(path)
    assert found.address_pj == 0
    assert found.on_chip_word(1) == found.on_chip_word(10**6) == 2.0 * 32 / 64


def test_what_differs_from_its_base_does_not_pass_for_it(tmp_path: Path) -> None:
    """A price of one's own is not Horowitz's, nor is a technology with it "45 nm, float32, weights
    on the chip"; also through a base of one's own."""
    path, upon = tmp_path / "my-chip.toml", tmp_path / "upon.toml"
    path.write_text(
        'base = "horowitz-45nm"\n[mac]\npj = 1.5\n[ac]\npj = 0.1\nsource = "measured"\n'
    )
    upon.write_text(f"base = '{path}'\nword_bits = 16\n")
    for found, name in ((load_technology(path), "my-chip"), (load_technology(upon), "upon")):
        assert (found.name, found.mac_pj, found.ac_pj) == (name, 1.5, 0.1)
        assert (found.sources["mac"], found.sources["ac"]) == ("not said", "measured")
        assert found.sources["address"].startswith("Horowitz")


def test_a_file_that_is_no_toml_and_the_base_of_another_are_named(tmp_path: Path) -> None:
    path, upon = tmp_path / "mine.toml", tmp_path / "upon.toml"
    path.write_text("name =")
    upon.write_text(f"base = '{path}'")
    for file in (path, upon):
        with pytest.raises(SrnnError, match="cannot be read as a technology in TOML") as caught:
            load_technology(file)
        assert str(file) in str(caught.value)
