"""The paper's tables: published numbers as printed, ours in their place, what is missing in words;
nothing half-written."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paper.commands import main
from paper.curves import write_curves
from paper.evidence import gather
from paper.make import reproduce
from paper.matching import beside, cost, describe, differences, energy, nearest, same_network
from paper.published import TASKS, number, published_rows, published_settings
from srnn.errors import SrnnError
from srnn.studies.summary import spread
from srnn.training.recipes import load_recipe, shipped_recipes
from support.reproducing import evaluation, table, write_summary, write_sweep
from support.runs import ECG, few_sequences, make_run

pytestmark = pytest.mark.usefixtures("no_data")


class TestPublished:
    def test_rows_are_whole(self) -> None:
        for name, count in {"table1": 30, "table2": 19, "tableS2": 29}.items():
            rows = published_rows(name)
            assert (
                len(rows) == count
                and list(dict.fromkeys(row.task for row in rows))
                and {r.task for r in rows} == set(TASKS)
            )
            for row in rows:
                assert row.recipe is None or row.recipe in shipped_recipes()
                for printed in (
                    row.accuracy,
                    row.mac,
                    row.ac,
                    row.energy,
                    row.ratio,
                    row.error_ratio,
                    row.efficiency,
                ):
                    assert printed is None or number(printed) > 0

    def test_one_own_row_a_task(self) -> None:
        for name in ("table2", "tableS2"):
            assert sorted(row.task for row in published_rows(name) if row.own) == sorted(TASKS)

    def test_ratios_follow_from_energies(self) -> None:
        """The paper's own arithmetic, but for the two rows that the remarks call wrong."""
        own = {row.task: row for row in published_rows("tableS2") if row.own}
        for row in published_rows("tableS2"):
            wrong = row.remark is not None and "did not converge" in row.remark
            if row.energy is not None and row.ratio is not None and not wrong:
                found = number(row.energy) / number(own[row.task].energy or "1")
                assert found == pytest.approx(number(row.ratio), rel=0.01), row

    @pytest.mark.parametrize("row", [r for r in published_rows("tableS2") if r.energy and r.recipe and not r.own],
                             ids=lambda row: f"{row.task}-{row.method}")  # fmt: skip
    def test_recipes_cost_what_is_printed(self, row: Any) -> None:
        """A recipe that claims to be a published network has its operations, unless the remark says
        that no rule fits."""
        recipe = row.load_recipe()
        counted = cost(recipe, 0.3)
        assert counted is not None
        if row.remark:
            return
        # Our ReLU twins end in integrators, of one MAC; the paper counts ReLU units there, of five.
        assert energy(counted) == pytest.approx(
            number(row.energy), rel=0.015 if "ReLU" in row.method else 1e-4
        )

    def test_settings_are_rectangular(self) -> None:
        content = published_settings()
        assert all(
            len(row["values"]) == len(content["tasks"]) == len(content["recipes"])
            for row in content["rows"]
        )

    @pytest.mark.parametrize(
        ("text", "value"), [("181.8K", 181_800), ("1.1M", 1.1e6), (".5K", 500), (".93", 0.93)]
    )
    def test_printed_numbers(self, text: str, value: float) -> None:
        assert number(text) == pytest.approx(value)


class TestMatching:
    @pytest.mark.parametrize(
        ("recipe", "overrides", "fits"),
        [
            ("paper/ecg-code", [], True),
            ("paper/ecg-code", ["--training.epochs=3"], True),
            ("paper/ecg-code", ["--network.neuron.tau_mem=normal(10, 1)"], True),
            ("paper/ecg-code", ["--network.hidden=[37]"], False),
            ("paper/ecg-code", ["--network.neuron.beta=1.8"], True),  # as Table S1 prints it
            ("paper/ecg", [], True),
            ("paper/ecg", ["--network.readout=integrator"], False),
            ("paper/ecg-code", ["--network.recurrent=false"], False),
            ("paper/ecg-code", ["--task.options.source=records"], False),
            ("paper/ecg-lif", [], False),
            ("paper/ecg-lstm", [], False),
            ("ecg-adlif", [], False),
        ],
    )
    def test_what_stands_beside_the_papers_ecg(
        self, results: Path, recipe: str, overrides: list[str], fits: bool
    ) -> None:
        write_summary(results / "mine", recipe=load_recipe(recipe, overrides).to_dict())
        row = next(row for row in published_rows("tableS2") if row.recipe == "paper/ecg-code")
        assert bool(beside(row, gather(results).entries)) == fits

    def test_a_row_names_the_recipe_that_is_nearest(self, results: Path) -> None:
        row = next(row for row in published_rows("tableS2") if row.own and row.task == "ECG")
        for name in ("paper/ecg", "paper/ecg-code"):
            write_summary(
                results / "mine", recipe=load_recipe(name, ["--training.epochs=80"]).to_dict()
            )
            found = nearest(gather(results).entries[0], row)
            assert found == (name, ["training.epochs 80 (there 400)"])

    def test_equal_settings_written_otherwise(self) -> None:
        one, other = (
            load_recipe("paper/shd"),
            load_recipe("paper/shd", ["--network.recurrent=[true, true]"]),
        )
        assert same_network(one, other) and differences(one, one) == []
        assert differences(other, one) == ["network.recurrent [True, True] (there True)"]

    def test_a_readout_without_a_name_integrates(self) -> None:
        """As the recipe of a published network has it."""
        one, other = (
            load_recipe("paper/shd"),
            load_recipe("paper/shd", {"network.readout": {"neuron": "integrator"}}),
        )
        assert same_network(one, other) and describe(other) == "alif 128-128, readout integrator"

    @pytest.mark.parametrize(
        ("recipe", "overrides", "words"),
        [
            ("smnist", [], "LSTM 64-256-256"),
            ("smnist", ["--network.recurrent=[true, true, false]"], "LSTM 64-256, ReLU 256"),
            ("speech-commands-mini", ["--network.recurrent=[false, true]"], "ReLU 176, LSTM 176"),
            ("phones", [], "bidirectional LSTM 192-192"),
        ],
    )
    def test_a_network_of_cells_is_called_what_it_is(
        self, recipe: str, overrides: list[str], words: str
    ) -> None:
        assert describe(load_recipe(recipe, overrides, baseline="lstm")) == words

    def test_a_spiking_network_without_rate_has_no_cost(self) -> None:
        assert (
            cost(load_recipe("paper/ecg-code"), None) is None
            and cost(load_recipe("paper/ecg-lstm"), None) is not None
        )


class TestTables:
    def test_ours_stands_under_the_published_row(self, results: Path, tmp_path: Path) -> None:
        write_summary(results / "mine")
        write_summary(
            results / "lstm", "paper/ecg-lstm", firing_rate=None, accuracy=spread([0.7]), seeds=[0]
        )
        write_summary(results / "adlif", "ecg-adlif")
        made = table("tableS2", results, tmp_path)
        rows = made.to_dict()["rows"]
        place = next(i for i, row in enumerate(rows) if row["method"] == "mine")
        assert rows[place - 1]["whose"] == "published" and rows[place - 1]["accuracy"] == 85.9
        own = rows[place]
        assert (
            own["accuracy"] == pytest.approx(81)
            and own["ratio"] == own["error_ratio"] == own["efficiency"] == 1
        )
        assert own["energy"] == pytest.approx(3.1 * 90 + 0.1 * 0.3 * (4 * 36 + 36 * 36 + 36 * 6))
        assert own["on"] == "validation, 3 seeds" and own["remark"] == "recipe paper/ecg-code"
        lstm = next(row for row in rows if row["method"] == "lstm")
        assert lstm["energy"] == pytest.approx(20422.8) and lstm["ratio"] == pytest.approx(
            20422.8 / own["energy"]
        )
        assert lstm["error_ratio"] == pytest.approx(0.3 / 0.19) and lstm["rate"] is None
        assert "adlif" not in {row["method"] for row in rows}
        assert (
            "Among the results, but not of this table (another network, or other data): adlif."
            in made.notes
        )

    def test_the_test_split_counts_where_every_seed_was_tested(
        self, results: Path, tmp_path: Path
    ) -> None:
        mine = write_summary(results / "mine")
        write_summary(results / "lstm", "paper/ecg-lstm", firing_rate=None)
        for seed in (0, 1):
            (mine / f"evaluation-test-s{seed}.json").write_text(
                evaluation(split="test", seed=seed, accuracy=0.9)
            )
        rows = {row["method"]: row for row in table("tableS2", results, tmp_path).to_dict()["rows"]}
        assert rows["mine"]["on"] == "validation, 3 seeds" and rows["lstm"]["error_ratio"] == 1
        (mine / "evaluation-test-s2.json").write_text(
            evaluation(split="test", seed=2, accuracy=0.6)
        )
        rows = {row["method"]: row for row in table("tableS2", results, tmp_path).to_dict()["rows"]}
        assert rows["mine"]["on"] == "test, 3 seeds" and rows["mine"]["accuracy"] == pytest.approx(
            80
        )
        (mine / "evaluation-test-s7.json").write_text(
            evaluation(split="test", seed=7, accuracy=0.1)
        )  # none of these
        rows = {row["method"]: row for row in table("tableS2", results, tmp_path).to_dict()["rows"]}
        assert rows["mine"]["on"] == "test, 3 seeds" and rows["mine"]["accuracy"] == pytest.approx(
            80
        )
        assert (
            rows["lstm"]["on"] == "validation, 3 seeds" and rows["lstm"]["error_ratio"] is None
        )  # no ratio across splits

    def test_others_are_compared_with_the_shipped_recipe(
        self, results: Path, tmp_path: Path
    ) -> None:
        write_summary(
            results / "a-changed",
            recipe=load_recipe("paper/ecg-code", ["--training.epochs=3"]).to_dict(),
        )
        write_summary(results / "mine", firing_rate=spread([0.1]))
        rows = {row["method"]: row for row in table("tableS2", results, tmp_path).to_dict()["rows"]}
        assert rows["mine"]["ratio"] == 1 and rows["a-changed"]["ratio"] > 1

    def test_text_has_the_spread(self, results: Path, tmp_path: Path) -> None:
        write_summary(results / "mine")
        made = table("table1", results, tmp_path)
        assert (
            "| ECG | ours | alif 36, readout alif | mine | 81.00 ± 1.00 | validation, 3 seeds |"
            in made.markdown()
        )

    def test_nothing_is_made_up(self, results: Path, tmp_path: Path) -> None:
        for name in ("table1", "table2", "tableS2"):
            for row in table(name, results, tmp_path).to_dict()["rows"]:
                if row["whose"] == "ours":
                    assert row["method"] == "no run" and row["remark"].startswith(
                        "make one: srnn train paper/"
                    )
                    assert all(not isinstance(value, float) for value in row.values())

    def test_other_data_are_not_comparable(self, results: Path, tmp_path: Path) -> None:
        write_summary(results / "mini", "speech-commands-mini")
        write_summary(
            results / "raw",
            recipe=load_recipe("paper/ecg", ["--task.options.source=records"]).to_dict(),
        )
        made = table("table1", results, tmp_path)
        assert not {"mini", "raw"} & {row["method"] for row in made.to_dict()["rows"]}
        assert (
            "Among the results, but not of this table (another network, or other data): mini, raw."
            in made.notes
        )

    def test_per_frame_and_per_sequence(self, results: Path, tmp_path: Path) -> None:
        """Table 1's SoLi is per sequence, Table 2's per frame."""
        write_summary(results / "frames", "paper/soli")
        write_summary(results / "sequences", "paper/soli-sequence")
        remarks = {
            (name, row["method"]): row["remark"]
            for name in ("table1", "table2") for row in table(name, results, tmp_path).to_dict()["rows"]
        }  # fmt: skip
        assert (
            remarks["table1", "sequences"] == "recipe paper/soli-sequence"
            and remarks["table2", "frames"] == "recipe paper/soli"
        )
        assert ("table1", "frames") not in remarks and ("table2", "sequences") not in remarks

    def test_csv_reads_back(self, results: Path, tmp_path: Path) -> None:
        write_summary(results / 'a,b"c|d')
        made = table("table2", results, tmp_path)
        rows = list(csv.DictReader(io.StringIO(made.csv())))
        mine = next(row for row in rows if row["whose"] == "ours" and row["accuracy"])
        assert (
            mine["method"] == 'a,b"c|d'
            and float(mine["accuracy"]) == pytest.approx(81)
            and len(rows) == len(made.rows)
        )
        assert 'a,b"c\\|d' in made.markdown()

    def test_settings_mark_differences(self, results: Path, tmp_path: Path) -> None:
        rows = {
            (row["setting"], row["whose"]): row
            for row in table("tableS1", results, tmp_path).to_dict()["rows"]
        }
        assert rows["learning rate decay", "published"]["ECG"] == ".5 per 50"
        assert rows["learning rate decay", "ours"]["ECG"] == "0.5 per 50"
        assert rows["tau_adp 1", "ours"]["TIMIT"] == "200; 50 *"
        assert (
            rows["tau_adp 2", "ours"]["ECG"] == "100; 1"
            and rows["tau_m 3", "ours"]["TIMIT"] == "3; 1"
        )
        assert not rows["learning rate", "ours"]["SoLi"].endswith("*")

    def test_terminal(
        self, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_summary(results / "mine[red]")
        assert (
            main(
                [
                    "reproduce",
                    "table1",
                    "tableS1",
                    "--results",
                    str(results),
                    "--out",
                    str(tmp_path / "out"),
                ]
            )
            == 0
        )
        shown = capsys.readouterr().out
        assert (
            "mine[red]" in shown
            and "81.00 ± 1.00" in shown
            and "SHD: srnn train paper/shd" in shown
        )


class TestEvidence:
    @pytest.mark.parametrize(
        "changes",
        [
            {"accuracy": None}, {"accuracy": {"mean": 1}}, {"accuracy": {"mean": "x", "std": None, "values": [1]}},
            {"accuracy": {"mean": 0.5, "std": None, "values": []}},
            {"accuracy": {"mean": float("nan"), "std": None, "values": [1]}}, {"firing_rate": 3},
            {"seeds": "x"}, {"parameters": None}, {"recipe": None}, {"recipe": {"network": {"hiden": [3]}}},
        ],
    )  # fmt: skip
    def test_malformed_summary(
        self, results: Path, tmp_path: Path, changes: dict, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_summary(results / "good")
        write_summary(results / "bad", **changes)
        out = tmp_path / "out"
        assert main(["reproduce", "all", "--results", str(results), "--out", str(out)]) == 2
        captured = capsys.readouterr()
        assert (
            captured.err.count("\n") == 1
            and "bad" in captured.err
            and "summary.json" in captured.err
            and not captured.out
        )
        assert not out.exists()

    @pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "\udcff"])
    def test_no_json(self, results: Path, text: str) -> None:
        folder = write_summary(results / "bad")
        (folder / "summary.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(SrnnError, match=r"summary\.json"):
            gather(results)

    @pytest.mark.robust
    @settings(max_examples=60)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "points",
                            "name",
                            "title",
                            "split",
                            "recipe",
                            "trainings",
                            "task",
                            "accuracy",
                            "settings",
                        ]
                    ),
                    inner,
                )
            ),
        )
    )
    @example(
        {
            "recipe": {"task": {"name": None}},
            "points": [],
            "name": None,
            "title": None,
            "split": None,
            "trainings": [],
        }
    )
    def test_any_json_as_a_sweep(self, tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:  # fmt: skip
        folder = tmp_path_factory.mktemp("results") / "x-h-s"
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps(content))
        try:
            found = gather(folder.parent).sweeps
        except SrnnError as error:
            assert "\n" not in str(error)
        else:  # all that it needs, and no point: of a sweep none of whose trainings has ended
            assert [sweep.points for sweep in found] == [[]] and isinstance(content["name"], str)

    @pytest.mark.parametrize("name", ["point", "variant", "settings", "parameters", "accuracy"])
    def test_points_without_what_figures_take(self, results: Path, name: str) -> None:
        path = write_sweep(results / "x-surrogates", {"a": {}}) / "results.json"
        content = json.loads(path.read_text())
        del content["points"][0][name]
        path.write_text(json.dumps(content))
        with pytest.raises(SrnnError, match=r"results\.json"):
            gather(results)

    @pytest.mark.parametrize(
        "changes",
        [
            {"activity": {}},
            {"anytime": {"accuracy": "x"}},
            {"activity": 3},
            {"accuracy": None},
            {"split": "x"},
        ],
    )
    def test_malformed_evaluation(self, results: Path, changes: dict) -> None:
        folder = write_summary(results / "mine")
        (folder / "evaluation-validation.json").write_text(evaluation(**changes))
        with pytest.raises(SrnnError, match=r"evaluation-validation\.json"):
            gather(results)

    def test_a_run_lends_a_summary_its_details(
        self, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few_sequences(monkeypatch)
        run = make_run(tmp_path / "run", *ECG)
        (run / "evaluation-validation.json").write_text(evaluation())
        alone = gather(results, [run]).entries
        assert [entry.name for entry in alone] == ["run"] and alone[0].accuracy["mean"] == 0.6
        write_summary(results / "mine", recipe=alone[0].recipe.to_dict())
        (entry,) = gather(results, [run]).entries
        assert (
            entry.name == "mine"
            and entry.accuracy["mean"] == pytest.approx(0.81)
            and entry.runs == [run]
            and entry.evaluations
        )

    def test_two_seeds_are_one_entry_and_one_seed_twice_is_none(
        self, results: Path, tmp_path: Path
    ) -> None:
        runs = [make_run(tmp_path / f"s{seed}", *ECG, seed=seed) for seed in (1, 2)]
        (entry,) = gather(results, runs).entries
        assert entry.seeds == [1, 2] and entry.accuracy["std"] == 0
        with pytest.raises(
            SrnnError, match="have the same recipe and the same seed, 1; name only one of them"
        ):
            gather(results, [runs[0], runs[0]])

    def test_folders_that_are_none(self, results: Path, tmp_path: Path) -> None:
        (results / "README.md").write_text("x")
        (results / "benchmarks").mkdir()
        assert gather(results).entries == []
        with pytest.raises(SrnnError, match="no results folder"):
            gather(tmp_path / "absent")
        with pytest.raises(SrnnError, match="is not a run"):
            gather(results, [results])
        assert {"paper-ecg", "ecg-lif"} <= {entry.name for entry in gather(None).entries}


class TestCommand:
    def test_json(self, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_summary(results / "mine")
        out = tmp_path / "out"
        words = [
            "reproduce",
            "table1",
            "figS2",
            "--results",
            str(results),
            "--out",
            str(out),
            "--format",
            "png",
            "--json",
        ]
        assert main(words) == 0
        found = json.loads(
            capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
        )
        assert (
            list(found) == ["table1", "figS2"] and found["figS2"]["panels"][0]["state"] == "drawing"
        )
        listed = {Path(file).name for one in found.values() for file in one["files"]}
        assert listed == {path.name for path in out.iterdir()} and "figS2.png" in listed
        on_disk = json.loads((out / "table1.json").read_text())
        assert on_disk == {key: value for key, value in found["table1"].items() if key != "files"}

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["tabel1"], "table1"),
            (["table1", "--format", "jpg"], "no picture format 'jpg'"),
            (["table1", "--results", "absent"], "no results folder"),
            (["table1", "--runs", "absent"], "is not a run"),
            ([], "NAME"),
        ],
    )
    def test_mistakes(
        self, words: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert main(["reproduce", *words]) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1 and not (tmp_path / "reproduced").exists()

    def test_a_path_may_be_text(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert (
            list(reproduce(["tableS1"], "made", results=".")) == ["tableS1"]
            and Path("made").is_dir()
        )
        with pytest.raises(SrnnError, match="none"):
            write_curves("none")

    def test_out_is_a_file(self, results: Path, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        with pytest.raises(SrnnError, match="is a file"):
            reproduce(["table1"], tmp_path / "out", results)
        assert (tmp_path / "out").read_text() == "mine"
