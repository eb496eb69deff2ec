"""A page for a run, and one for several side by side: a single HTML file that needs nothing else.

    content = report_content(Path("runs/ecg"), "validation")      # every number, for JSON
    write_page(content, Path("runs/ecg/report.html"))

``content.py`` and ``comparison.py`` measure, ``samples.py`` records real sequences, ``packing.py`` makes arrays small, and
``document.py`` puts the file together from ``assets/`` (one style sheet, scripts without a framework). docs/report.md explains
the page.
"""

from .comparison import comparison_content
from .content import report_content
from .document import page, to_json, write_page

__all__ = ["comparison_content", "page", "report_content", "to_json", "write_page"]
