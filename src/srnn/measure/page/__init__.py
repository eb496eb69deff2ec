"""A page for one run, and one that compares several runs: a self-contained HTML file.

    content = report_content(Path("runs/ecg"), "validation")      # all numbers, ready for JSON
    write_page(content, Path("runs/ecg/report.html"))

``content.py`` and ``comparison.py`` measure, ``samples.py`` records real sequences, and
``document.py`` assembles the file from ``assets/`` (one style sheet, scripts without a framework).
docs/report.md explains the page.
"""

from .compared import comparison_sections
from .comparison import comparison_content
from .content import report_content
from .document import check_page, page, write_page

__all__ = [
    "check_page",
    "comparison_content",
    "comparison_sections",
    "page",
    "report_content",
    "write_page",
]
