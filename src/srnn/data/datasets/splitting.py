"""Splits for data that have none: by group (speaker, subject) or by class, deterministic and the
same on every machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ...errors import SrnnError, naming
from ...files.bounds import BelowOne, WithinZeroAndOne
from ...files.conversion import check
from ...text import brief, counted, some
from .base import SPLITS, SplitName
from .survey import say

if TYPE_CHECKING:
    from .files import Item


class Shares(NamedTuple):
    """What is held out of the groups, or of each class, where no split is given."""

    validation: float = 0.15
    """Fraction for validation. 0, where splits are given: nothing is taken from training for it."""
    test: float = 0.2
    """Fraction for testing. 0: nothing."""
    fold: tuple[int, int] | None = None
    """(k, n): for testing, part k (from 1) of n equal parts, in the place of ``test``. Where a test
    split is given, the parts are of the rest, and this one is for validation."""
    by_class: bool = True
    """Whether the same shares are of each class; where labels are values, they are of all."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """The shares in a task's options ``validation_fraction``, ``test_fraction`` and ``fold``;
        else the defaults.

        SrnnError for other values, and for both a fold and a fraction for testing.
        """
        bounds = {"validation": WithinZeroAndOne, "test": BelowOne}  # tests may be elsewhere
        named = {
            name: check(key, options[key], hint)
            for name, hint in bounds.items()
            if (key := f"{name}_fraction") in options
        }
        text = options.get("fold", "")
        if not text:
            return cls(**named)
        found = None
        if isinstance(text, str):
            found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
        if found is None:
            fold = None
        else:
            fold = (int(found[1]), int(found[2]))
        if fold is None or fold[1] < 2 or fold[0] > fold[1]:
            raise SrnnError(
                f"fold must be such as 2/5, the second of five parts, not {brief(text)}.",
                "value",
                "fold",
            )
        if named.get("test", cls().test) != cls().test:
            raise SrnnError(
                f"fold {text} says what is for testing; remove test_fraction.",
                "conflict",
                "test_fraction",
            )
        return cls(**named, fold=fold)

    def split(self, count: int) -> list[SplitName] | None:
        """The split of each of ``count`` groups or sequences, in their order; None where a split
        would have none.

        First come those for testing, or with a fold after the parts before it, then those for
        validation, then, around the end, those for training. At least one is for validation and,
        unless its share is 0 or there is a fold, one for testing.
        """
        first, last = 0, max(self.test > 0, round(self.test * count))
        if self.fold is not None:
            part, parts = self.fold
            first, last = round((part - 1) * count / parts), round(part * count / parts)
        test, validation = last - first, max(1, round(self.validation * count))
        if test >= count - validation or (self.fold is not None and test == 0):
            return None
        sizes: dict[SplitName, int] = {
            "test": test,
            "validation": validation,
            "train": count - test - validation,
        }
        in_turn: list[SplitName] = [name for name, size in sizes.items() for _ in range(size)]
        return [in_turn[(index - first) % count] for index in range(count)]

    def held_out(self, groups: bool) -> str:
        """Of what the shares are, for people."""
        if groups:
            return "groups"
        if self.by_class:
            return "sequences, each class by itself,"
        return "sequences"

    @property
    def tested(self) -> str:
        """What is for testing, for people."""
        if self.fold is None:
            return f"{self.test:.0%}"
        return "part {} of {}".format(*self.fold)

    def __str__(self) -> str:
        tested = ""
        if self.test or self.fold:
            tested = f" and {self.tested} for testing"
        return f"{self.validation:.0%} for validation{tested}"


def split_items(source: Path, items: Sequence[Item], shares: Shares) -> dict[str, list[Item]]:
    """The items of every split: as the items state it, else by groups, else by classes. Where they
    state all splits but validation, that is taken from training, and a RuntimeWarning says so.

    Args:
        source: where the items are from, for messages.
        items: all items.
        shares: how much is held out where no split is stated.

    Returns:
        The items by the name of their split.

    Raises:
        SrnnError: a split has another name, or too little can be held out (data).
    """
    splits = [item.split for item in items]
    if any(splits):
        for name in splits:
            if name not in SPLITS:
                raise SrnnError(
                    f"{source}: split must be train, validation or test "
                    f"for every row, not '{name}'.",
                    "data",
                    "split",
                )
        if shares.fold is not None:
            # The items of every split where a test split is given: a fold of the others is for
            # validation.
            tested = [item for item in items if item.split == "test"]
            others = [item for item in items if item.split != "test"]
            if not tested or not others:
                raise SrnnError(
                    f"{source} names its splits, but none for testing beside which a fold could be for "
                    "validation; remove one or the other.",
                    "conflict",
                    "fold",
                )
            held_out = [split == "test" for split in _share_out(source, others, shares)]
            return {
                "train": [item for item, held in zip(others, held_out, strict=True) if not held],
                "validation": [item for item, held in zip(others, held_out, strict=True) if held],
                "test": tested,
            }
        if shares.validation and set(splits) == {"train", "test"}:
            training = [item for item in items if item.split == "train"]
            what = shares.held_out(bool(training[0].group))
            say(
                f"{source} names no validation split: {shares.validation:.0%} of the training "
                f"split's {what} are held out for it, always the same ones."
            )
            shared = iter(_share_out(source, training, shares._replace(test=0.0)))
            splits = [next(shared) if split == "train" else split for split in splits]
    else:
        splits = _share_out(source, items, shares)
    return {
        name: [item for item, of in zip(items, splits, strict=True) if of == name]
        for name in SPLITS
    }


def _share_out(source: Path, items: Sequence[Item], shares: Shares) -> Sequence[str]:
    """The split of each item: by groups, else by classes."""
    groups = [item.group for item in items]
    if any(groups) and not all(groups):
        raise SrnnError(
            f"{source}: some files have a group and some have none; "
            "give one to all or none of them.",
            "data",
            "group",
        )
    with naming(source):
        if any(groups):
            of = split_by_group(groups, shares)
            return [of[group] for group in groups]
        labels = [item.label if shares.by_class else "" for item in items]
        return split_by_class([item.name for item in items], labels, shares)


def place(name: str) -> str:
    """A name's place in a fixed pseudo-random order."""
    return hashlib.sha1(name.encode(errors="surrogatepass")).hexdigest()


def held_out(
    what: str, present: Sequence[int], chosen: Sequence[int] | None, split: SplitName, default: int
) -> list[int]:
    """The numbers (of subjects, of speakers) that are held out from training.

    Args:
        what: what is numbered: "speaker". The option is called validation_speakers.
        present: all numbers, ascending.
        chosen: those that the option names; None: the ``default`` highest.
        split: the split that is loaded.
        default: how many are held out without the option.

    Returns:
        The numbers that are held out.

    Raises:
        SrnnError: one of them is not present (value), or a split is left without any (conflict).
    """
    numbers = list(present[-default:] if chosen is None else chosen)
    for number in numbers:
        if number not in present:
            raise SrnnError(
                f"validation_{what}s: there is no {what} {number!r}; there are {list(present)}.",
                "value",
                f"validation_{what}s",
            )
    if split == "validation" and not numbers:
        raise SrnnError(
            f"validation_{what}s is empty: no {what} is held out for "
            "validation; use split train or test.",
            "conflict",
            f"validation_{what}s",
        )
    if set(numbers) == set(present):
        raise SrnnError(
            f"Holding out the {what}s {numbers} leaves no {what} to train on.",
            "conflict",
            f"validation_{what}s",
        )
    return numbers


def split_by_group(groups: Sequence[str], shares: Shares) -> dict[str, SplitName]:
    """The split of every group, in the order of ``place`` of the different names.

    Args:
        groups: the group of each sequence.
        shares: how much is held out.

    Returns:
        The split by the group's name.

    Raises:
        SrnnError: there are too few groups, fewer than three or than the parts of a fold (data).
    """
    names = sorted(set(groups), key=lambda name: (place(name), name))
    splits = shares.split(len(names))
    if splits is None or len(names) < (shares.fold or (1, 1))[1]:
        needed = f"at least {3 if shares.test else 2} are needed, or smaller fractions"
        if shares.fold is not None:
            needed = f"a fold of {shares.fold[1]} needs as many groups, and others to train on"
        raise SrnnError(
            f"{counted(len(names), 'group')} (speakers, subjects), {some(names)}: too few to "
            f"hold out {shares}; {needed}.",
            "data",
            "group",
        )
    return dict(zip(names, splits, strict=True))


def split_by_class(names: Sequence[str], labels: Sequence[str], shares: Shares) -> list[SplitName]:
    """The split of every sequence, the same shares of each class, whose sequences are taken in the
    order of ``place`` of their names.

    Args:
        names: a name for each sequence.
        labels: the class of each sequence.
        shares: how much is held out of each class.

    Returns:
        The split of each sequence.

    A class with too few sequences to hold any out, fewer than three or than the parts of a fold, is
    for training as a whole, and a RuntimeWarning says so. SrnnError if that is so of all classes.
    """
    split: list[SplitName] = ["train"] * len(names)
    of: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        of.setdefault(label, []).append(index)
    rare = []
    for label, members in of.items():
        members.sort(key=lambda index: (place(names[index]), names[index]))
        splits = shares.split(len(members))
        if splits is None or len(members) < (shares.fold or (1, 1))[1]:
            rare.append(f"{label} ({len(members)})")
            continue
        for index, own in zip(members, splits, strict=True):
            split[index] = own
    if len(rare) == len(of):
        fewer = "make fewer folds"
        if shares.fold is None:
            fewer = "set smaller fractions"
        raise SrnnError(
            f"No class has enough sequences to hold out {shares}: "
            f"{some(rare)}; record more, or {fewer}.",
            "data",
            "label",
        )
    if rare:
        say(
            f"too few sequences to hold any out of {counted(len(rare), 'class', 'classes')}, "
            f"{some(rare)}: all of them are for training, so nothing measures "
            "how well these are told apart."
        )
    return split
