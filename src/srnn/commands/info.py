"""srnn info: versions, backends, threads, devices; what to quote in a report of a problem."""

from __future__ import annotations

import argparse
import json

HELP = "versions, backends, threads and devices of this machine"
DESCRIPTION = "What srnn finds on this machine. Please quote it when you report a problem."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    from .. import __version__
    from ..kernels import BACKENDS
    from ..neurons import NEURONS
    from ..runs import environment
    from ..surrogates import SURROGATES

    found = environment(seed=0)
    info = {
        "srnn": __version__,
        **{
            name: found[name]
            for name in ("python", "versions", "platform", "cpu", "cores", "threads", "gpu", "git_commit")
        },
        "backends": list(BACKENDS),
        "neurons": list(NEURONS),
        "surrogates": list(SURROGATES),
    }
    if arguments.json:
        print(json.dumps(info))
        return 0
    for name, value in info.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {inner or 'not installed'}" for key, inner in value.items())
        elif isinstance(value, list):
            value = ", ".join(value)
        print(f"{name:<11} {value if value is not None else 'none'}")
    return 0
