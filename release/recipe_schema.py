"""docs/recipe.schema.json, the JSON schema of recipes for editors: ``python release/recipe_schema.py`` writes it anew."""

from __future__ import annotations

import json
from pathlib import Path

from srnn.training.recipes.json_schema import recipe_schema

FILE = Path(__file__).parents[1] / "docs" / "recipe.schema.json"


def text() -> str:
    """The file's text."""
    return json.dumps(recipe_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
