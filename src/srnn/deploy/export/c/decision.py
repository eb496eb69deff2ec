"""The decision of the C library: the rule of the network's loss (``nn/decision.py``) and the classes.

In float32 sums are compensated (Kahan), so that they do not stop growing in a long sequence. In int8 they are exact, and the
softmax is that of ``srnn.nn.fixedpoint.decision``.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ....errors import SrnnError
from ....nn.decision import Rule
from ....nn.equations import Text
from ....nn.fixedpoint.decision import ONE_BITS, PER_LN2, POWER, vanishing
from ....nn.loss_config import DecisionRule
from .arrays import Member, number, struct_dtype
from .translate import FixedC, FixedText, FloatC

_LONGEST = 1000
"""Bytes of a class name; a string in C99 may have 4,095 characters, and a device's memory is small."""
_LAST_START = 2**31
_OUTPUT, _TOTAL = "output[c]", "decision->scores[c]"


@dataclass(frozen=True)
class DecisionPlan:
    """What is to be written for a decision: ``header``, lines of NAME.h; ``source``, C functions; ``report``, for NAME.json.

    ``bits``: fractional bits of the outputs in int8; None: they are float32.
    """

    name: str
    rule: DecisionRule
    bits: int | None

    def __post_init__(self) -> None:
        if self.rule.loss.start >= _LAST_START:
            raise SrnnError(f"C counts steps up to {_LAST_START}; the loss starts at {self.rule.loss.start}.")
        for name in self.rule.classes:
            if len(_bytes(name)) > _LONGEST:
                raise SrnnError(f"A class name has {len(_bytes(name))} bytes, more than {_LONGEST}: {name[:20]!r}...")

    @property
    def how(self) -> Rule:
        """How outputs become scores."""
        return self.rule.loss.rule

    @property
    def uses_math(self) -> bool:
        """Whether it calls expf or fabsf."""
        return self.bits is None and re.search(r"\b(expf|fabsf)\(", self.source()) is not None

    def members(self) -> list[Member]:
        """The fields of the struct."""
        classes, how = len(self.rule.classes), self.how
        score, part = "float", "float"
        if self.bits is not None:
            score, part = "int32_t", "uint32_t"
            if how.adds:
                score = "int64_t"
        fields = [(score, "scores", classes)]
        if how.adds and self.bits is None:
            fields.append(("float", "lost", classes))
        if how.soft:
            fields.append((part, "part", classes))
        return [*fields, ("uint32_t", "steps", ())]

    @property
    def ram_bytes(self) -> int:
        return struct_dtype(self.members()).itemsize

    @property
    def flash_bytes(self) -> int:
        """Of the class names, with a pointer of 4 bytes to each."""
        return sum(len(_bytes(name)) + 5 for name in self.rule.classes)

    def report(self) -> dict[str, Any]:
        loss, sizes = self.rule.loss, {"ram_bytes": self.ram_bytes, "flash_bytes": self.flash_bytes}
        return {"loss": loss.name, "start": loss.start, "classes": list(self.rule.classes), **sizes}

    def header(self) -> list[str]:
        name, upper, loss, over = self.name, self.name.upper(), self.rule.loss, " over all of its steps"
        if loss.start:
            over = f" over its steps from number {loss.start} on, counted from 0 (before that, each step alone)"
        subject = "The class of a sequence is"
        if self.rule.per_step:
            subject = "Every step has a class of its own:"
        lines = [
            f"/* The decision: which class it is, by the loss that the network was trained with ({loss.name}).",
            f" * {subject} the one with the largest {self.how.title.format(over=over)}.",
            " *",
            f" *     {name}_decision_init(&decision);                    before the first step of every sequence",
            f" *     {name}_step(&state, input, scores);                 each step",
            f" *     label = {name}_decide(&decision, scores);           {upper}_CLASSES[label] is its name",
            " *",
            f" * {name}_decide must see every step, and returns the class as if the sequence ended there.",
            f" * RAM {self.ram_bytes} bytes per decision, flash {self.flash_bytes} bytes for the names. */",
            f"#define {upper}_NUM_CLASSES {len(self.rule.classes)}",
            f"extern const char *const {upper}_CLASSES[{upper}_NUM_CLASSES]; /* UTF-8 */",
            *_struct_lines(f"{name}_decision", self.members()),
            f"void {name}_decision_init({name}_decision *decision);",
            f"int {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS]);",
        ]
        if self.bits is None:
            lines += [
                "/* After a step: the probability that the network gives to the class it decided for, 0 to 1; not calibrated. */",
                f"float {name}_confidence(const {name}_decision *decision);",
            ]
        return [*lines, ""]

    def configuration(self) -> dict[str, Any]:
        return {
            "DECISION_HEADER": "\n".join(self.header()),
            "DECISION_SOURCE": self.source(),
            "DECISION_NAMES": self.names(),
        }

    def source(self) -> str:
        name, upper, classes = self.name, self.name.upper(), len(self.rule.classes)
        each = f"    for (c = 0; c < {classes}; c++)"
        score = self.members()[0][0]
        zero = "0.0f" if self.bits is None else "0"
        cleared = "".join(
            f"{each}\n        decision->{member}[c] = {zero};\n" for _, member, size in self.members() if size
        )
        functions = [
            f"static int largest(const {score} *scores)\n{{\n    int c, best = 0;\n\n"
            f"    for (c = 1; c < {classes}; c++)\n        if (scores[c] > scores[best])\n            best = c;\n"
            "    return best;\n}\n",
            f"void {name}_decision_init({name}_decision *decision)\n{{\n    int c;\n\n{cleared}    decision->steps = 0;\n}}\n",
        ]
        if self.how.adds and self.bits is not None:
            functions.insert(0, _SUM)
        if self.how.soft and self.bits is not None:
            functions.insert(0, self._exponential())
        declared = share = ""
        if self.how.soft:
            declared, share = self._softmax(each)
        functions.append(
            f"int {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS])\n{{\n"
            f"    int c;\n{declared}\n{share}{each} {{\n{self._joined()}    }}\n"
            "    if (decision->steps < UINT32_MAX)\n        decision->steps++;\n"
            "    return largest(decision->scores);\n}\n"
        )
        if self.bits is None:
            functions.append(self._confidence(each))
        return "\n".join(functions)

    def names(self) -> str:
        """The array of class names. Its lines are not folded."""
        upper = self.name.upper()
        rows = "".join(f"    {c_string(name)},\n" for name in self.rule.classes)
        return f"const char *const {upper}_CLASSES[{upper}_NUM_CLASSES] = {{\n{rows}}};\n"

    def _softmax(self, each: str) -> tuple[str, str]:
        """Local variables, and what is computed with them: of which the share of a class is made."""
        ctype, total, part, scale = "float", "float total = 0.0f", "expf(output[c] - most)", ""
        if self.bits is not None:  # the one division: 2^62 / total, and total is at least 2^30
            ctype, total = "int32_t", "uint64_t total = 0, inverse"
            part = "exponential((uint64_t)((int64_t)most - output[c]))"
            scale = f"    inverse = ((uint64_t)1 << {2 * ONE_BITS + 2}) / total;\n"
        lines = f"{each}\n        most = output[c] > most ? output[c] : most;\n"
        lines += f"{each} {{\n        decision->part[c] = {part};\n        total += decision->part[c];\n    }}\n"
        return f"    {ctype} most = output[0];\n    {total};\n", lines + scale

    def _joined(self) -> str:
        """The body of the loop over the classes."""
        ctype, how = "float", self.how
        if self.bits is not None:
            ctype = "int32_t"
        (lines, value), total = self._written(), ""
        before = "".join(f"        const {ctype} {name} = {text};\n" for name, text in lines)
        if not how.keeps:
            return f"{before}        {_TOTAL} = {value};\n"
        start = self.rule.loss.start
        alone = f"decision->steps <= {start}ul" if start else "decision->steps == 0"
        before += f"        const {ctype} x = {value};\n"
        if how.adds and self.bits is None:
            return before + self._compensated(alone)
        total = f"sum({_TOTAL}, x)"
        if not how.adds:
            lines, total = self._written(joining=True)
            before += "".join(f"        const {ctype} {name} = {text};\n" for name, text in lines)
        return f"{before}        {_TOTAL} = {alone} ? x : {total};\n"

    def _written(self, joining: bool = False) -> tuple[list[tuple[str, str]], str]:
        """What a step of a class counts, or what joins it to the total: local variables, and the value."""
        record, names = self.how.counted_record, [_OUTPUT]
        if joining:
            record, names = self.how.joined_record, [_TOTAL, "x"]
        if self.bits is None:
            writer = _FloatDecision()
            (value,) = record.run(writer, map(Text, names))
            return writer.assignments, value.text
        bits = self.bits
        if joining and self.how.soft:
            bits = ONE_BITS
        integer = _FixedDecision()
        (fixed,) = record.run(integer, [FixedText(name, bits, bits, Counter()) for name in names])
        return integer.assignments, fixed.to(bits if joining else fixed.bits).text

    @staticmethod
    def _compensated(alone: str) -> str:
        return f"""\
        if ({alone}) {{
            decision->scores[c] = x;
            decision->lost[c] = 0.0f;
        }} else {{ /* with what rounding lost so far */
            const float more = x - decision->lost[c], after = decision->scores[c] + more;
            decision->lost[c] = (after - decision->scores[c]) - more;
            decision->scores[c] = after;
        }}
"""

    def _exponential(self) -> str:
        assert self.bits is not None
        shift = f">> {min(self.bits, 63)}" if self.bits >= 0 else f"<< {-self.bits}"
        one = 1 << ONE_BITS
        *others, last = POWER
        steps = "".join(
            f"    value = {coefficient} - (value * fraction >> {ONE_BITS});\n" for coefficient in (*others[::-1], one)
        )
        return (
            f"/* 2^{ONE_BITS} exp(-distance / 2^{self.bits}): a power of two, its whole part by a shift. */\n"
            "static uint32_t exponential(uint64_t distance)\n{\n    uint64_t power, fraction, value;\n\n"
            f"    if (distance >= {vanishing(self.bits)})\n        return 0;\n"
            f"    power = distance * {PER_LN2} {shift};\n    fraction = power & {one - 1};\n    value = {last};\n{steps}"
            f"    return (uint32_t)(value >> (power >> {ONE_BITS}));\n}}\n"
        )

    def _confidence(self, each: str) -> str:
        start, count = self.rule.loss.start, ""
        scores = _Believed(Text("most"), Text(_TOTAL))
        if self.how.mean:
            above, counted = "0", "decision->steps"
            if start:
                above, counted = f"{start}ul", f"(decision->steps - {start}ul)"
            count = f"    const float count = decision->steps > {above} ? (float){counted} : 1.0f;\n"
            scores = _Believed(Text("most / count", 2), Text(f"{_TOTAL} / count", 2))
        classes = Text(f"{len(self.rule.classes)}.0f")
        belief = _Belief(scores)
        (believed,) = self.how.confidence_record.run(belief, [scores, _Believed(classes, classes)])
        summed = f"{each}\n        total += {belief.added};\n"
        return (
            f"float {self.name}_confidence(const {self.name}_decision *decision)\n{{\n"
            f"    const float most = decision->scores[largest(decision->scores)];\n{count}"
            f"    float total = 0.0f;\n    int c;\n\n{summed}    return {believed.most.text};\n}}\n"
        )


class _FloatDecision(FloatC):
    """What a step counts and how it is joined, of one class, in float32."""

    def apply(self, operation: str, *operands: Text) -> Text:
        if operation == "softmax" and operands[0].text == _OUTPUT:
            return Text("decision->part[c] / total", 2)
        _refuse_classes(operation)
        return super().apply(operation, *operands)


class _FixedDecision(FixedC):
    """The same in integers."""

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax" and operands[0].text == _OUTPUT:
            share = f"(int32_t)((uint64_t)decision->part[c] * inverse >> {ONE_BITS + 2})"
            return FixedText(share, ONE_BITS, ONE_BITS, operands[0].counts, (0, 1 << ONE_BITS))
        _refuse_classes(operation)
        return super().apply(operation, *operands)


@dataclass(frozen=True)
class _Believed:
    """Something of the class decided for, and of class c."""

    most: Text
    each: Text


class _Belief(FloatC):
    """The confidence in the class decided for, with at most one sum over the classes, ``added``."""

    def __init__(self, scores: _Believed) -> None:
        super().__init__()
        self.scores, self.added = scores, ""

    def constant(self, value: float) -> Any:
        text = Text(number(value, "float"))
        return _Believed(text, text)

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax" and operands[0] is self.scores:
            # Of scores that are all divided by the same number, the difference is divided: one rounding less.
            difference = f"{_TOTAL} - most"
            if self.scores.most.text != "most":
                difference = f"({difference}) / count"
            self._add(f"expf({difference})")
            return _Believed(Text("1.0f / total", 2), Text(f"expf({difference}) / total", 2))
        if operation == "total_of":
            self._add(operands[0].each.text)
            return _Believed(Text("total"), Text("total"))
        _refuse_classes(operation)
        most, each = ([getattr(operand, which) for operand in operands] for which in ("most", "each"))
        return _Believed(super().apply(operation, *most), super().apply(operation, *each))

    def named(self, name: str, value: Any) -> Any:
        return value

    def _add(self, text: str) -> None:
        if self.added not in ("", text):
            raise SrnnError("C can sum over the classes once for a confidence; this network's rule does so twice.")
        self.added = text


def _refuse_classes(operation: str) -> None:
    if operation in ("softmax", "total_of"):
        raise SrnnError(
            f"C has '{operation}' over the classes only of a step's outputs or of the scores themselves; this network's rule "
            "uses it of something else."
        )


_SUM = """\
/* total + x, saturating in int64 */
static int64_t sum(int64_t total, int32_t x)
{
    if (x > 0)
        return total > INT64_MAX - x ? INT64_MAX : total + x;
    return total < INT64_MIN - x ? INT64_MIN : total + x;
}
"""


def c_string(text: str) -> str:
    """Any text as a C string literal in UTF-8: what every compiler takes as it is stays, the rest becomes octal digits."""
    plain = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')  # ??/ is a backslash to some
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in _bytes(text)) + '"'


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _struct_lines(name: str, members: list[Member]) -> list[str]:
    """Its type in C."""
    import numpy as np

    sizes = ["".join(f"[{size}]" for size in np.atleast_1d(shape)) for _, _, shape in members]
    lines = [f"    {ctype} {own}{size};" for (ctype, own, _), size in zip(members, sizes, strict=True)]
    return ["typedef struct {", *lines, f"}} {name};"]
