"""The JSON schema of recipes, for editors: ``docs/recipe.schema.json`` is written from it
(``release/recipe_schema.py``)."""

from __future__ import annotations

import json
from typing import Any

from ...files.json_schema import json_schema
from ...model.recipe import Recipe


def schema_text() -> str:
    """The JSON schema of recipes as the text of a file."""
    return json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n"


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe: its keys, what each means, its default, and what is valid.

    Names of the library's tasks, neurons, readouts and surrogate gradients are examples, because
    yours are valid, too. Rules between keys are not part of it. It imports torch, which the
    names' classes need.
    """
    from ...data.tasks import known_tasks
    from ...nn.network.readout import READOUTS
    from ...nn.neurons import NEURONS
    from ...nn.surrogates import SURROGATES

    library = __name__.partition(".")[0]
    tasks = [
        name for name, task in known_tasks().items() if task.__module__.startswith(f"{library}.")
    ]
    examples = {
        "task.name": sorted(tasks),
        "network.neuron": sorted(NEURONS),
        "network.readout": sorted(READOUTS),
        "network.surrogate": sorted(SURROGATES),
        "network.encoder": ["learned_ternary"],
        "network.norm": ["none", "batch", "layer"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe of srnn",
        **json_schema(Recipe, examples),
    }
