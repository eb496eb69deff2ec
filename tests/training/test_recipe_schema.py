"""The JSON schema that editors use: the shipped recipes fit it, what the reader refuses does not,
and every key is described."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from release.recipe_schema import FILE, text

from srnn import SrnnError
from srnn.files.yaml_reading import parse_yaml
from srnn.training.recipes import (
    dump_recipe,
    load_recipe,
    parse_recipe,
    recipe_keys,
    shipped_recipes,
)
from srnn.training.recipes import reading as recipe_reading
from support.json_schemas import fits
from support.pages import ROOT

SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
FILES = [
    *sorted(Path(recipe_reading.__file__).parent.rglob("*.yaml")),
    *sorted((ROOT / "paper" / "recipes").rglob("*.yaml")),
]


def accepts(content: Any) -> bool:
    """By our checker, which the library that defines what is right must not contradict where it is
    installed."""
    ours = fits(SCHEMA, content)
    with suppress(ImportError):
        library = import_module("jsonschema").Draft202012Validator
        library.check_schema(SCHEMA)
        assert library(SCHEMA).is_valid(content) == ours
    return ours


def at(key: str) -> dict[str, Any]:
    """The schema of a dotted key."""
    found = SCHEMA
    for name in key.split("."):
        found = found["properties"][name]
    return found


def test_the_file_is_that_of_this_code() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run: python release/recipe_schema.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_recipes_fit_it(path: Path) -> None:
    assert accepts(parse_yaml(path.read_text(encoding="utf-8"), path))


@pytest.mark.parametrize("name", shipped_recipes()[::6])
def test_resolved_recipes_fit_it(name: str) -> None:
    assert accepts(yaml.safe_load(dump_recipe(load_recipe(name))))


@pytest.mark.parametrize(
    "wrong",
    [
        "training: {epohcs: 5}",
        "epochs: 5",
        "network: {lr: 0.1}",
        "training: {epochs: many}",
        "training: {epochs: 2.5}",
        "training: {epochs: 0}",
        "training: {epochs: true}",
        "training: {dropout: 1}",
        "training: {optimizer: {name: sgd}}",
        "training: {optimizer: {lr: 0}}",
        "training: {optimizer: {betas: [0.9]}}",
        "training: {optimizer: {betas: [0.9, 1]}}",
        "training: {lr_scale: {'*': -1}}",
        "training: {class_weights: {alarm: 0}}",
        "training: {state_bits: 12}",
        "training: [epochs, 5]",
        "network: {hidden: []}",
        "network: {hidden: [8, null]}",
        "network: {hidden: [100000]}",
        "network: {neuron: 5}",
        "loss: {rate: {target: 2}}",
        "note: [a]",
    ],
)
def test_what_the_reader_refuses_does_not_fit(wrong: str) -> None:
    content = {"task": {"name": "digits"}, **yaml.safe_load(wrong)}
    with pytest.raises(SrnnError):
        parse_recipe(yaml.safe_dump(content))
    assert not accepts(content)


def test_a_recipe_without_a_task_does_not_fit() -> None:
    assert not accepts({}) and not accepts({"task": {}}) and accepts({"task": {"name": "digits"}})


def test_every_key_has_its_default_and_names_are_offered() -> None:
    defaults = parse_recipe("task: {name: digits}").to_dict()
    for key in recipe_keys():
        if key in ("task.name", "network.norm"):
            continue
        value: Any = defaults
        for name in key.split("."):
            value = value[name]
        assert at(key)["default"] == value, key
    assert at("network.norm")["default"] is None and defaults["network"]["norm"] == "batch"
    assert {"ecg", "digits", "psmnist"} <= set(at("task.name")["examples"])
    assert "adlif" in at("network.neuron")["examples"]
    assert at("training.early_stopping.patience")["description"].startswith(
        "Stop after this many epochs"
    )
