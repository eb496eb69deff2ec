"""The decision of the C library: the rule of the network's loss, step by step, and the names of the classes.

In float32 sums are compensated (Kahan), so that they do not stop growing in a long sequence. In int8 they are exact, and the
softmax is that of ``srnn.nn.fixedpoint.decision``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....errors import SrnnError
from ....nn.fixedpoint.decision import ONE_BITS, PER_LN2, POWER, vanishing
from ....nn.loss_config import DecisionRule
from .arrays import Member, struct_dtype, struct_lines

_LONGEST = 1000
"""Bytes of a class name; a string in C99 may have 4,095 characters, and a device's memory is small."""
_LAST_START = 2**31
_RULES = {
    "nll": "Every step has a class of its own: the one with the largest output at this step.",
    "ce_last": "The class of a sequence is the one with the largest output at its last step.",
    "ce_mean": "The class of a sequence is the one with the largest mean of its output{over}.",
    "ce_sum_softmax": "The class of a sequence is the one with the largest sum of softmax(output){over}.",
    "ce_spike_count": "The class of a sequence is the one with the largest sum of its output (spikes, counted){over}.",
}


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
    def summed(self) -> bool:
        return self.rule.loss.scoring in ("ce_mean", "ce_sum_softmax", "ce_spike_count")

    @property
    def soft(self) -> bool:
        return self.rule.loss.scoring == "ce_sum_softmax"

    @property
    def uses_math(self) -> bool:
        """Whether it calls expf."""
        return self.bits is None and self.rule.loss.scoring != "ce_spike_count"

    def members(self) -> list[Member]:
        classes = len(self.rule.classes)
        score = "float" if self.bits is None else "int64_t" if self.summed else "int32_t"
        fields = [(score, "scores", classes)]
        if self.summed and self.bits is None:
            fields.append(("float", "lost", classes))
        if self.soft:
            fields.append(("float" if self.bits is None else "uint32_t", "part", classes))
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
        lines = [
            f"/* The decision: which class it is, by the loss that the network was trained with ({loss.name}).",
            f" * {_RULES[loss.scoring].format(over=over)}",
            " *",
            f" *     {name}_decision_init(&decision);                    before the first step of every sequence",
            f" *     {name}_step(&state, input, scores);                 each step",
            f" *     label = {name}_decide(&decision, scores);           {upper}_CLASSES[label] is its name",
            " *",
            f" * {name}_decide must see every step, and returns the class as if the sequence ended there.",
            f" * RAM {self.ram_bytes} bytes per decision, flash {self.flash_bytes} bytes for the names. */",
            f"#define {upper}_NUM_CLASSES {len(self.rule.classes)}",
            f"extern const char *const {upper}_CLASSES[{upper}_NUM_CLASSES]; /* UTF-8 */",
            *struct_lines(f"{name}_decision", self.members()),
            f"void {name}_decision_init({name}_decision *decision);",
            f"int {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS]);",
        ]
        if self.bits is None:
            lines += [
                "/* After a step: the probability that the network gives to the class it decided for, 0 to 1; not calibrated. */",
                f"float {name}_confidence(const {name}_decision *decision);",
            ]
        return [*lines, ""]

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
        if self.summed and self.bits is not None:
            functions.insert(0, _SUM)
        if self.soft and self.bits is not None:
            functions.insert(0, self._exponential())
        declared, share, value = self._softmax(each) if self.soft else ("", "", "output[c]")
        functions.append(
            f"int {name}_decide({name}_decision *decision, const {name}_score output[{upper}_OUTPUTS])\n{{\n"
            f"    int c;\n{declared}\n{share}{each} {{\n{self._added(value)}    }}\n"
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

    def _softmax(self, each: str) -> tuple[str, str, str]:
        """Local variables, what is computed with them, and the share of class c."""
        ctype, total, part, scale = "float", "float total = 0.0f", "expf(output[c] - most)", ""
        share = "decision->part[c] / total"
        if self.bits is not None:  # the one division: 2^62 / total, and total is at least 2^30
            ctype, total = "int32_t", "uint64_t total = 0, scale"
            part = "exponential((uint64_t)((int64_t)most - output[c]))"
            scale = f"    scale = ((uint64_t)1 << {2 * ONE_BITS + 2}) / total;\n"
            share = f"(int32_t)((uint64_t)decision->part[c] * scale >> {ONE_BITS + 2})"
        lines = f"{each}\n        most = output[c] > most ? output[c] : most;\n"
        lines += f"{each} {{\n        decision->part[c] = {part};\n        total += decision->part[c];\n    }}\n"
        return f"    {ctype} most = output[0];\n    {total};\n", lines + scale, share

    def _added(self, value: str) -> str:
        """The body of the loop over the classes."""
        if not self.summed:
            return f"        decision->scores[c] = {value};\n"
        start = self.rule.loss.start
        alone = f"decision->steps <= {start}ul" if start else "decision->steps == 0"
        if self.bits is not None:
            return (
                f"        const int32_t x = {value};\n"
                f"        decision->scores[c] = {alone} ? x : sum(decision->scores[c], x);\n"
            )
        return f"""\
        const float x = {value};
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
        loss, classes = self.rule.loss, len(self.rule.classes)
        total, added, result, count = "0.0f", "expf(decision->scores[c] - most)", "1.0f / total", ""
        if loss.scoring == "ce_spike_count":
            total, added, result = f"{classes}.0f", "decision->scores[c]", "(most + 1.0f) / total"
        elif loss.scoring == "ce_mean":
            added = "expf((decision->scores[c] - most) / count)"
            above, counted = "0", "decision->steps"
            if loss.start:
                above, counted = f"{loss.start}ul", f"(decision->steps - {loss.start}ul)"
            count = f"    const float count = decision->steps > {above} ? (float){counted} : 1.0f;\n"
        return (
            f"float {self.name}_confidence(const {self.name}_decision *decision)\n{{\n"
            f"    const float most = decision->scores[largest(decision->scores)];\n{count}"
            f"    float total = {total};\n    int c;\n\n{each}\n        total += {added};\n    return {result};\n}}\n"
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
