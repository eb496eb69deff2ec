"""Words -> a command's function and its arguments, by the types of its parameters (cyclopts); help;
messages for mistakes."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts import exceptions as mistakes
from cyclopts.argument import Argument
from cyclopts.help import HelpEntry, HelpPanel

from ..errors import SrnnError, nearest
from ..text import brief
from .options import RARE, Call
from .program import AGAIN, Program, columns, list_commands, wrapped

ALL = "--help-all"
HELP = ("--help", "-h", ALL)
EXAMPLES = 3
"""How many of a command's examples ``--help`` shows."""
_KINDS = {int: "an integer", float: "a number"}


class _Dash(str):
    """The word ``-``, which names standard input: no option, though it begins like one."""

    def startswith(self, *_: Any) -> bool:
        return False


class Parsed(NamedTuple):
    """A command, and what it is called with."""

    function: Callable[..., int | None]
    bound: inspect.BoundArguments

    @property
    def arguments(self) -> dict[str, Any]:
        """By parameter, defaults included."""
        self.bound.apply_defaults()
        return self.bound.arguments

    def run(self) -> int:
        """Call it, with the data in the folder that --data-dir names; returns the exit code."""
        data_dir: Path | None = self.bound.arguments.get("data_dir")
        if data_dir is None:
            return self.function(*self.bound.args, **self.bound.kwargs) or 0
        from ..data.datasets.base import data_folder  # imported here because it needs numpy

        with data_folder(data_dir):
            return self.function(*self.bound.args, **self.bound.kwargs) or 0


def parse(words: Sequence[str], program: Program, python: Sequence[str] = AGAIN) -> Parsed:
    """The command that the words name, with its arguments.

    Args:
        words: the command line, without the program's name.
        program: the program.
        python: arguments with which Python starts the program again.

    Returns:
        The command, bound to its arguments.

    Raises:
        SrnnError: a mistake in the words; the message suggests the nearest valid word.
    """
    try:
        return _parse(words, program, python)
    except SrnnError as error:
        file = next(
            (
                word
                for word in words
                if word.startswith("-") and word != "-" and os.path.lexists(word)
            ),
            None,
        )
        if file is None:
            raise
        raise SrnnError(
            f"{error} If you mean the file {file}, write ./{file}.", error.kind, error.field
        ) from error


def _parse(words: Sequence[str], program: Program, python: Sequence[str]) -> Parsed:
    for word in words:
        if "\0" in word:  # no file can have such a name, and open() would raise an error of its own
            raise SrnnError(f"The argument {word!r} contains a zero byte.", "value", "arguments")
    command, rest = _command(words, program)
    where, _ = program.commands[command]
    parts = program.parts(command)
    if parts and {*rest} & {*HELP}:
        return _bound(list_commands, program, command)
    if not where:
        called = ", ".join(f"{program.name} {command} {part}" for part in parts)
        raise SrnnError(f"Say which: {called}.", "missing", "command")
    app = app_of(command, program, ALL in rest)
    others, settings = split_settings([_Dash(word) if word == "-" else word for word in rest])
    try:
        function, bound, unparsed = app.parse_args(
            others, exit_on_error=False, print_error=False, help_on_error=False
        )
    except CycloptsError as error:
        raise _mistake(error, app) from error
    if function == app.help_print:
        return _bound(_print_help, app, ALL in rest)
    if settings and "settings" not in unparsed:
        raise SrnnError(
            f"'{app.name[0]}' takes no recipe settings such as {settings[0]}.",
            "name",
            settings[0],
        )
    injected = {"settings": settings, "called": Call(program.name, words, python)}
    bound.arguments |= {name: injected[name] for name in unparsed}
    return Parsed(function, bound)


def _bound(function: Callable[..., Any], *arguments: Any) -> Parsed:
    return Parsed(function, inspect.signature(function).bind(*arguments))


def _command(words: Sequence[str], program: Program) -> tuple[str, list[str]]:
    """(the command that the words name, or a part of it; the words behind that)."""
    first, *rest = words
    if first.startswith("-"):
        raise SrnnError(
            f"Name a command before {first} (see: {program.name} --help).", "missing", "command"
        )
    if first not in program.parts():
        raise SrnnError(
            f"'{program.name}' has no command '{first}'.{nearest(first, program.parts())}",
            "name",
            first,
        )
    parts = program.parts(first)
    if not parts or not rest or rest[0].startswith("-"):
        return first, rest
    part, *rest = rest
    if part not in parts:
        raise SrnnError(
            f"'{program.name} {first}' has no '{part}'.{nearest(part, parts)}", "name", part
        )
    return f"{first} {part}", rest


def split_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the recipe's dotted settings (``--training.epochs 5``, ``--note=x``) from the other
    words: (others, settings).

    Nothing that follows ``--`` is an option, and so nothing there is a setting.
    """
    others: list[str] = []
    settings: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*others, word, *rest], settings
        key, given, _ = word[2:].partition("=")
        if word.startswith("--") and ("." in key or key == "note"):
            settings.append(word)
            if not given and rest:
                settings.append(rest.pop(0))
        else:
            others.append(word)
    return others, settings


def app_of(command: str, program: Program, everything: bool = False) -> App:
    """The command line of a command that has a function.

    Args:
        command: its name.
        program: the program.
        everything: whether its help is complete, instead of what fits a screen.

    Returns:
        cyclopts' App.
    """
    where, _ = program.commands[command]
    module, _, name = where.partition(":")
    function = getattr(import_module(f"{program.package}.{module}"), name)
    app = App(
        name=f"{program.name} {command}",
        version_flags=(),
        help_flags=HELP,
        config=_check_integers,
        help_format="plaintext",
        help_formatter=_Help(inspect.getdoc(function) or "", everything),
        group_arguments=Group("arguments"),
        group_parameters=Group("options"),
        default_parameter=Parameter(
            negative=(), allow_repeating=False, json_list=False, json_dict=False
        ),
    )
    app.default(function)
    return app


def _check_integers(app: App, commands: Sequence[str], arguments: Iterable[Argument]) -> None:
    """Refuse numbers that cyclopts would make integers of: 1.5, 0x10."""
    for argument in arguments:
        if argument.parameter.converter is not None or _kind(argument.hint) != _KINDS[int]:
            continue
        for token in argument.tokens:
            if not re.fullmatch(r"[+-]?\d+", token.value, re.ASCII):
                raise mistakes.CoercionError(argument=argument, token=token, target_type=int)


class _Help:
    """Help as plain text that fits the terminal.

    doc: the function's docstring. everything: otherwise its first paragraph, the first examples,
    and a line for each argument, but none for rare options.
    """

    def __init__(self, doc: str, everything: bool) -> None:
        description, _, _ = doc.partition("\n\nArgs:")
        self._description, self._everything = description, everything
        if not everything:
            examples = [line for line in description.splitlines() if line.startswith("  ")]
            first, _, _ = description.partition("\n\n")
            self._description = "\n".join([first, "", *examples[:EXAMPLES]]).rstrip()

    def render_usage(self, console: object, options: object, usage: Any) -> None:
        print(f"usage: {str(usage).strip().removeprefix('Usage: ')}")

    def render_description(self, console: object, options: object, description: Any) -> None:
        print(f"\n{wrapped(self._description)}")

    def __call__(self, console: object, options: object, panel: HelpPanel) -> None:
        entries = [entry for entry in panel.entries if "--help" not in entry.positive_names]
        if entries and (self._everything or panel.title != RARE.name):
            texts = {
                ", ".join(entry.display_labels_with_metavar): _described(entry) for entry in entries
            }
            print(f"\n{panel.title}:\n{columns(texts, short=not self._everything)}")


def _print_help(app: App, everything: bool) -> None:
    app.help_print([])
    if not everything:
        print(f"\n{wrapped(f'All options, and more about each: {app.name[0]} {ALL}')}")


def _described(entry: HelpEntry) -> str:
    """Which values an option can have, what it is, and its default."""
    text = str(entry.description.primary_renderable)
    if entry.choices:
        text = f"{', '.join(entry.choices)}: {text}"
    if entry.default not in (None, "False", "()"):
        text = f"{text} (default: {entry.default})"
    return text


def _mistake(error: CycloptsError, app: App) -> SrnnError:
    """What is wrong with the words, in a line, and the option or argument that it is about."""
    argument = error.argument
    see = f"(see: {app.name[0]} --help)"
    match error:
        case mistakes.UnknownOptionError():
            option = error.token.keyword or error.token.value
            return SrnnError(_unknown(option, app), "name", option.partition("=")[0])
        case mistakes.UnusedCliTokensError():
            word = (error.unused_tokens or [""])[0]
            return SrnnError(f"Unknown argument '{word}' {see}.", "name", word)
        case mistakes.RepeatArgumentError():
            option = error.token.keyword
            return SrnnError(f"{option} is given twice.", "conflict", option)
        case mistakes.MissingArgumentError() if argument is not None:
            name = argument.name.rstrip(".")
            if error.keyword is not None:
                return SrnnError(f"{error.keyword} needs a value {see}.", "missing", error.keyword)
            known = app.assemble_argument_collection(parse_docstring=True)
            what = next(one.parameter.help or "" for one in known if one.name == argument.name)
            return SrnnError(f"{name} is missing: {what} {see}.", "missing", name)
        case mistakes.CoercionError() if argument is not None and error.token is not None:
            option, value = error.token.keyword or argument.name, error.token.value
            choices = argument.get_choices()
            if argument.hint is bool:
                message = f"{option} takes no value, and so not {brief(value)}."
            elif choices:
                message = f"{option} cannot be {brief(value)}.{nearest(value, choices)}"
            else:
                message = f"{option} must be {_kind(argument.hint)}, not {brief(value)}."
            return SrnnError(message, "value", option)
        case mistakes.ValidationError() if argument is not None:
            option, value = argument.tokens[0].keyword or argument.name, argument.tokens[0].value
            rule = error.exception_message.rstrip(".")
            message = f"{option} {rule[0].lower()}{rule[1:]}, not {brief(value)}."
            return SrnnError(message, "value", option)
    return SrnnError(f"{error} {see}", "value", "arguments")


def _kind(hint: Any) -> str:
    """What a value of this type is called; of a list, or of what may be left out, what is in it."""
    if hint in _KINDS:
        return _KINDS[hint]
    return next((_kind(inner) for inner in get_args(hint)), "of another form")


def _unknown(option: str, app: App) -> str:
    arguments = app.assemble_argument_collection()
    candidates = [name for one in arguments if one.parse for name in one.names]
    name = option.removeprefix("--").partition("=")[0]
    if any(one.field_info.name == "settings" for one in arguments):
        candidates += _settings()
        inner = {key.rpartition(".")[2]: key for key in _settings()}
        if name in inner:
            return f"Unknown option --{name}. Did you mean '{inner[name]}'?"
    near = nearest(option.partition("=")[0], candidates, f"{app.name[0]} --help")
    return f"Unknown option '{option}'.{near}"


def _settings() -> Iterable[str]:
    from ..training.recipes import recipe_keys

    return [f"--{key}" for key in recipe_keys()]
