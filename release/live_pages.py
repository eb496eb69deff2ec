"""What the pages at live/ hold, which run three of the pretrained networks in the reader's browser:
docs/live/NAME.json, from which the site makes NAME.html (release/site.py).

It needs ``pip install -e ".[web]"``: ``python release/live_pages.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import srnn
from srnn.deploy.export.model import export_web
from srnn.deploy.live import read_page

OUT = Path(__file__).resolve().parents[1] / "docs" / "live"
PAGES = {"ecg": "ecg-records", "words": "speech-commands-live", "movement": "movement"}


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for page, network in PAGES.items():
        with TemporaryDirectory() as folder:
            html = Path(folder) / "page.html"
            report = export_web(srnn.load(network), html)
            data = read_page(html.read_text("utf-8"))
        (OUT / f"{page}.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        print(f"{page}: {report['bytes']:,} bytes, {report['wasm_bytes']:,} of them WebAssembly")


if __name__ == "__main__":
    main()
