"""Splits for data that have none: by group (speaker, subject) or by class, deterministic and the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ...errors import SrnnError
from ...text import counted, some
from .base import SPLITS, SplitName, check_fraction

if TYPE_CHECKING:
    from .files import Item


class Shares(NamedTuple):
    """Fractions of the groups, or of each class, that are held out where no split is given."""

    validation: float = 0.15
    test: float = 0.2

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The shares in a task's options ``validation_fraction`` and ``test_fraction``; else the defaults."""
        named = {name: options[key] for name in cls._fields if (key := f"{name}_fraction") in options}
        for name, fraction in named.items():
            check_fraction(f"{name}_fraction", fraction)
        return cls(**named)


def split_items(source: Path, items: Sequence[Item], shares: Shares) -> dict[str, list[Item]]:
    """The items of every split: as the items state it, else by groups, else by classes. SrnnError, which names the source."""
    splits, groups = [item.split for item in items], [item.group for item in items]
    if any(splits):
        for name in splits:
            if name not in SPLITS:
                raise SrnnError(f"{source}: split must be train, validation or test for every row, not '{name}'.")
    else:
        if any(groups) and not all(groups):
            raise SrnnError(f"{source}: some files have a group and some have none; give one to all or none of them.")
        try:
            if any(groups):
                of = split_by_group(groups, *shares)
                splits = [of[group] for group in groups]
            else:
                splits = split_by_class([item.name for item in items], [item.label for item in items], *shares)
        except SrnnError as error:
            raise SrnnError(f"{source}: {error}") from error
    return {name: [item for item, of in zip(items, splits, strict=True) if of == name] for name in SPLITS}


def place(name: str) -> str:
    """A name's place in a fixed pseudo-random order."""
    return hashlib.sha1(name.encode(errors="surrogatepass")).hexdigest()


def held_out(
    what: str, present: Sequence[int], chosen: Sequence[int] | None, split: SplitName, default: int
) -> list[int]:
    """The numbers that are held out from training: the ``chosen``, else the ``default`` highest of all ``present``.

    SrnnError, which names the option validation_WHATs, where one of them is not present, or a split is left without any.
    """
    numbers = list(present[-default:] if chosen is None else chosen)
    for number in numbers:
        if number not in present:
            raise SrnnError(f"validation_{what}s: there is no {what} {number!r}; there are {list(present)}.")
    if split == "validation" and not numbers:
        raise SrnnError(f"validation_{what}s is empty: no {what} is held out for validation; use split train or test.")
    if set(numbers) == set(present):
        raise SrnnError(f"Holding out the {what}s {numbers} leaves no {what} to train on.")
    return numbers


def split_by_group(groups: Sequence[str], validation: float, test: float) -> dict[str, SplitName]:
    """The split of every group. The first groups, in the order of ``place``, are for testing, the next for validation.

    ``validation``, ``test``: fractions of the (different) groups, rounded to at least one each. SrnnError for fewer than three
    groups, or none left to train on.
    """
    names = sorted(set(groups), key=lambda name: (place(name), name))
    held = [max(1, round(share * len(names))) for share in (test, validation)]
    if sum(held) >= len(names):
        raise SrnnError(
            f"{counted(len(names), 'group')} (speakers, subjects), {some(names)}: too few to hold {held[1]} out for validation "
            f"and {held[0]} for testing; at least 3 are needed, or smaller fractions."
        )
    split: dict[str, SplitName] = {}
    for index, name in enumerate(names):
        split[name] = "test" if index < held[0] else "validation" if index < sum(held) else "train"
    return split


def split_by_class(names: Sequence[str], labels: Sequence[str], validation: float, test: float) -> list[SplitName]:
    """The split of every sequence, the same fractions of each class; in the order of ``place`` of the names.

    A class needs at least three sequences; SrnnError otherwise.
    """
    split: list[SplitName] = ["train"] * len(names)
    of: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        of.setdefault(label, []).append(index)
    for label, members in of.items():
        members.sort(key=lambda index: (place(names[index]), names[index]))
        held = [max(1, round(share * len(members))) for share in (test, validation)]
        if sum(held) >= len(members):
            advice = (
                "record more, or leave the class out" if len(members) < 3 else "record more, or set smaller fractions"
            )
            raise SrnnError(
                f"Class {label} has {counted(len(members), 'sequence')}, too few to hold {held[1]} out for validation and "
                f"{held[0]} for testing; {advice}."
            )
        for rank, index in enumerate(members[: sum(held)]):
            split[index] = "test" if rank < held[0] else "validation"
    return split
