"""``srnn serve``."""

from __future__ import annotations

import io
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..deploy.serve.access import Limits
from ..errors import SrnnError
from ..files import TEXT
from ..text import json_text
from .decoding import DEFAULT_DECODING, DecoderOptions
from .options import NO_OPTIONS, DataDir, Form, Json, RecordingOptions

if TYPE_CHECKING:
    from ..deploy.serve.app import Playable
    from ..deploy.streaming import Decoder

TOKEN = "SRNN_TOKEN"
LONGEST_RECORDING = 600.0
"""Seconds of a recording that are kept."""


def serve(
    models: Annotated[list[str], Parameter(name="[NAME=]RUN...")],
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    share_port: bool = False,
    token_file: Path | None = None,
    new_token: bool = False,
    recording: Annotated[list[Path] | None, Parameter(allow_repeating=True)] = None,
    of_recording: RecordingOptions = NO_OPTIONS,
    form: Form = "auto",
    decoding: DecoderOptions = DEFAULT_DECODING,
    max_streams: int = Limits.streams,
    max_message: int = Limits.message_bytes,
    max_body: int = Limits.body_bytes,
    max_sequences: int = Limits.sequences,
    idle: float = Limits.idle_seconds,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Serve one trained network or several, on this machine only unless --host is given.

      srnn serve RUN                                   then open the address that it prints
      srnn serve ecg=RUN digits=RUN2 --new-token       names, and a token that clients need
      srnn serve RUN --recording heart.hea             a signal that the live page can play
      srnn serve RUN --host 0.0.0.0 --token-file FILE  to other machines: a token is needed

    Streams go over a WebSocket, whole sequences over HTTP (docs/serve.md). The token may also be in
    SRNN_TOKEN.

    Args:
        models: run folders, models' files, or pretrained networks ('srnn models')
        host: address to listen on
        port: port; 0: any that is free
        share_port: let several servers, one per core, listen on one port
        token_file: file with the token that clients need
        new_token: make a token, and print it
        recording: a signal that the live page can play; may be given several times
        max_streams: streams at a time
        max_message: bytes per message
        max_body: bytes per batch
        max_sequences: sequences per batch
        idle: seconds until a silent stream ends
    """
    from ..deploy.serve.server import (
        bind,
        check_exposure,
        check_installed,
        listen,
        make_server,
        raise_descriptors,
        spare_collections,
    )

    check_installed()
    if not 0 <= port < 65536:
        raise SrnnError(f"--port must be from 0 to 65535, not {port}.", "value", "port")
    limits = Limits(max_streams, max_message, max_body, max_sequences, idle)
    token = find_token(token_file, new_token)
    check_exposure(host, token)
    # A port in use is reported before models are loaded; connections are accepted after that.
    with bind(host, port, share_port) as bound:
        port = bound.getsockname()[1]
        decoders, examples, notes = load_models(models, decoding, form, data_dir)
        recordings = [
            load_recording(path, decoders, of_recording) for path in recording or ()
        ] + examples
        server = make_server(
            decoders, host=host, port=port, token=token, limits=limits, recordings=recordings
        )
        raise_descriptors(int(limits.streams))
        listen(bound)
        shown = f"[{host}]" if ":" in host else host
        url, names = f"http://{shown}:{port}/", list(decoders)
        if json:
            content = {
                "url": url,
                "port": port,
                "models": names,
                "token": token if new_token else None,
            }
            print(
                json_text({**content, "token_needed": token is not None, "notes": notes}),
                flush=True,
            )
        else:
            _say(url, names, token, new_token, notes)
        spare_collections()
        server.run(sockets=[bound])
    return 0


def load_models(
    models: list[str],
    decoding: DecoderOptions = DEFAULT_DECODING,
    form: Form = "auto",
    data_dir: Path | None = None,
) -> tuple[dict[str, Decoder], list[Playable], list[str]]:
    """The networks that are served. If there are several, each takes the options that apply to it;
    an option that applies to none of them is refused, as it is for a single one.

    Args:
        models: RUN or NAME=RUN; without a name, the folder's is taken.
        decoding: options of their decoders.
        form: what their input is.
        data_dir: where training data are, for a network that lacks their statistics.

    Returns:
        The decoders by name, the recordings that their runs keep, and notes on which options do not
        apply to which models.

    Raises:
        SrnnError: ``value``: a name is not valid or there twice; ``conflict``: an option applies to
            none.
    """
    from ..model.opening import open_trained
    from ..training.examples import kept_examples

    folders: dict[str, str] = {}
    for words in models:
        name, given, folder = words.rpartition("=")
        if not given:
            name = os.path.basename(os.path.realpath(folder)).removesuffix(".safetensors")
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
            raise SrnnError(
                "A model's name may have only letters, digits "
                f"and - _ ., not {name!r}: give NAME=RUN.",
                "value",
                "models",
            )
        if name in folders:
            raise SrnnError(
                f"There are two models named '{name}': give them names, as NAME=RUN.",
                "value",
                "models",
            )
        folders[name] = folder
    networks = {name: open_trained(folder) for name, folder in folders.items()}
    own = dict.fromkeys(networks, decoding)
    left_out: dict[str, list[str]] = {}
    for name, trained in networks.items() if len(networks) > 1 else ():
        own[name], others = decoding.of_task(trained.task, form)
        for option in others:
            left_out.setdefault(option, []).append(name)
    for option, names in left_out.items():
        if len(names) == len(networks):
            raise SrnnError(
                f"{option} applies to none of the models {', '.join(names)}.",
                "conflict",
                option,
            )
    decoders = {
        name: own[name].decoder(trained, form, data_dir) for name, trained in networks.items()
    }
    notes = [f"{option} does not apply to {', '.join(names)}" for option, names in left_out.items()]
    examples = []
    for name, trained in networks.items():
        if decoders[name].signal.form != trained.task.live().form:
            continue  # examples have the form that it reads by default
        for path in kept_examples(trained.folder or Path(folders[name])):
            try:
                examples.append(
                    replace(load_recording(path, {name: decoders[name]}), name=path.stem, kept=True)
                )
            except SrnnError as error:  # the user has not named it
                notes.append(str(error))
    return decoders, examples, notes


def load_recording(
    path: Path, models: dict[str, Decoder], options: RecordingOptions = NO_OPTIONS
) -> Playable:
    """A signal for the live page.

    Args:
        path: the recording, "-" for standard input.
        models: the decoders by name.
        options: of reading it.

    Returns:
        The signal, and the models that it fits.

    Raises:
        SrnnError: ``data``: it fits none.
    """
    import numpy as np

    from ..deploy.serve.app import Playable
    from ..deploy.streaming.sources import open_source

    piped = None
    if str(path) == "-":
        piped = io.BytesIO(sys.stdin.buffer.read())

    fitting, signal, names, problem = [], None, None, None
    for name, decoder in models.items():
        rate = decoder.signal.rate
        try:
            if piped is not None:
                piped.seek(0)
            source = open_source(
                str(path), decoder.signal, 4096, stdin=piped, said=options.reading()
            )
            whole = source.whole()
        except SrnnError as error:
            problem = error
            continue
        fitting.append(name)
        names = source.channels
        signal = whole[: int(LONGEST_RECORDING * rate) if rate else None].astype(np.float32)
    if signal is None:
        raise SrnnError(f"The recording fits no model: {problem}", "data", path)
    return Playable(path.name, signal, tuple(fitting), channels=names)


def find_token(file: Path | None, new: bool) -> str | None:
    """The token that clients need.

    Args:
        file: a file with it; None: it may be in SRNN_TOKEN.
        new: make one.

    Returns:
        The token; None if none is wanted.

    Raises:
        SrnnError: ``conflict``: a file and a new one; ``file`` or ``data``: the file has no token.
    """
    if file is not None and new:
        raise SrnnError(
            "--token-file and --new-token exclude each other.", "conflict", "token_file"
        )
    if new:
        return secrets.token_urlsafe(32)
    try:
        if file is None:
            token = os.environ.get(TOKEN, "")
        else:
            with file.open(encoding="utf-8") as opened:  # a pipe, too, but no more than a token is
                token = opened.read(TEXT)
    except (OSError, UnicodeDecodeError) as error:
        raise SrnnError(f"Cannot read the token from {file}: {error}.", "file", file) from error
    if file is None and not token:
        return None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise SrnnError(
            f"{file or TOKEN} contains no token, which is one line of printable ASCII characters.",
            "data",
            file or TOKEN,
        )
    return token


def _say(url: str, models: list[str], token: str | None, new: bool, notes: list[str]) -> None:
    """Print where it listens, and a token only if it is new."""
    for note in notes:
        print(note, flush=True)
    shown = ""
    if token is not None and new:
        shown = f"?token={token}"
    print(f"serving {', '.join(models)} at {url}{shown}", flush=True)
    if token is not None and not new:
        print(
            "clients need the token, and so does the page: add ?token=... to its address",
            flush=True,
        )
    print("Ctrl-C stops the server", flush=True)
