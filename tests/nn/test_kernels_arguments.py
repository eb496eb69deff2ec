"""The compiled loops' flat signatures are the groups of ``arguments.py``, and the loops put the
same groups together again."""

import ast
import inspect
import textwrap

import pytest

from srnn.nn.kernels.cpu.arguments import BACKWARD, FORWARD
from srnn.nn.kernels.cpu.compiler import backward_loop, forward_loop
from srnn.nn.neurons import ALIF
from srnn.nn.surrogates import MultiGaussian

LOOPS = [(forward_loop(ALIF), FORWARD), (backward_loop(ALIF, MultiGaussian), BACKWARD)]


@pytest.mark.parametrize(("loop", "groups"), LOOPS)
def test_a_flat_signature_is_the_groups_fields_in_order(loop, groups) -> None:
    fields = [field for group in groups for field in group._fields]
    assert list(inspect.signature(loop.py_func).parameters) == ["first", "last", *fields]


@pytest.mark.parametrize(("loop", "groups"), LOOPS)
def test_each_argument_goes_into_the_field_of_its_name(loop, groups) -> None:
    text = ast.parse(textwrap.dedent(inspect.getsource(loop.py_func)))
    calls = [node for node in ast.walk(text) if isinstance(node, ast.Call)]
    made = {
        ast.unparse(call.func): tuple(ast.unparse(part) for part in call.args) for call in calls
    }
    assert {group.__name__: group._fields for group in groups}.items() <= made.items()
