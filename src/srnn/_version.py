"""The version, for whoever writes it into a file, and what of it tells whether two can go on with
each other's trainings."""

__version__ = "0.2.0"


def minor_version(version: str) -> tuple[int, ...]:
    """The first two numbers of a version: (0, 2) of "0.2.5"; shorter or empty for what is no
    version."""
    numbers: list[int] = []
    for part in version.split(".")[:2]:
        if not part.isdecimal() or len(part) > 9:
            break
        numbers.append(int(part))
    return tuple(numbers)
