"""Serve one trained network or several, on this machine only unless --host is given.

  srnn serve RUN                                   then open the address that it prints
  srnn serve ecg=RUN digits=RUN2 --new-token       names, and a token that clients need
  srnn serve RUN --recording heart.hea             a signal that the live page can play
  srnn serve RUN --host 0.0.0.0 --token-file FILE  to other machines: a token is needed

Streams go over a WebSocket, whole sequences over HTTP (docs/serve.md). The token may also be in SRNN_TOKEN.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..deploy.serve.limits import Limits
from ..errors import SrnnError
from .decoding import add_decoder_arguments, load_decoder, without_others

if TYPE_CHECKING:
    from ..deploy.serve.app import Recording
    from ..deploy.streaming import Decoder

SHARED = ("--input", "--data-dir", "--json")
TOKEN = "SRNN_TOKEN"
LONGEST_RECORDING = 600.0
"""Seconds of a recording that are kept."""
_LIMITS = {
    "streams": ("--max-streams", "N", "streams at a time"),
    "message_bytes": ("--max-message", "B", "bytes per message"),
    "body_bytes": ("--max-body", "B", "bytes per batch"),
    "sequences": ("--max-sequences", "N", "sequences per batch"),
    "idle_seconds": ("--idle", "S", "seconds until a silent stream ends"),
}
"""The option of a limit, by its name in ``Limits``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="[NAME=]RUN",
        nargs="+",
        help="run folders, models' files, or pretrained networks ('srnn models')",
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8765, metavar="P", help="port (default: 8765; 0: any that is free)")
    parser.add_argument(
        "--share-port", action="store_true", help="let several servers, one per core, listen on one port"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token that clients need")
    parser.add_argument("--new-token", action="store_true", help="make a token, and print it")
    parser.add_argument(
        "--recording",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a signal that the live page can play; may be given several times",
    )
    add_decoder_arguments(parser)
    for field, (option, metavar, what) in _LIMITS.items():
        default = getattr(Limits, field)
        parser.add_argument(
            option,
            dest=field,
            type=type(default),
            default=default,
            metavar=metavar,
            help=f"{what} (default: {default:.0f})",
        )


def run(arguments: argparse.Namespace) -> int:
    from ..deploy.serve.listening import bind, listen, raise_descriptors
    from ..deploy.serve.server import check_exposure, check_installed, make_server, spare_collections

    check_installed()
    if not 0 <= arguments.port < 65536:
        raise SrnnError(f"--port must be from 0 to 65535, not {arguments.port}.")
    limits = Limits(**{field: getattr(arguments, field) for field in _LIMITS})
    token = find_token(arguments.token_file, arguments.new_token)
    check_exposure(arguments.host, token)
    # A port in use is reported before models are loaded; connections are accepted after that.
    with bind(arguments.host, arguments.port, arguments.share_port) as bound:
        port = bound.getsockname()[1]
        models, examples, notes = load_models(arguments)
        recordings = [load_recording(path, models) for path in arguments.recording] + examples
        server = make_server(models, host=arguments.host, port=port, token=token, limits=limits, recordings=recordings)
        raise_descriptors(int(limits.streams))
        listen(bound)
        _say(arguments, list(models), port, token, notes)
        spare_collections()
        server.run(sockets=[bound])
    return 0


def load_models(arguments: argparse.Namespace) -> tuple[dict[str, Decoder], list[Recording], list[str]]:
    """The decoders by name, the recordings that their runs keep, and notes on which options do not apply to which models.

    A model to which no name is given has its folder's. If there are several models, each takes the options that apply to it; an
    option that applies to none of them is refused, as it is for a single model.
    """
    from ..training.examples import kept_examples
    from ..training.runs import open_trained

    folders: dict[str, str] = {}
    for words in arguments.models:
        name, given, folder = words.rpartition("=")
        name = name if given else os.path.basename(os.path.realpath(folder)).removesuffix(".safetensors")
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
            raise SrnnError(f"A model's name may have only letters, digits and - _ ., not {name!r}: give NAME=RUN.")
        if name in folders:
            raise SrnnError(f"There are two models named '{name}': give them names, as NAME=RUN.")
        folders[name] = folder
    networks = {name: open_trained(folder) for name, folder in folders.items()}
    own = dict.fromkeys(networks, arguments)
    left_out: dict[str, list[str]] = {}
    for name, trained in networks.items() if len(networks) > 1 else ():
        own[name], others = without_others(arguments, trained.task)
        for option in others:
            left_out.setdefault(option, []).append(name)
    for option, names in left_out.items():
        if len(names) == len(networks):
            raise SrnnError(f"{option} applies to none of the models {', '.join(names)}.")
    models = {name: load_decoder(own[name], trained) for name, trained in networks.items()}
    notes = [f"{option} does not apply to {', '.join(names)}" for option, names in left_out.items()]
    examples = []
    for name, trained in networks.items():
        if models[name].signal.form != trained.task.live().form:
            continue  # examples have the form that it reads by default
        for path in kept_examples(trained.folder or Path(folders[name])):
            try:
                examples.append(replace(load_recording(path, {name: models[name]}), name=path.stem, kept=True))
            except SrnnError as error:  # nobody asked for it
                notes.append(str(error))
    return models, examples, notes


def load_recording(path: Path, models: dict[str, Decoder]) -> Recording:
    """A signal for the live page, "-" for standard input. SrnnError unless it fits one of the models."""
    import numpy as np

    from ..deploy.serve.app import Recording
    from ..deploy.streaming.sources import open_source

    piped = io.BytesIO(sys.stdin.buffer.read()) if str(path) == "-" else None

    fitting, signal, problem = [], None, None
    for name, decoder in models.items():
        rate = decoder.signal.rate
        try:
            if piped is not None:
                piped.seek(0)
            whole = open_source(
                str(path), decoder.signal.channels, rate, 4096, stdin=piped, numbers=decoder.signal.numbers
            ).whole()
        except SrnnError as error:
            problem = error
            continue
        fitting.append(name)
        signal = whole[: int(LONGEST_RECORDING * rate) if rate else None].astype(np.float32)
    if signal is None:
        raise SrnnError(f"The recording fits no model: {problem}")
    return Recording(path.name, signal, tuple(fitting))


def find_token(file: Path | None, new: bool) -> str | None:
    """The token from the file, from SRNN_TOKEN, or a new one; None if none is wanted."""
    if file is not None and new:
        raise SrnnError("--token-file and --new-token exclude each other.")
    if new:
        return secrets.token_urlsafe(32)
    try:
        token = os.environ.get(TOKEN, "") if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SrnnError(f"Cannot read the token from {file}: {error}.") from error
    if file is None and not token:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise SrnnError(f"{file or TOKEN} contains no token, which is one line of printable ASCII characters.")
    return token


def _say(arguments: argparse.Namespace, models: list[str], port: int, token: str | None, notes: list[str]) -> None:
    """Say where it listens. A token is printed only if it is new."""
    needed, token = token is not None, token if arguments.new_token else None
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = f"http://{host}:{port}/"
    if arguments.json:
        said = {"url": url, "port": port, "models": models, "token": token, "token_needed": needed, "notes": notes}
        print(json.dumps(said), flush=True)
        return
    for note in notes:
        print(note, flush=True)
    print(f"serving {', '.join(models)} at {url}{f'?token={token}' if token else ''}", flush=True)
    if needed and token is None:
        print("clients need the token, and so does the page: add ?token=... to its address", flush=True)
    print("Ctrl-C stops the server", flush=True)
