"""``srnn stream``."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SrnnError, naming
from ..files.bounds import Between
from ..files.conversion import check
from ..text import counted, json_text, one_line
from .decoding import DEFAULT_DECODING, DecoderOptions
from .options import NO_OPTIONS, DataDir, Form, Json, Model, RecordingOptions, place
from .stream_view import LiveView, decision_line

if TYPE_CHECKING:
    from types import FrameType

    from ..data.leads import LeadWatch
    from ..deploy.streaming import Decoder, Session, Spotter
    from ..deploy.streaming.running import Decision, Timing
    from ..deploy.streaming.sources import Source

BLOCK_SECONDS = 0.04
BLOCK = 256
"""Samples per block if samples are not in time: nobody waits for the end of a block, and one by one
takes many times as long."""


@dataclass(frozen=True)
class _Input:
    """The options of the source."""

    name: str
    form: Form
    format: Literal["csv", "float32", "int16"] | None
    recording: RecordingOptions
    block: int | None
    device: str | None


def stream(
    model: Model,
    source: str,
    /,
    *,
    format: Literal["csv", "float32", "int16"] | None = None,
    form: Form = "auto",
    recording: RecordingOptions = NO_OPTIONS,
    report: Literal["step", "change", "end"] | None = None,
    block: int | None = None,
    words: bool = False,
    decoding: DecoderOptions = DEFAULT_DECODING,
    state: Path | None = None,
    real_time: bool = False,
    device: str | None = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Run a signal through a trained network as it arrives, and print decisions as they are made.

      srnn stream RUN heart.hea                        a WFDB record; also .wav, .csv, .npz
      srnn stream RUN mic --words                      the microphone: words, wherever they begin (needs srnn[mic])
      sensor | srnn stream RUN - --json                rows from a pipe; --format float32 or int16 for raw samples

    SOURCE is the task's raw signal if its encoder can be streamed (--input signal), otherwise steps
    as the network reads them (--input steps). A file is one sequence, which gets the answer of srnn
    predict, unless --segment or --state is given. With --words windows overlap, and a line is
    printed when a word is detected. Each line gives the time in the signal of what it names, and
    the delay from then until the decision was known: late labels, the encoder, waiting for the
    block's end, and work. The last lines give the real-time factor (seconds of work per second of
    signal) and the latency of blocks. With --json there is one JSON line for each decision, and one
    for the summary.

    Args:
        source: a file, - for standard input, or mic
        format: format of standard input (default: csv)
        report: print a line for every step, when the class or an alarm changes, or when a sequence ends
            (default: change; with --words end; of values, step if each step has one, else end)
        block: samples per block (default: 40 ms, or 256 if they are not in time; from a pipe, what
            has arrived)
        words: detect words in overlapping windows, by the model's own rule
        state: continue from this state if the file exists; write it at the end
        real_time: play a file as fast as it was recorded
        device: mic: which microphone, by its number or part of its name
    """
    if block is not None:
        check("--block", block, int, Between(1, 2**31 - 1))
    chosen = _Input(source, form, format, recording, block, device)
    # Refused: options that belong to another kind of source.
    rows = source != "mic" and (source != "-" or format in (None, "csv"))
    refused = {
        "format": (
            format is not None and source != "-",
            f"--format is for standard input (-), and the source is {source}; leave it out.",
        ),
        "device": (
            device is not None and source != "mic",
            f"--device chooses a microphone, and the source is {source}; leave it out.",
        ),
        "channels": (
            recording.channels is not None and not rows,
            "--channels is for files and rows from a pipe; this source has the network's channels.",
        ),
        "rate": (
            recording.rate is not None and source == "mic",
            "--rate is for files; a microphone is asked for the network's rate.",
        ),
        "real_time": (
            real_time and source in ("-", "mic"),
            "--real-time is for files; a live source has its own pace.",
        ),
        "state": (
            state is not None and words,
            "--state keeps one sequence, and --words has several at a time; give one of them.",
        ),
    }
    for field, (wrong, message) in refused.items():
        if wrong:
            raise SrnnError(message, "conflict", field)
    if state is not None and state.exists() and not state.is_file():
        raise SrnnError(
            f"--state: {state} is a folder, a pipe or a device; name a file.", "file", state
        )

    with nullcontext() if state is None else place("--state", state):
        from ..model.opening import open_trained

        decoder = decoding.decoder(open_trained(model), form, data_dir)
        if real_time and decoder.signal.rate is None:
            raise SrnnError(
                f"--real-time needs a signal in time; this network reads {decoder.signal.what}.",
                "conflict",
                "real_time",
            )
        when = _when(decoder, report, words)
        opened = _open(chosen, decoder)
        for note in opened.notes:
            _note(opened, note)
        return _stream(decoder, opened, model, when, words, state, real_time, json)


def _when(
    decoder: Decoder, report: Literal["step", "change", "end"] | None, words: bool
) -> Literal["step", "change", "end"]:
    """Which decisions get a line. SrnnError for what values cannot do."""
    if decoder.alarm is not None and not words:
        return report or "change"
    if not decoder.loss.rule.value:
        return report or ("end" if words else "change")
    if words or report == "change":
        option = "--report change"
        if words:
            option = "--words"
        raise SrnnError(
            f"{option} is for networks that name a class; this one answers with values.",
            "conflict",
            option,
        )
    return report or ("step" if decoder.loss.rule.per_step else "end")


def _stream(
    decoder: Decoder,
    source: Source,
    model: str,
    report: Literal["step", "change", "end"],
    words: bool,
    state: Path | None,
    real_time: bool,
    json: bool,
) -> int:
    from ..data.leads import LeadWatch
    from ..deploy.predicting import far_longer
    from ..deploy.streaming import Session, Spotter
    from ..deploy.streaming.running import Beginning
    from ..deploy.streaming.sources import as_clip
    from ..files import read_bytes, write_atomically

    beginning = Beginning(
        decoder.signal, lambda drift: _note(source, f"unlike in training: {drift}")
    )
    source = replace(source, blocks=beginning.of(source.blocks))
    finite = state is None and source.ends
    session: Session | Spotter = decoder.open_finite() if finite else decoder.open()
    one_sequence = finite and not words and session.segment is None
    if one_sequence:
        source = as_clip(source, decoder.task, decoder.signal)
    if words:
        session = Spotter(decoder)
    if state is not None and isinstance(session, Session) and state.exists():
        with naming(f"--state: {state}"):
            session.restore(read_bytes(state, "a stream's state"))
    samples, steps = session.samples, session.steps  # of earlier calls
    watch = LeadWatch.of(decoder.task, decoder.signal, samples)

    def walk(show: Any) -> tuple[Timing, int, bool]:
        return _walk(session, source, report, real_time, watch, finish=state is None, show=show)

    if json or decoder.loss.rule.value or not sys.stdout.isatty():
        line = _json_line if json else decision_line
        walked = walk(lambda _, chosen: [print(line(one), flush=True) for one in chosen])
    else:
        with LiveView(f"{model} - {source.name}", decoder.classes) as view:
            walked = walk(view.show)
    timing, count, interrupted = walked
    if state is not None and isinstance(session, Session):
        write_atomically(state, session.save(), named=True)
    unlike = beginning.training_difference()
    if one_sequence and not unlike:
        unlike = far_longer(decoder.trained, session.steps)
    summary = {
        "samples": session.samples - samples,
        "steps": session.steps - steps,
        "decisions": count,
        "interrupted": interrupted,
        "samples_in_all": session.samples,
        "steps_in_all": session.steps,
        "encoder_latency": decoder.signal.latency,
        "training_difference": unlike or None,
        **timing.summary(),
    }
    if json:
        print(json_text({"type": "summary", **summary}))
    else:
        latency = summary["block_latency_ms"]
        unit = "samples"
        if decoder.signal.rate:
            unit = "s"
        if summary["training_difference"]:
            print(f"unlike in training: {summary['training_difference']}")
        samples, steps, shown = (
            counted(summary[f"{name}s"], name) for name in ("sample", "step", "decision")
        )
        print(f"{samples}, {steps}, {shown} shown")
        if summary["real_time_factor"]:
            factor = summary["real_time_factor"]
            if factor < 0.5:
                pace = f"{1 / factor:,.0f} times faster than"
            else:
                pace = f"{1 / factor:.2f} times as fast as"
            print(f"real-time factor {factor:.5f}: {pace} the signal")
        print(
            f"latency: the encoder waits {summary['encoder_latency']:g} {unit}; a "
            f"block took {latency['p50']:.3f} ms (median), {latency['p95']:.3f} "
            f"(95 %), {latency['p99']:.3f} (99 %), {latency['max']:.3f} (max)"
        )
    return 0


def _note(source: Source, note: str) -> None:
    print(f"note: {one_line(f'{source.name}: {note}')}", file=sys.stderr, flush=True)


def _open(chosen: _Input, decoder: Decoder) -> Source:
    from ..deploy.streaming.sources import open_microphone, open_source

    signal = decoder.signal
    block = chosen.block or (
        BLOCK if signal.rate is None else max(1, round(signal.rate * BLOCK_SECONDS))
    )
    if chosen.name == "mic":
        return open_microphone(
            signal.channels, signal.rate if signal.form == "signal" else None, block, chosen.device
        )
    try:
        return open_source(
            chosen.name,
            signal,
            block,
            chosen.format or "csv",
            at_once=chosen.block is None,
            said=replace(chosen.recording.reading(), words=decoder.task.words),
        )
    except SrnnError as error:
        if signal.form == "steps" and chosen.form == "auto" and "channel" in str(error):
            raise SrnnError(
                f"{error} The network reads {signal.what}; if "
                "this is the raw signal, try --input signal.",
                error.kind,
                error.field,
            ) from error
        raise


def _walk(
    session: Session | Spotter,
    source: Source,
    report: Literal["step", "change", "end"],
    real_time: bool,
    watch: LeadWatch | None,
    *,
    finish: bool,
    show: Any,
) -> tuple[Timing, int, bool]:
    """Run through the source to its end, or until Ctrl-C: (timing, lines shown, whether it was
    Ctrl-C)."""
    from ..deploy.streaming.running import Chooser, Timing, run_source, where_silent

    timing, chooser, count, interrupted, waits = Timing(), Chooser(report), 0, False, _Waits()
    source = replace(source, blocks=waits.of(source.blocks))
    if watch is not None:
        source = replace(source, blocks=watch.of_blocks(source.blocks))
    blocks = run_source(
        session,
        source,
        timing,
        real_time=real_time,
        finish=finish,
        sleep=lambda seconds: waits.on(lambda: time.sleep(seconds)),
    )
    with waits.only():
        try:
            for made in blocks:
                decisions = where_silent(made, watch, session.decoder.lag)
                answers = [one.number if one.alarm is None else one.alarm for one in decisions]
                kept = chooser(answers, [one.final for one in decisions])
                chosen = list(compress(decisions, kept))
                count += len(chosen)
                show(decisions, chosen)
        except KeyboardInterrupt:  # how a microphone is ended
            if not waits.waiting:  # a block is only half done, and no state can be kept
                raise
            interrupted = True
    return timing, count, interrupted


class _Waits:
    """Ctrl-C ends a stream only while it waits for its source: half of a block's work would leave a
    state that belongs to no signal, and decisions that were never shown. A second Ctrl-C ends it
    anywhere."""

    def __init__(self) -> None:
        self.waiting = self._came = False

    def on(self, wait: Callable[[], Any]) -> Any:
        self.waiting = True
        if self._came:
            raise KeyboardInterrupt
        given = wait()
        self.waiting = False
        return given

    def of(self, blocks: Iterator[Any]) -> Iterator[Any]:
        while (block := self.on(lambda: next(blocks, None))) is not None:
            yield block

    @contextmanager
    def only(self) -> Iterator[None]:
        """Within it Ctrl-C, if it is heeded at all, is heeded only in ``on`` and ``of``."""
        before = signal.getsignal(signal.SIGINT)
        if not callable(before) or threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            heeded, self._came = self.waiting or self._came, True
            if heeded:
                before(number, frame)

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _json_line(decision: Decision) -> str:
    return json_text(
        {
            "type": "decision",
            "step": decision.step,
            "seconds": decision.seconds,
            "class": None if decision.number < 0 else decision.number,
            "label": decision.label,
            "probability": round(decision.probability, 6),
            **({} if decision.values is None else {"values": decision.values.tolist()}),
            **({} if decision.alarm is None else {"alarm": decision.alarm}),
            "final": decision.final,
            "delay_ms": None if decision.delay is None else round(1000 * decision.delay, 3),
        }
    )
