"""The pages in docs/live, which run three of the pretrained networks in the reader's browser.

It needs ``pip install -e ".[web]"``: ``python release/live_pages.py``.
"""

from __future__ import annotations

from pathlib import Path

import srnn
from srnn.deploy.export.model import export_web

OUT = Path(__file__).resolve().parents[1] / "docs" / "live"
PAGES = {"ecg": "ecg-records", "words": "speech-commands-live", "movement": "movement"}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for page, network in PAGES.items():
        report = export_web(srnn.load(network), OUT / f"{page}.html")
        print(f"{page}: {report['bytes']:,} bytes, {report['wasm_bytes']:,} of them WebAssembly")


if __name__ == "__main__":
    main()
