"""All targets, by name. Nothing of srnn is imported before a target reads or makes its seeds."""

from __future__ import annotations

from ..target import Target
from . import (
    archives,
    arrays,
    caches,
    records,
    results,
    runs,
    service,
    sound,
    streams,
    texts,
    weights,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for family in (
        arrays,
        sound,
        records,
        archives,
        weights,
        runs,
        results,
        caches,
        texts,
        streams,
        service,
    )
    for target in family.TARGETS
}
