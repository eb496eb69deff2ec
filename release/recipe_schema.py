"""docs/recipe.schema.json, the JSON schema of recipes for editors:
``python release/recipe_schema.py`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from srnn.training.recipes.json_schema import schema_text as text

FILE = Path(__file__).parents[1] / "docs" / "recipe.schema.json"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
