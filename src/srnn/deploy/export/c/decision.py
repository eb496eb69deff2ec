"""The decision of the C library: the rule of the network's loss and when its answer stands (``nn/decision.py``), and the classes.

In float32 sums are compensated (Kahan), so that they do not stop growing in a long sequence. In int8 they are exact, and softmax
and confidence are those of ``srnn.nn.fixedpoint.decision``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ....errors import SrnnError
from ....nn.decision import Rule
from ....nn.equations import Algebra, Text, Writer
from ....nn.fixedpoint.decision import (
    ONE_BITS,
    PER_LN2,
    POWER,
    check_belief,
    fine_bits,
    in_units,
    score_bits,
    vanishing,
    whole_number,
)
from ....nn.loss_config import DecisionRule
from .arrays import Member, number, struct_dtype, struct_lines
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
        if self.stands and not self.believes:
            raise SrnnError("This network's rule has no confidence in this format, so that no answer can stand early.")

    @property
    def how(self) -> Rule:
        """How outputs become scores."""
        return self.rule.loss.rule

    @property
    def stands(self) -> bool:
        """Whether an answer can stand before the end."""
        return self.rule.until is not None and self.rule.until.confidence is not None

    @property
    def believes(self) -> bool:
        """Whether it says how far a class is believed. int8 cannot for every rule."""
        if self.how.value:
            return False
        if self.bits is None:
            return True
        try:
            check_belief(self.how, score_bits(self.bits, self.how))
        except SrnnError:
            return False
        return True

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
        fields: list[Member] = [(score, "scores", classes)]
        if how.adds and self.bits is None:
            fields.append(("float", "lost", classes))
        if how.soft:
            fields.append((part, "part", classes))
        if self.stands:
            fields += [("int32_t", "sure_of", ()), ("uint32_t", "row", ())]
        return [*fields, ("uint32_t", "steps", ())]

    @property
    def ram_bytes(self) -> int:
        return struct_dtype(self.members()).itemsize

    @property
    def flash_bytes(self) -> int:
        """Of the class names, with a pointer of 4 bytes to each."""
        return sum(len(_bytes(name)) + 5 for name in self.rule.classes)

    def report(self) -> dict[str, Any]:
        loss, until = self.rule.loss, {}
        if self.stands:
            assert self.rule.until is not None
            until = {"until": asdict(self.rule.until)}
        return {
            "loss": loss.name,
            "start": loss.start,
            "classes": list(self.rule.classes),
            "ram_bytes": self.ram_bytes,
            "flash_bytes": self.flash_bytes,
            **until,
        }

    def header(self) -> list[str]:
        name, upper = self.name, self.name.upper()
        about, call, returned, values = self._class_words()
        if self.how.value:
            about, call, returned, values = self._value_words()
        lines = [
            *about,
            " *",
            f" *     {name}_decision_init(&decision);                    before the first step of every sequence",
            f" *     {name}_step(&state, input, scores);                 each step",
            f" *     {call}",
            " *",
            f" * {name}_decide must see every step; what it says is as if the sequence ended there.",
            f" * RAM {self.ram_bytes} bytes per decision, flash {self.flash_bytes} bytes for the names. */",
            f"#define {upper}_NUM_CLASSES {len(self.rule.classes)}",
            f"extern const char *const {upper}_CLASSES[{upper}_NUM_CLASSES]; /* UTF-8 */",
            *struct_lines(f"{name}_decision", self.members()),
            f"void {name}_decision_init({name}_decision *decision);",
            f"{returned} {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS]{values});",
        ]
        if self.believes:
            lines += self._confidence_header()
        return [*lines, ""]

    @property
    def _title(self) -> str:
        """What a score is."""
        start, over = self.rule.loss.start, " over all of its steps"
        if start:
            over = f" over its steps from number {start} on, counted from 0 (before that, each step alone)"
        return self.how.title.format(over=over)

    def _class_words(self) -> tuple[list[str], str, str, str]:
        """What is decided, how it is called, what it returns, and further arguments."""
        name, upper, subject = self.name, self.name.upper(), "The class of a sequence is"
        if self.rule.per_step:
            subject = "Every step has a class of its own:"
        about = [
            f"/* The decision: which class it is, by the loss that the network was trained with ({self.rule.loss.name}).",
            f" * {subject} the one with the largest {self._title}.",
        ]
        call = f"label = {name}_decide(&decision, scores);           {upper}_CLASSES[label] is its name"
        return about, call, "int", ""

    def _value_words(self) -> tuple[list[str], str, str, str]:
        name, upper, subject, number = self.name, self.name.upper(), "A sequence's", "a float"
        if self.rule.per_step:
            subject = "A step's"
        if self.bits is not None:
            number = f"s / 2^{score_bits(self.bits, self.how)} for an integer s"
        about = [f"/* The answer: a value for each output, {number}.", f" * {subject} value is the {self._title}."]
        call = f"{name}_decide(&decision, scores, values);           {upper}_CLASSES has the values' names"
        return about, call, "void", f", {name}_score values[{upper}_NUM_CLASSES]"

    def _confidence_header(self) -> list[str]:
        name, ctype, scale = self.name, self.belief_type, "0 to 1"
        if self.bits is not None:
            scale = f"0 to 2^{ONE_BITS}"
        lines = [
            f"/* After a step: the probability that the network gives to the class it decided for, {scale}; not calibrated. */",
            f"{ctype} {name}_confidence(const {name}_decision *decision);",
        ]
        if self.stands:
            until = self.rule.until
            assert until is not None
            lines += [
                f"/* Call it once after each {name}_decide: not 0 once the class stands, so that the rest of",
                f" * the sequence need not be read. That is where, for {until.patience} steps in a row, the same class had a",
                f" * probability of at least {until.confidence}, and {until.margin} more than any other, at step number",
                f" * {until.earliest} or later (counted from 1). */",
                f"int {name}_stands({name}_decision *decision);",
            ]
        return lines

    def source(self) -> str:
        functions = []
        if self.how.adds and self.bits is not None:
            functions.append(_SUM)
        if self.how.soft and self.bits is not None:
            functions.append(_exponential("exponential", self.bits))
        if self.how.value and self.how.mean and self.bits is not None:
            functions.append(_MEAN)
        if not self.how.value:
            functions.append(self._largest())
        functions += [self._init(), self._decide()]
        if self.believes:
            functions += self._confidence()
        if self.stands:
            functions.append(self._stands())
        return "\n".join(functions)

    @property
    def _each(self) -> str:
        return f"    for (c = 0; c < {len(self.rule.classes)}; c++)"

    def _largest(self) -> str:
        return f"""\
static int largest(const {self.members()[0][0]} *scores)
{{
    int c, best = 0;

    for (c = 1; c < {len(self.rule.classes)}; c++)
        if (scores[c] > scores[best])
            best = c;
    return best;
}}
"""

    def _init(self) -> str:
        zero = "0.0f" if self.bits is None else "0"
        cleared = ""
        for _, member, size in self.members():
            if size:
                cleared += f"{self._each}\n        decision->{member}[c] = {zero};\n"
            else:
                cleared += f"    decision->{member} = 0;\n"
        return f"void {self.name}_decision_init({self.name}_decision *decision)\n{{\n    int c;\n\n{cleared}}}\n"

    def _decide(self) -> str:
        name, upper, each = self.name, self.name.upper(), self._each
        declared = share = ""
        if self.how.soft:
            declared, share = self._softmax(each)
        _, _, returned, values = self._class_words()
        answer = "    return largest(decision->scores);\n"
        if self.how.value:
            _, _, returned, values = self._value_words()
            answer = f"{each}\n        values[c] = {self._value()};\n"
            if self.how.mean:
                count = self._count()
                answer = f"    {{\n    {count}" + "".join(f"    {line}\n" for line in answer.splitlines()) + "    }\n"
        return (
            f"{returned} {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS]{values})\n{{\n"
            f"    int c;\n{declared}\n{share}{each} {{\n{self._joined()}    }}\n"
            f"    if (decision->steps < UINT32_MAX)\n        decision->steps++;\n{answer}}}\n"
        )

    def _value(self) -> str:
        """The value of output c."""
        if not self.how.mean:
            return _TOTAL
        if self.bits is None:
            return f"{_TOTAL} / count"
        return f"mean({_TOTAL}, count)"

    def _count(self) -> str:
        """The declaration of the number of steps in a total."""
        ctype, start, one, cast = "float", self.rule.loss.start, "1.0f", "(float)"
        if self.bits is not None:
            ctype, one, cast = "int64_t", "1", ""
        above, counted = "0", "decision->steps"
        if start:
            above, counted = f"{start}ul", f"(decision->steps - {start}ul)"
        if not cast:
            counted = f"(int64_t){counted}"
        return f"    const {ctype} count = decision->steps > {above} ? {cast}{counted} : {one};\n"

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

    @property
    def belief_type(self) -> str:
        """The C type of a confidence."""
        if self.bits is None:
            return "float"
        return "int32_t"

    def _confidence(self) -> list[str]:
        """How far any class is believed, and the one decided for."""
        name, how, ctype = self.name, self.how, self.belief_type
        belief: _Belief = _FloatBelief(how.mean)
        wide, zero = "float", "0.0f"
        if self.bits is not None:
            belief = _FixedBelief(how.mean, score_bits(self.bits, how))
            wide, zero = "uint64_t", "0"
        scores = _Believed(Text("own"), Text(_TOTAL))
        classes = belief.constant(float(len(self.rule.classes)))
        (believed,) = how.confidence_record.run(belief, [scores, classes])
        declared = f"    const {wide} own = ({wide})decision->scores[which];\n"
        if belief.uses_most:
            declared += f"    const {wide} most = ({wide})decision->scores[largest(decision->scores)];\n"
        if how.mean:
            declared += self._count()
        functions = [
            f"""\
/* How far a class is believed. */
static {ctype} believed(const {name}_decision *decision, int which)
{{
{declared}    {wide} total = {zero};
    int c;

{self._each}
        total += {belief.added};
    return {believed.own.text};
}}
""",
            f"""\
{ctype} {name}_confidence(const {name}_decision *decision)
{{
    return believed(decision, largest(decision->scores));
}}
""",
        ]
        return [*belief.functions(), *functions]

    def _stands(self) -> str:
        """The step of ``nn.decision.Standing``."""
        name, until, classes = self.name, self.rule.until, len(self.rule.classes)
        assert until is not None and until.confidence is not None
        conditions, second = [f"believed(decision, best) >= {self._belief(until.confidence)}"], ""
        if until.earliest > 1:
            conditions.insert(0, f"decision->steps >= {until.earliest}ul")
        if until.margin > 0 and classes > 1:
            second = f"""\
    int c, second = best == 0;

{self._each}
        if (c != best && decision->scores[c] > decision->scores[second])
            second = c;
"""
            conditions.append(f"believed(decision, best) - believed(decision, second) >= {self._belief(until.margin)}")
        condition = "\n        && ".join(conditions)
        return f"""\
int {name}_stands({name}_decision *decision)
{{
    const int best = largest(decision->scores);
{second}
    if (!({condition}))
        decision->row = 0;
    else if (best != decision->sure_of)
        decision->row = 1;
    else if (decision->row < UINT32_MAX)
        decision->row++;
    decision->sure_of = best;
    return decision->row >= {until.patience}ul;
}}
"""

    def _belief(self, value: float) -> str:
        """A probability as a constant."""
        if self.bits is None:
            return number(value, "float")
        return str(in_units(value))


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
    """Something of the class in question, ``which``, and of class c."""

    own: Text
    each: Text


class _Belief(Algebra, ABC):
    """The confidence in a class, with at most one sum over the classes, ``added``. ``mean``: scores are divided by ``count``."""

    def __init__(self, mean: bool) -> None:
        self.mean, self.added, self.uses_most = mean, "", False

    @abstractmethod
    def functions(self) -> list[str]:
        """What it calls."""

    def _add(self, text: str) -> None:
        if self.added not in ("", text):
            raise SrnnError("C can sum over the classes once for a confidence; this network's rule does so twice.")
        self.added = text


class _FloatBelief(_Belief):
    def __init__(self, mean: bool) -> None:
        super().__init__(mean)
        self.writer = FloatC()

    def functions(self) -> list[str]:
        return []

    def constant(self, value: float) -> Any:
        text = Text(number(value, "float"))
        return _Believed(text, text)

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax" and operands[0].each.text == _TOTAL:
            # Of scores that are all divided by the same number, the difference is divided: one rounding less.
            own, each = "own - most", f"{_TOTAL} - most"
            if self.mean:
                own, each = f"({own}) / count", f"({each}) / count"
            self.uses_most = True
            self._add(f"expf({each})")
            return _Believed(Text(f"expf({own}) / total", 2), Text(f"expf({each}) / total", 2))
        if operation == "total_of":
            self._add(self._scaled(operands[0].each).text)
            return _Believed(Text("total"), Text("total"))
        _refuse_classes(operation)
        own, each = ([self._scaled(getattr(operand, which)) for operand in operands] for which in ("own", "each"))
        return _Believed(self.writer.apply(operation, *own), self.writer.apply(operation, *each))

    def _scaled(self, score: Text) -> Text:
        """A total as a score."""
        if self.mean and score.text in ("own", _TOTAL):
            return Text(f"{score.text} / count", 2)
        return score


class _FixedBelief(_Belief):
    """In integers, as ``nn.fixedpoint.decision.integer_confidences``; ``check_belief`` has seen to it that they suffice."""

    def __init__(self, mean: bool, bits: int) -> None:
        super().__init__(mean)
        self.bits, self.called = bits, ""

    def functions(self) -> list[str]:
        return [self.called]

    def constant(self, value: float) -> Any:
        text = Text(f"(uint64_t){whole_number(value, self.bits)}")
        return _Believed(text, text)

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax":
            fine = fine_bits(self.bits, self.mean)
            self.called = _exponential("exponential_of_scores", fine)
            if fine > self.bits:
                self.called += f"\n{_FINE.format(far=vanishing(self.bits), finer=fine - self.bits)}"
            self.uses_most = True
            own, each = (self._part(score) for score in ("own", f"(uint64_t){_TOTAL}"))
            self._add(each)
            share = f"(int32_t)({own} * (((uint64_t)1 << {2 * ONE_BITS + 2}) / total) >> {ONE_BITS + 2})"
            return _Believed(Text(share), Text(""))
        if operation == "total_of":
            self._add(f"(uint64_t){operands[0].each.text}")
            return _Believed(Text("total"), Text("total"))
        own, each = ([getattr(operand, which) for operand in operands] for which in ("own", "each"))
        if operation == "divide":
            self.called = _DIVIDED
            part, whole = own
            return _Believed(Text(f"divided((int64_t)({part.text}), (int64_t)({whole.text}))"), Text(""))
        return _Believed(Writer().apply(operation, *own), Writer().apply(operation, *each))

    def _part(self, score: str) -> str:
        distance = f"(most - {score})"
        finer = fine_bits(self.bits, self.mean) - self.bits
        if finer > 0:
            distance = f"fine({distance}, (uint64_t)count)"
        if self.mean:
            distance += " / (uint64_t)count"
        if finer < 0:
            distance = f"({distance}) >> {-finer}"
        return f"exponential_of_scores({distance})"


def _exponential(name: str, bits: int) -> str:
    """C's ``nn.fixedpoint.decision.exponential``."""
    shift = f">> {min(bits, 63)}" if bits >= 0 else f"<< {-bits}"
    *others, last = POWER
    steps = "".join(
        f"    value = {coefficient} - (value * fraction >> {ONE_BITS});\n"
        for coefficient in (*others[::-1], 1 << ONE_BITS)
    )
    return f"""\
/* 2^{ONE_BITS} exp(-distance / 2^{bits}): a power of two, its whole part by a shift. */
static uint32_t {name}(uint64_t distance)
{{
    uint64_t power, fraction, value;

    if (distance >= {vanishing(bits)})
        return 0;
    power = distance * {PER_LN2} {shift};
    fraction = power & {(1 << ONE_BITS) - 1};
    value = {last};
{steps}    return (uint32_t)(value >> (power >> {ONE_BITS}));
}}
"""


def _refuse_classes(operation: str) -> None:
    if operation in ("softmax", "total_of"):
        raise SrnnError(
            f"C has '{operation}' over the classes only of a step's outputs or of the scores themselves; this network's rule "
            "uses it of something else."
        )


_MEAN = """\
/* total / count, rounded half up */
static int32_t mean(int64_t total, int64_t count)
{
    int64_t whole = total / count, rest = total % count;

    if (rest < 0) {
        whole--;
        rest += count;
    }
    return (int32_t)(whole + (rest >= count - rest));
}
"""

_FINE = """\
/* A difference of totals with {finer} more fractional bits; beyond some it makes no difference. */
static uint64_t fine(uint64_t distance, uint64_t count)
{{
    const uint64_t far = {far} * count;

    return (distance < far ? distance : far) << {finer};
}}
"""

_DIVIDED = f"""\
/* 2^{ONE_BITS} part / whole, at most that; 0 where one of them is not above 0 */
static int32_t divided(int64_t part, int64_t whole)
{{
    if (part <= 0 || whole <= 0)
        return 0;
    while (whole >= (int64_t)1 << 32) {{
        part >>= 1;
        whole >>= 1;
    }}
    return (int32_t)(((part < whole ? part : whole) << {ONE_BITS}) / whole);
}}
"""

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
