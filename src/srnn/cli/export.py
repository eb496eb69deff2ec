"""srnn export: a trained network in another form. One module a form: its arguments, and what it does."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from ..errors import SrnnError

DESCRIPTION = """\
  srnn export c runs/digits-s0-20260101-120000 --out digits_c      C99 for a device
  srnn export c RUN --out DIR --format int8                        the same in whole numbers only

'srnn export FORM --help' says what a form can do.
"""
FORMS = ("c", "onnx", "nir")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    forms = parser.add_subparsers(dest="form", metavar="FORM", parser_class=type(parser))
    for name, module in _modules().items():
        form = forms.add_parser(
            name, help=module.HELP, description=module.DESCRIPTION, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        module.add_arguments(form)
        form.set_defaults(run=module.run, own_options=list(form._option_string_actions))


def run(arguments: argparse.Namespace) -> int:
    """Only reached without a form: each form brings its own ``run``."""
    raise SrnnError(f"Export as what? srnn export FORM RUN, with FORM one of {', '.join(_modules())}.")


def _modules() -> dict[str, ModuleType]:
    """The forms whose modules are there."""
    names = {form: f"{__package__}.export_{form}" for form in FORMS}
    return {form: import_module(name) for form, name in names.items() if find_spec(name) is not None}
