"""Pages of runs, as tests read them."""

from __future__ import annotations

import json


def embedded(page: str) -> dict:
    """What a page holds."""
    text = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(text)
