"""The README as package metadata (a hook of hatch): on a package index its relative links would
lead nowhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Readme(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        sys.path.insert(0, str(root / "release"))
        from links import absolute

        text = absolute((root / "README.md").read_text(encoding="utf-8"), "")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
