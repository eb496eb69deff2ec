"""The versions and hashes that .ci/run installs are those of this package's dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / ".ci" / "requirements.txt"
OF_THE_MACHINE = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
"""Builds differ from machine to machine, so no hash is known."""


def locked() -> list[tuple[Requirement, list[str]]]:
    """(requirement, hashes) of every entry."""
    text = LOCK.read_text().replace("\\\n", " ")
    lines = [
        line.split("--hash=") for line in text.splitlines() if line and not line.startswith("#")
    ]
    return [(Requirement(line[0].strip()), [word.strip() for word in line[1:]]) for line in lines]


def wanted(extra: str) -> set[Requirement]:
    """What an extra brings, extras of our own within it resolved; "": the dependencies of the
    package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    found = {Requirement(line) for line in lines}
    ours = {one for one in found if one.name == "srnn"}
    return (found - ours).union(*(wanted(name) for one in ours for name in one.extras))


def test_every_package_has_one_version_and_hashes() -> None:
    entries = locked()
    assert len(entries) > 80
    for requirement, hashes in entries:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)) and requirement.url is None, (
            requirement
        )
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), (
            requirement
        )
        assert not OF_THE_MACHINE.fullmatch(requirement.name), requirement
    assert "://" not in LOCK.read_text()


def test_the_lock_is_of_these_dependencies() -> None:
    """After a change of pyproject.toml, run .ci/lock."""
    versions: dict[str, set[str]] = {}
    for requirement, _ in locked():
        versions.setdefault(requirement.name, set()).add(next(iter(requirement.specifier)).version)
    for need in (
        wanted("") | wanted("test") | {Requirement("hatchling>=1.25"), Requirement("editables")}
    ):
        name = canonicalize_name(need.name)
        if not OF_THE_MACHINE.fullmatch(name):
            assert versions.get(name) and all(
                need.specifier.contains(one) for one in versions[name]
            ), f"{need}: run .ci/lock"
