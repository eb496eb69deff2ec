"""The tables and the picture of results/README.md, made from the JSON of its folders:
``python -m release.results_table`` writes them anew.

    results/NAME/summary.json    several seeds of a recipe (srnn report)
    results/NAME/test.json       readings of the test split, ours and others'
    results/NAME/groups.json     the pretrained network by record or speaker (release/groups.py)
    results/NAME/BASELINE/       the same of what it is compared with, whose tests are in NAME/test.json
    results/people               the study of raw records (benchmarks.people)
    results/searches             how many trainings each baseline's search had
    results/published.json       what others have published
    src/srnn/model/pretrained/NAME.yaml    the card of the pretrained network: energy, and its test

A number without a file is "-". To add or renew a row:

    srnn report RUN RUN --out results/NAME --title TEXT --command TEXT    then delete its curves.svg
    srnn evaluate RUN --split test --json    into test.json, with the command that trained
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import yaml
from benchmarks.people import FRESH, STUDIES, best_trial, people, rows_of, with_interval

from srnn.measure.analysis.groups import GroupReport

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LABELS_COME = {
    "ecg": "76 ms later",
    "ecg-large": "76 ms later",
    "ecg-alif-lookahead": "276 ms later",
    "ecg-lookahead-large": "376 ms later",
    "ecg-bidirectional": "at the end",
    "ecg-bidirectional-large": "at the end",
}
"""The rows of the paper's ECG file, and when they decide."""
RAW_ECG = ("ecg-records-large", "ecg-records")
SMALL = "36 csilif, 0.02, long, dropout 0.1"
"""What the study of raw records calls the recipe ecg-records."""
SOUNDS = (
    "speech-commands-mini",
    "speech-commands-live",
    "spoken-digits-official",
    "spoken-digits-official-256",
    "spoken-digits-speakers",
)
IMAGES = ("digits", "smnist-delays", "psmnist-brf", "psmnist-delays")
ROWS = (*LABELS_COME, *RAW_ECG, *SOUNDS, *IMAGES)
CARDS = {"spoken-digits-official": "spoken-digits-spikes"}
"""Cards of another name than the folder's."""
SEARCHES = {
    "ecg/lstm": "ecg-lstm-search",
    "ecg/gru": "ecg-gru-search",
    "ecg-bidirectional/lstm": "ecg-bilstm-search",
    "speech-commands-mini/lstm": "speech-commands-mini-lstm-search",
    "spoken-digits-official/lstm": "spoken-digits-official-lstm-search",
    "spoken-digits-speakers/lstm": "spoken-digits-spikes-lstm-search",
    "digits/lstm": "digits-lstm-search",
}
"""The search of a baseline's settings, in results/searches."""
SPEAKER = re.compile(r"--task\.options\.test_speaker (\w+)")
COMMON = "ECG, raw records, labelled steps: "
"""What the heading of a table says of all its rows."""
PLACE = re.compile(r"(<!-- (\w+) -->\n\n?)(?:\|.*\n)+")
"""Where a table stands on the page, and its name."""

Table = list[list[str]]


def read(path: Path) -> Any:
    """The content of a JSON file; None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def card_of(name: str) -> dict[str, Any] | None:
    path = ROOT / f"src/srnn/model/pretrained/{CARDS.get(name, name)}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def bare(command: str) -> str:
    return command.replace(" --seed SEED", "")


# ---- cells ---------------------------------------------------------------------------------------


def percent(values: Sequence[float]) -> str:
    """Mean and sample standard deviation."""
    mean = f"{100 * fmean(values):.2f}"
    return f"{mean} ± {100 * stdev(values):.2f}" if len(values) > 1 else mean


def short(value: float) -> str:
    """No more digits than were told."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".")


def validated(summary: dict[str, Any], measure: str) -> str:
    return percent(summary[measure]["values"]) if measure in summary else "-"


def interval(name: str) -> str:
    """The pretrained network's accuracy over records or speakers: 95 %, by how these differ."""
    groups = read(RESULTS / name / "groups.json")
    if groups is None:
        return "-"
    of = groups["right_of_counted"]
    report = GroupReport(tuple(of), np.ones(len(of), np.int64), np.array(list(of.values())))
    assert report.interval is not None
    return " to ".join(f"{100 * bound:.1f}" for bound in report.interval)


def over(names: Iterable[str]) -> str:
    """What the intervals are over: "over 11 records, 95 %"."""
    found = [read(RESULTS / name / "groups.json") for name in names]
    (of,) = {(len(one["right_of_counted"]), one["unit"]) for one in found if one}
    return f"over {of[0]} {of[1]}, 95 %"


def ours(tests: Iterable[dict[str, Any]], command: str, measure: str) -> list[float]:
    """What we read ourselves, of each training by a command."""
    return [one[measure] for one in trainings(tests, command) if "read_by" not in one]


def trainings(tests: Iterable[dict[str, Any]], command: str) -> list[dict[str, Any]]:
    return [one for one in tests if one.get("trained", "").rpartition(" --seed ")[0] == command]


def by_others(tests: Iterable[dict[str, Any]], command: str | None, measure: str) -> str:
    """What people read who tuned nothing: the mean of new trainings, and the pretrained network.
    Without a command, only the latter."""
    read_by = [one for one in tests if "read_by" in one and measure in one]
    fresh = [one[measure] for one in trainings(read_by, command or "")]
    told = [f"{100 * fmean(fresh):.2f} ({len(fresh)})"] if fresh else []
    told += [f"pretrained {short(one[measure])}" for one in read_by if "model" in one and command]
    return ", ".join(told) or "-"


def own_test(name: str, summary: dict[str, Any], tests: list[dict[str, Any]], measure: str) -> str:
    mine = ours(tests, bare(summary["command"]), measure)
    if mine:
        return percent(mine)
    card = card_of(name)
    if card is None or card["test"] is None:
        return "-"
    return f"pretrained {short(card['test'])}"


def trials(baseline: str) -> str:
    """Of the search that chose a baseline's settings."""
    kept = read(RESULTS / baseline / "results.json")
    if kept is None and baseline in SEARCHES:
        kept = read(RESULTS / "searches" / "searches.json")[SEARCHES[baseline]]
    return str(len(kept["points"])) if kept else "-"


def link(name: str, text: str) -> str:
    page = "summary" if (RESULTS / name / "summary.md").is_file() else "README"
    return f"[{text}]({name}/{page}.md)"


def network(summary: dict[str, Any]) -> str:
    """The title without its task."""
    return summary["title"].rpartition(": ")[2]


def cells_of(recipe: dict[str, Any]) -> str:
    """A baseline's name."""
    found = recipe["network"]
    if found["model"] == "srnn":
        return f"the same without spikes: {found['hidden'][0]} ReLU"
    units = " + ".join(map(str, found["hidden"]))
    both = " in each direction" if found["bidirectional"] else ""
    return f"{found['model'].upper()}, {units} units{both}"


def baselines(name: str) -> list[tuple[str, dict[str, Any]]]:
    """(folder, summary) of what a row is compared with; the best trial of a search, where its
    settings were not trained again."""
    found = []
    for path in sorted((RESULTS / name).glob("*/")):
        summary = read(path / "summary.json")
        if summary is None:
            search = read(path / "results.json")
            best = max(search["points"], key=lambda point: point["accuracy"]["mean"])
            summary = {**best, "command": "-", "recipe": search["recipe"]}
        found.append((f"{name}/{path.name}", summary))
    return found


# ---- tables --------------------------------------------------------------------------------------


def paper_ecg() -> Table:
    """Accuracy of labelled steps first; of all steps, which is what others publish, in the last two
    columns."""
    rows = [
        [
            "network",
            "labels come",
            "parameters",
            "validation",
            over(LABELS_COME),
            "test, read by others",
            "all steps: validation",
            "all steps: test, by others",
        ]
    ]
    for name, come in LABELS_COME.items():
        tests = read(RESULTS / name / "test.json") or []
        summary = read(RESULTS / name / "summary.json")
        for folder, told in [(name, summary), *baselines(name)]:
            command = bare(told["command"])
            own = folder == name
            rows.append(
                [
                    link(name, network(told)) if own else cells_of(told["recipe"]),
                    come,
                    f"{told['parameters']:,}",
                    validated(told, "accuracy_labelled"),
                    interval(name) if own else "-",
                    reading(tests, command, "accuracy_labelled", own),
                    validated(told, "accuracy"),
                    reading(tests, command, "accuracy", own),
                ]
            )
    return rows + [
        [f"*{one['network']}, published*", one["decides"], one["parameters"], *4 * "-", one["test"]]
        for one in read(RESULTS / "published.json")["ecg"]
    ]


def reading(tests: list[dict[str, Any]], command: str, measure: str, own: bool) -> str:
    """By others; the pretrained network is the row's own, not its baseline's."""
    of = [one for one in tests if own or "model" not in one]
    return by_others(of, command, measure)


def raw_ecg() -> Table:
    """The pretrained networks, and what they are compared with, by cross-validation over all
    records but those for testing; beside it their own validation records."""
    study = replace(STUDIES["ecg-records"], out=ROOT / STUDIES["ecg-records"].out)
    lines = rows_of(study)
    best = {family: best_trial(study, lines, family) for family in study.trials}
    held_out = {
        "ecg-records-large": people(lines, "srnn", best["srnn"], FRESH),
        "ecg-records": people(lines, "srnn", SMALL, FRESH[:1]),
    }
    ours = held_out["ecg-records-large"]
    table = [
        [
            "network",
            "parameters",
            f"{len(ours)} records, each held out once",
            "minus the first",
            "validation of the recipe's own split",
            over(RAW_ECG),
            "test",
        ]
    ]
    for name, of in held_out.items():
        summary = read(RESULTS / name / "summary.json")
        own = [validated(summary, "accuracy_labelled"), interval(name)]
        title = link(name, summary["title"].removeprefix(COMMON))
        size = f"{summary['parameters']:,}"
        table.append([title, size, *beside(of, ours), *own, "-"])
    for family, title in (("gru", "GRU"), ("lstm", "LSTM"), ("cnn", "causal CNN")):
        of = people(lines, family, best[family], FRESH)
        (size,) = {row["parameters"] for row in lines if of_trial(row, family, best[family])}
        table.append([title, f"{size:,}", *beside(of, ours), "-", "-", "-"])
    return table


def of_trial(row: dict[str, Any], family: str, trial: str) -> bool:
    return (row["family"], row["trial"]) == (family, trial)


def beside(of: np.ndarray, ours: np.ndarray) -> list[str]:
    return [with_interval(of), "-" if of is ours else with_interval(of - ours)]


def sounds() -> Table:
    return accuracies(SOUNDS, "accuracy")


def images() -> Table:
    rows = accuracies(IMAGES, "accuracy", groups=False)
    for one in read(RESULTS / "published.json")["images"]:
        rows.append([f"*{one['network']}, published*", one["parameters"], "-", one["test"], "-"])
    return rows


def accuracies(names: Sequence[str], measure: str, groups: bool = True) -> Table:
    """Rows of several tasks, each with what it is compared with below it."""
    head = ["task and network", "parameters", "validation", "test", "test, read by others"]
    rows: Table = []
    for name in names:
        tests = read(RESULTS / name / "test.json") or []
        summary = read(RESULTS / name / "summary.json")
        if summary is None:
            rows += speakers_rows(name, tests)
            continue
        for folder, told in [(name, summary), *baselines(name)]:
            own = folder == name
            mine = ours(tests, bare(told["command"]), measure)
            rows.append(
                [
                    link(name, told["title"].removeprefix(COMMON))
                    if own
                    else cells_of(told["recipe"]),
                    f"{told['parameters']:,}",
                    validated(told, measure),
                    interval(name) if own else "-",
                    own_test(name, told, tests, measure) if own else percent(mine),
                    reading(tests, bare(told["command"]), measure, own),
                ]
            )
    if not groups:
        return [head, *([*row[:3], *row[4:]] for row in rows)]
    return [[*head[:3], over(names), *head[3:]], *rows]


def speakers_rows(name: str, tests: list[dict[str, Any]]) -> Table:
    """Each speaker left out once: means over seeds, then mean and deviation over the speakers."""
    of_lstm = [one for one in tests if "--baseline lstm" in one["trained"]]
    of_ours = [one for one in tests if "--baseline" not in one["trained"]]
    return [
        [title, f"{of[0]['parameters']:,}", "-", "-", over_speakers(of), "-"]
        for title, of in (
            (link(name, "Spoken digits, speakers not in training: 256 + 256 SE-adLIF"), of_ours),
            ("LSTM, 128 + 128 units", of_lstm),
        )
    ]


def over_speakers(tests: list[dict[str, Any]]) -> str:
    by_speaker: dict[str, list[float]] = {}
    for one in tests:
        found = SPEAKER.search(one["trained"])
        assert found is not None
        by_speaker.setdefault(found[1], []).append(one["accuracy"])
    return percent([fmean(values) for values in by_speaker.values()])


def costs() -> Table:
    """How each row was made, and what a step of its pretrained network costs."""
    rows = [
        [
            "made by",
            "seeds",
            "minutes",
            "best epoch over the last, points",
            "trials of the baseline's search",
            "energy of a step, nJ: operations",
            "with memory",
        ]
    ]
    for name in ROWS:
        summary = read(RESULTS / name / "summary.json")
        if summary is None:
            rows.append(costs_of_speakers(name))
            continue
        rows.append([f"`{bare(summary['command'])}`", *made(summary), "-", *energy(name)])
        for folder, told in baselines(name):
            kind = cells_of(told["recipe"]).partition(":")[0]
            rows.append([f"compared: {kind}", *made(told), trials(folder), "-", "-"])
    return rows


def costs_of_speakers(name: str) -> list[str]:
    tests = read(RESULTS / name / "test.json")
    seeds = sorted({int(one["trained"].split()[-1]) for one in tests})
    command = "`srnn train spoken-digits-spikes --task.options.test_speaker SPEAKER`"
    return [command, between(seeds), "-", "-", trials(f"{name}/lstm"), "-", "-"]


def made(summary: dict[str, Any]) -> list[str]:
    return [between(summary["seeds"]), minutes(summary), optimism(summary)]


def energy(name: str) -> list[str]:
    """Of a step of the pretrained network: at the paper's prices, and with memory."""
    card = card_of(name)
    if card is None:
        return ["-", "-"]
    operations, memory = (card["energy_nj"][model]["step"] for model in ("paper", "memory"))
    return [f"{operations:.2f}", f"{memory:,.1f}"]


def optimism(summary: dict[str, Any]) -> str:
    """By how much the best epoch of each training, by validation, is better there than the mean of
    its last tenth, in percentage points."""
    last = summary.get("last_epochs")
    if last is None:
        return "-"
    return f"{100 * (fmean(summary[last['measure']]['values']) - fmean(last['values'])):.2f}"


def minutes(summary: dict[str, Any]) -> str:
    seconds = summary.get("seconds")
    if seconds is None or isinstance(seconds, dict):
        return "-"
    least, most = (f"{limit(seconds) / 60:.1f}" for limit in (min, max))
    return least if least == most else f"{least} to {most}"


def between(seeds: list[int]) -> str:
    """ "41 to 60", or each."""
    if len(seeds) > 3 and seeds == [*range(seeds[0], seeds[-1] + 1)]:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


TABLES = {
    "paper_ecg": paper_ecg,
    "raw_ecg": raw_ecg,
    "sounds": sounds,
    "images": images,
    "costs": costs,
}


def written(rows: Table) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def replaced(page: str, tables: Mapping[str, Callable[[], Table]] = TABLES) -> str:
    """The page with each table in its place."""
    return PLACE.sub(lambda found: found[1] + written(tables[found[2]]()), page)


if __name__ == "__main__":
    from .results_picture import PATH, picture

    readme = RESULTS / "README.md"
    readme.write_text(replaced(readme.read_text(encoding="utf-8")), encoding="utf-8")
    PATH.write_text(picture(), encoding="utf-8")
