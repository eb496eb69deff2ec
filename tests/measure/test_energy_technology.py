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
    path.write_text(
        GOOD + "address = {pj = 0}\n[on_chip]\nbytes = [100]\npj = [2.0]\n"
    )  # of one memory, whatever its size
    found = load_technology(path)
    assert (
        found.address_pj == 0
        and found.on_chip_word(1) == found.on_chip_word(10**6) == 2.0 * 32 / 64
    )


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name =", "cannot be read as a technology in TOML"),
        ('name = "x"', '"word_bits" is missing'),
        (GOOD + "wordbits = 8", "Did you mean 'word_bits'"),
        (GOOD + "mac = 3", "must be a table"),
        (GOOD + "[mac]\npjs = 3", "Did you mean 'pj'"),
        (GOOD + "[mac]\npj = -1", "mac.pj must be a number"),
        (GOOD + "[mac]\npj = nan", "mac.pj must be a number"),
        (GOOD + "[mac]\npj = inf", "mac.pj must be a number"),
        (GOOD + "[mac]\npj = true", "mac.pj must be a number"),
        (GOOD + "word_bits = 0", "integer of bits"),
        (GOOD + "word_bits = true", "integer of bits"),
        (GOOD + 'weights = "moon"', "on_chip"),
        (GOOD + "[on_chip]\nbytes = [1, 2]", "must increase"),
        (GOOD + "[on_chip]\nbytes = [3, 2, 1]", "must increase"),
        (GOOD + "[on_chip]\nbytes = [1, 2, 2]", "must increase"),
        (GOOD + "[on_chip]\nbytes = []", "list of numbers"),
        ('base = "mine.toml"\nname = "x"', "There is no technology"),
        ('base = "no-such"', "There is no technology 'no-such'"),
    ],
)
def test_malformed_technologies(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SrnnError, match=message) as caught:
        load_technology(path)
    assert "\n" not in str(caught.value)


def test_a_technology_is_not_its_own_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "{path}"\nname = "x"')
    with pytest.raises(SrnnError, match="its own base"):
        load_technology(path)
    with pytest.raises(SrnnError, match="horowitz-45nm"):
        load_technology("horowitz-45mn")
