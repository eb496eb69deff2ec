"""The table of results/README.md, made from the JSON of its folders:
``python release/results_table.py`` writes it anew.

    results/NAME/summary.json    several seeds of a recipe (srnn report)
    results/NAME/test.json       readings of the test split, ours and others'
    results/NAME/BASELINE/       the same of what it is compared with, whose tests are in NAME/test.json
    src/srnn/training/pretrained/NAME.yaml    the card of the pretrained network: energy, and its test

A number without a file is "-". To add or renew a row:

    srnn report RUN RUN --out results/NAME --title TEXT --command TEXT    then delete its curves.svg
    srnn evaluate RUN --split test --json    into test.json, with the command that trained
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
ROWS = (
    "digits",
    "ecg",
    "ecg-large",
    "ecg-alif-lookahead",
    "ecg-lookahead-large",
    "ecg-bidirectional",
    "ecg-bidirectional-large",
    "ecg-records",
    "ecg-records-large",
    "speech-commands-mini",
    "speech-commands-live",
    "phones",
    "spoken-digits-official",
    "spoken-digits-official-256",
    "spoken-digits-speakers",
    "smnist-delays",
    "psmnist-brf",
    "psmnist-delays",
)
CARDS = {"spoken-digits-official": "spoken-digits-spikes"}
"""Cards of another name than the folder's."""
HEAD = (
    "task and network",
    "parameters",
    "validation, %",
    "test, %",
    "best baseline: validation; test, %",
    "energy, nJ",
    "minutes",
    "seeds",
    "command",
    "folder",
)
SPEAKER = re.compile(r"--task\.options\.test_speaker (\w+)")


def read(path: Path) -> Any:
    """The content of a JSON file; None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def percent(values: Sequence[float]) -> str:
    """Mean and sample standard deviation."""
    mean = f"{100 * fmean(values):.2f}"
    return f"{mean} ± {100 * stdev(values):.2f}" if len(values) > 1 else mean


def short(value: float) -> str:
    """No more digits than were told."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".")


def metric(summary: dict[str, Any]) -> str:
    """What chose the epoch: accuracy, or that of labelled steps."""
    return summary["recipe"]["training"]["early_stopping"]["metric"]


def tested(
    tests: list[dict[str, Any]], command: str, measure: str, card: dict[str, Any] | None = None
) -> str:
    """What a training, and the pretrained network of that card, had on test: ours, then others'."""
    trained = [one for one in tests if one.get("trained", "").rpartition(" --seed ")[0] == command]
    shipped = [one for one in tests if card and "model" in one]
    mine = [one[measure] for one in trained if "read_by" not in one]
    others = [one[measure] for one in trained if "read_by" in one]

    parts = []
    if mine:
        parts.append(percent(mine))
    elif card and card["test"] is not None:
        parts.append(f"{percent([card['test']])} (pretrained)")
    told = [short(fmean(others))] if others else []
    told += [f"pretrained {short(shipped[0][measure])}"] if shipped else []
    if told:
        parts.append(f"others: {', '.join(told)}")
    return "; ".join(parts) or "-"


def baselines(folder: Path, tests: list[dict[str, Any]]) -> str:
    """Each of a row's baselines: validation, and test."""
    cells = []
    for path in sorted(folder.glob("*/")):
        summary, search = read(path / "summary.json"), read(path / "results.json")
        if summary is not None:
            command, measure = bare(summary["command"]), metric(summary)
            numbers = f"{percent(summary[measure]['values'])}; {tested(tests, command, measure)}"
            cells.append(f"{path.name.upper()}, {summary['parameters']:,}: {numbers}")
        elif search is not None:
            best = max(search["points"], key=lambda point: point["accuracy"]["mean"])
            cells.append(
                f"{path.name.upper()}, {best['parameters']:,}: "
                f"{percent(best['accuracy']['values'])}; -"
            )
    return " / ".join(cells) or "-"


def bare(command: str) -> str:
    return command.replace(" --seed SEED", "")


def row(name: str) -> list[str]:
    folder = RESULTS / name
    tests = read(folder / "test.json") or []
    summary = read(folder / "summary.json")
    if summary is None:
        return speakers_row(name, tests)

    path = ROOT / f"src/srnn/training/pretrained/{CARDS.get(name, name)}.yaml"
    card = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    energy = card and [card["energy_nj"][model]["step"] for model in ("paper", "memory")]
    command, measure = bare(summary["command"]), metric(summary)
    return [
        summary["title"],
        f"{summary['parameters']:,}",
        percent(summary[measure]["values"]),
        tested(tests, command, measure, card),
        baselines(folder, tests),
        f"{energy[0]:.2f}; {energy[1]:,.1f}" if energy else "-",
        minutes(summary),
        between(summary["seeds"]),
        f"`{command}`",
        f"[{name}]({name}/{'summary' if (folder / 'summary.md').is_file() else 'README'}.md)",
    ]


def speakers_row(name: str, tests: list[dict[str, Any]]) -> list[str]:
    """Each speaker left out once: means over seeds, then mean and deviation over the speakers."""
    ours = [one for one in tests if "--baseline" not in one["trained"]]
    theirs = [one for one in tests if "--baseline lstm" in one["trained"]]
    seeds = sorted({int(one["trained"].split()[-1]) for one in ours})
    return [
        "Spoken digits as spikes, speakers not in training: 256 + 256 SE-adLIF",
        f"{ours[0]['parameters']:,}",
        "-",
        over_speakers(ours),
        f"LSTM, {theirs[0]['parameters']:,}: -; {over_speakers(theirs)}",
        "-",
        "-",
        between(seeds),
        "`srnn train spoken-digits-spikes --task.options.test_speaker SPEAKER`",
        f"[{name}]({name}/README.md)",
    ]


def over_speakers(tests: list[dict[str, Any]]) -> str:
    by_speaker: dict[str, list[float]] = {}
    for one in tests:
        found = SPEAKER.search(one["trained"])
        assert found is not None
        by_speaker.setdefault(found[1], []).append(one["accuracy"])
    return percent([fmean(values) for values in by_speaker.values()])


def minutes(summary: dict[str, Any]) -> str:
    """Of the trainings, and the processor."""
    if "seconds" not in summary:
        return "-"
    least, most = (f"{time(summary['seconds']) / 60:.1f}" for time in (min, max))
    processor = summary["environments"][0]["cpu"].removesuffix(" Processor").replace("(R)", "")
    return f"{least if least == most else f'{least} to {most}'}, {processor}"


def between(seeds: list[int]) -> str:
    """ "41 to 60", or each."""
    if len(seeds) > 3:
        assert seeds == [*range(seeds[0], seeds[-1] + 1)]
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def table() -> str:
    rows = [HEAD, ["---"] * len(HEAD), *map(row, ROWS)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def replaced(page: str) -> str:
    """The page with the table in the place of its first one."""
    return re.sub(r"(^\|.*\n)+", lambda _: table(), page, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    readme = RESULTS / "README.md"
    readme.write_text(replaced(readme.read_text(encoding="utf-8")), encoding="utf-8")
