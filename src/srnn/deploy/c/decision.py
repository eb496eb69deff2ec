"""The decision of the C library: the rule of the network's loss and when its answer stands
(``nn/decision.py``), and the classes.

In float32 sums are compensated (Kahan), so that they do not stop growing in a long sequence. In
int8 they are exact, and softmax and confidence are those of ``srnn.nn.fixedpoint.decision``.
"""

from __future__ import annotations

import re
from abc import ABC
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import SrnnError
from ...nn.alarm import LEAST
from ...nn.decision import Rule
from ...nn.equations import Algebra, Text, Writer
from ...nn.fixedpoint.alarm import (
    ERROR_BITS,
    LOG_BITS,
    MEAN_BITS,
    MOST_OFF,
    SCORE_BITS,
    IntegerAlarm,
)
from ...nn.fixedpoint.decision import (
    ONE_BITS,
    PER_LN2,
    POWER,
    IntegerLinear,
    IntegerScale,
    check_confidence,
    fine_bits,
    in_units,
    integer_scales,
    score_bits,
    vanishing,
    whole_number,
)
from ...nn.loss_config import DecisionRule
from .arrays import Member, number, struct_dtype, struct_members
from .names import c_string, in_bytes
from .resolve import resolved
from .translate import FixedC, FixedText, FloatC

_LONGEST = 1000
"""Bytes of a class name; C99 allows strings of 4,095 characters, and devices have little memory."""
_LAST_START = 2**31
_OUTPUT, _TOTAL = "output[c]", "decision->scores[c]"


@dataclass(frozen=True)
class DecisionPlan:
    """What is to be written for a decision.

    ``bits``: fractional bits of the outputs in int8; None: they are float32.
    """

    name: str
    rule: DecisionRule
    bits: int | None
    input_type: str = "float"
    input_bits: int = 0
    """Fractional bits of the inputs in int8."""

    def __post_init__(self) -> None:
        if self.rule.loss.start >= _LAST_START:
            start = self.rule.loss.start
            raise SrnnError(
                f"C counts steps up to {_LAST_START}; the loss starts at {start}.",
                "unsupported",
                "loss.start",
            )
        for name in self.rule.classes:
            length = len(in_bytes(name))
            if length > _LONGEST:
                raise SrnnError(
                    f"A class name has {length} bytes, more than {_LONGEST}: {name[:20]!r}...",
                    "unsupported",
                    name,
                )
        if self.rule.alarm is not None and self.bits is not None:
            self._integer_alarm()  # SrnnError where inputs are kept too coarsely for it
        if self.stands and not self.has_confidence:
            raise SrnnError(
                "This network's rule has no confidence in this format, "
                "so that no answer can stand early.",
                "unsupported",
                "exit",
            )

    @property
    def how(self) -> Rule:
        """How outputs become scores."""
        return self.rule.loss.rule

    @property
    def stands(self) -> bool:
        """Whether an answer can stand before the end."""
        return self.rule.until is not None and self.rule.until.confidence is not None

    @property
    def has_confidence(self) -> bool:
        """Whether it gives the confidence in a class. int8 cannot for every rule."""
        if self.how.value:
            return False
        if self.bits is None:
            return True
        try:
            check_confidence(self.how, score_bits(self.bits, self.how))
        except SrnnError:
            return False
        return True

    @property
    def value_bits(self) -> list[int] | None:
        """The fractional bits of each value; None: the answer is a class, or the score of an
        alarm."""
        if not self.how.value or self.rule.alarm is not None:
            return None
        if self.bits is None:
            return [0] * len(self.rule.classes)
        scales = integer_scales(self.rule.targets, self.bits, self.how)
        if not scales:
            return [score_bits(self.bits, self.how)] * len(self.rule.classes)
        return [scale.bits for scale in scales]

    @property
    def uses_math(self) -> bool:
        """Whether it calls a function of <math.h>."""
        if self.bits is not None:
            return False
        return re.search(r"\b(expf|fabsf|logf)\(", self.source()) is not None

    def source(self) -> str:
        """Its part of NAME.c."""
        return resolved("decision.c", self.name, self.configuration())

    @cached_property
    def members(self) -> list[Member]:
        """The fields of the struct."""
        text = resolved("decision.h", self.name, self.configuration())
        return struct_members(text, f"{self.name}_decision")

    @property
    def ram_bytes(self) -> int:
        return struct_dtype(self.members).itemsize

    @property
    def flash_bytes(self) -> int:
        """Of the class names, with a pointer of 4 bytes to each; and of the scales of values."""
        names = sum(len(in_bytes(name)) + 5 for name in self.rule.classes)
        if self.rule.targets is None:
            return names
        each, linear = 14, self.rule.targets.linear
        if self.bits is None:
            each = 8
        elif self.rule.alarm is not None:
            each += 10  # factors and shifts of inputs, and of differences
        if linear is None:
            return names + each * len(self.rule.classes)
        return names + (each + 4 * (1 + linear.taps * linear.inputs)) * len(self.rule.classes)

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

    def configuration(self) -> dict[str, Any]:
        """What ``decision.h`` and ``decision.c`` are told."""
        loss, how, integer = self.rule.loss, self.how, self.bits is not None
        until, stands = self.rule.until, dict[str, Any](STANDS=False)
        if until is not None and until.confidence is not None:
            stands = {  # the step of ``nn.decision.Standing``
                "STANDS": True,
                "PATIENCE": until.patience,
                "EARLIEST": until.earliest,
                "EARLIEST_ASKED": until.earliest > 1,
                "MARGIN_ASKED": until.margin > 0 and len(self.rule.classes) > 1,
                "LEAST_CONFIDENCE": self._probability(until.confidence),
                "LEAST_MARGIN": self._probability(until.margin),
                "UNTIL_CONFIDENCE": f"{until.confidence}",
                "UNTIL_MARGIN": f"{until.margin}",
            }
        return {
            "NAMES_FLASH": self.flash_bytes,
            "NUM_CLASSES": len(self.rule.classes),
            "CLASS_NAMES": [{"CLASS_NAME": c_string(name)} for name in self.rule.classes],
            "LOSS": loss.name,
            "INTEGER": integer,
            "NUMBER": "int32_t" if integer else "float",
            "ZERO": number(0, "int32_t" if integer else "float"),
            "LATE_START": loss.start > 0,
            "LOSS_START": loss.start,
            "KEEPS": how.keeps,
            "ADDS": how.adds,
            "SOFT": how.soft,
            "SCORES_MEAN": how.mean,
            "ONE_BITS": ONE_BITS,
            "SHARE_BITS": 2 * ONE_BITS + 2,
            "SCORE_TYPE": ("int64_t" if how.adds else "int32_t") if integer else "float",
            "STEPS_TYPE": "int64_t" if integer else "float",
            "ONE_STEP": "1" if integer else "1.0f",
            **self._alarm(),
            **self._properties(),
            **self._steps(),
            **self._confidence(),
            **stands,
        }

    def _properties(self) -> dict[str, Any]:
        """What NAME.h says of the answer."""
        over = " over all of its steps"
        if self.rule.loss.start:
            over = (
                f" over its steps from number {self.rule.loss.start} on, counted from 0 "
                "(before that, each step alone)"
            )
        subject = "The class of a sequence is"
        if self.rule.per_step:
            subject = "Every step has a class of its own:"
        fields = {"VALUES": self.how.value, "TITLE": self.how.title.format(over=over)}
        if self.how.value:
            subject = "A step's value" if self.rule.per_step else "A sequence's value"
            fields["VALUES_ARE"] = "a float"
            if self.bits is not None:
                fields["VALUES_ARE"] = f"s / 2^{score_bits(self.bits, self.how)} for an integer s"
        return fields | {"SUBJECT": subject} | self._scale()

    def _alarm(self) -> dict[str, Any]:
        """What raises an alarm."""
        alarm = self.rule.alarm
        if alarm is None:
            return {"ALARM": False}
        fields = {
            "ALARM": True,
            "ALARM_PRIOR": f"{alarm.prior}u",
            "ALARM_SMOOTH": f"{alarm.smooth}u",
            "ALARM_STEPS": alarm.smooth,
            "ALARM_START": f"{alarm.start}u",
        }
        if self.bits is None:
            return fields | {
                "SURPRISE_TYPE": "float",
                "ALARM_USUAL": number(alarm.usual, "float"),
                "ALARM_LEAST": number(LEAST, "float"),
                "ALARM_ABOVE": number(alarm.above, "float"),
                "ALARM_BELOW": number(alarm.below, "float"),
            }
        integers = self._integer_alarm()
        columns = {
            f"{kind}_{part.upper()}S": ", ".join(str(getattr(one, part)) for one in multiples)
            for kind, multiples in (("SEEN", integers.seen), ("OFF", integers.off))
            for part in ("factor", "shift")
        }
        return fields | {
            "SURPRISE_TYPE": "int32_t",
            "ALARM_ABOVE": integers.above,
            "ALARM_BELOW": integers.below,
            "MOST_OFF": MOST_OFF,
            "ERROR_BITS": ERROR_BITS,
            "MEAN_BITS": MEAN_BITS,
            "LOG_BITS": LOG_BITS,
            "SCORE_ONE": 1 << SCORE_BITS,
            **columns,
        }

    def _integer_alarm(self) -> IntegerAlarm:
        alarm, targets = self.rule.alarm, self.rule.targets
        assert alarm is not None and targets is not None and self.bits is not None
        scales = integer_scales(targets, self.bits, self.how)
        return IntegerAlarm.of(alarm, targets, self.input_bits, scales)

    def _scale(self) -> dict[str, Any]:
        """How scores become values in the targets' units."""
        targets = self.rule.targets
        fields: dict[str, Any] = {"SCALED": False, "LINEAR": False}
        if targets is None or targets.mean is None or targets.std is None:
            return fields
        units = [one or "unit not stated" for one in targets.units]
        fields |= {"SCALED": True, "VALUE_UNITS": "; ".join(units).replace("*/", "* /")}
        linear = targets.linear
        if linear is not None:
            fields |= {
                "LINEAR": True,
                "TAPS": linear.taps,
                "PAST": linear.taps * linear.inputs,
                "PAST_TYPE": self.input_type,
            }
            kind, weights = "float", np.array(linear.weights)
            if self.bits is None:
                rests = ", ".join(number(one, "float") for one in linear.residual_scale)
                fields |= {"LINEAR_TYPE": "float", "VALUE_RESTS": rests}
            else:
                scales = integer_scales(targets, self.bits, self.how)
                integers = IntegerLinear.of(targets, self.input_bits, scales)
                assert integers is not None
                kind, weights = "int32_t", integers.weights
                shifts = ", ".join(map(str, integers.shifts))
                fields |= {"LINEAR_TYPE": "int64_t", "TAP_SHIFTS": shifts}
            rows = [", ".join(number(one, kind) for one in tap.ravel()) for tap in weights]
            fields |= {"TAP_TYPE": kind, "TAPS_OF_STEPS": [{"TAPS_OF_STEP": row} for row in rows]}
        if self.bits is None:
            return fields | {
                "VALUE_MEANS": ", ".join(number(one, "float") for one in targets.mean),
                "VALUE_STDS": ", ".join(number(one, "float") for one in targets.std),
            }
        fields["VALUES_ARE"] = f"values[i] / 2^{self.name.upper()}_VALUE_BITS[i]"
        scales = integer_scales(targets, self.bits, self.how)
        columns = {name: [getattr(one, name) for one in scales] for name in IntegerScale._fields}
        return fields | {
            "VALUE_BITS": ", ".join(map(str, columns["bits"])),
            "VALUE_FACTORS": ", ".join(map(str, columns["factor"])),
            "VALUE_SHIFTS": ", ".join(map(str, columns["shift"])),
            "VALUE_OFFSETS": ", ".join(f"INT64_C({offset})" for offset in columns["offset"]),
        }

    def _steps(self) -> dict[str, Any]:
        """What a step counts, and how it is joined to the total."""
        counted, value = self._written()
        fields: dict[str, Any] = {
            "COUNTED_LINES": _lines("COUNTED", counted),
            "COUNTED_VALUE": value,
        }
        if self.how.keeps and not self.how.adds:
            joined, total = self._written(joining=True)
            fields |= {"JOINED_LINES": _lines("JOINED", joined), "JOINED_VALUE": total}
        if self.how.soft and self.bits is not None:
            fields["OUTPUT_EXPONENTIALS"] = [_exponential("exponential", self.bits)]
        return fields

    def _written(self, joining: bool = False) -> tuple[list[tuple[str, str]], str]:
        """What a step of a class counts, or joins it to the total: local variables, and value."""
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

    def _confidence(self) -> dict[str, Any]:
        """The confidence in any class."""
        how, bits = self.how, self.bits
        fields: dict[str, Any] = {
            "HAS_CONFIDENCE": self.has_confidence,
            "STEPS_COUNTED": how.value and how.mean,
        }
        if not self.has_confidence:
            return fields
        if bits is None:
            confidence: _ConfidenceAlgebra = _FloatConfidence(how.mean)
            fields |= {
                "CONFIDENCE_TYPE": "float",
                "CONFIDENCE_PART": "float",
                "CONFIDENCE_RANGE": "0 to 1",
            }
        else:
            confidence = _FixedConfidence(how.mean, score_bits(bits, how))
            fields |= {
                "CONFIDENCE_TYPE": "int32_t",
                "CONFIDENCE_PART": "uint64_t",
                "CONFIDENCE_RANGE": f"0 to 2^{ONE_BITS}",
            }
        classes = confidence.constant(float(len(self.rule.classes)))
        score = _Confidence(Text("own"), Text(_TOTAL))
        (confidences,) = how.confidence_record.run(confidence, [score, classes])
        divided = how.mean and "count" in f"{confidence.added} {confidences.own.text}"
        return fields | {
            "STEPS_COUNTED": divided,
            "CONFIDENCE_OF_MEAN": divided,
            "CONFIDENCE_OF_LARGEST": confidence.uses_most,
            "CONFIDENCE_ADDED": confidence.added,
            "CONFIDENCE_RESULT": confidences.own.text,
            **confidence.fields,
        }

    def _probability(self, value: float) -> str:
        """As a constant."""
        if self.bits is None:
            return number(value, "float")
        return str(in_units(value))


def _lines(kind: str, assigned: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{f"{kind}_NAME": name, f"{kind}_LINE": value} for name, value in assigned]


def _exponential(name: str, bits: int) -> dict[str, Any]:
    """C's ``nn.fixedpoint.decision.exponential``."""
    *others, last = POWER
    return {
        "EXPONENTIAL": name,
        "DISTANCE_BITS": bits,
        "VANISHING": vanishing(bits),
        "PER_LN2": PER_LN2,
        "TO_ONE_BITS": f">> {min(bits, 63)}" if bits >= 0 else f"<< {-bits}",
        "BELOW_ONE": (1 << ONE_BITS) - 1,
        "LAST_POWER": last,
        "POWERS": [{"POWER": coefficient} for coefficient in (*others[::-1], 1 << ONE_BITS)],
    }


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
class _Confidence:
    """Something of the class in question, ``which``, and of class c."""

    own: Text
    each: Text


class _ConfidenceAlgebra(Algebra, ABC):
    """The confidence in a class, with at most one sum over the classes, ``added``. ``mean``: scores
    are divided by ``count``."""

    def __init__(self, mean: bool) -> None:
        self.mean, self.added, self.uses_most = mean, "", False
        self.fields: dict[str, Any] = {
            "CONFIDENCE_SOFT": False,
            "CONFIDENCE_FINER": False,
            "CONFIDENCE_DIVIDES": False,
        }
        """Which functions it calls, for ``decision.c``."""

    def _add(self, text: str) -> None:
        if self.added not in ("", text):
            raise SrnnError(
                "C can sum over the classes once for a confidence; "
                "this network's rule does so twice.",
                "unsupported",
                "confidence",
            )
        self.added = text


class _FloatConfidence(_ConfidenceAlgebra):
    def __init__(self, mean: bool) -> None:
        super().__init__(mean)
        self.writer = FloatC()

    def constant(self, value: float) -> Any:
        text = Text(number(value, "float"))
        return _Confidence(text, text)

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax" and operands[0].each.text == _TOTAL:
            # Of scores that are all divided by the same number, the difference is divided: one
            # rounding less.
            own, each = "own - most", f"{_TOTAL} - most"
            if self.mean:
                own, each = f"({own}) / count", f"({each}) / count"
            self.uses_most = True
            self._add(f"expf({each})")
            return _Confidence(Text(f"expf({own}) / total", 2), Text(f"expf({each}) / total", 2))
        if operation == "total_of":
            self._add(self._scaled(operands[0].each).text)
            return _Confidence(Text("total"), Text("total"))
        _refuse_classes(operation)
        own = [self._scaled(operand.own) for operand in operands]
        each = [self._scaled(operand.each) for operand in operands]
        return _Confidence(self.writer.apply(operation, *own), self.writer.apply(operation, *each))

    def _scaled(self, score: Text) -> Text:
        """A total as a score."""
        if self.mean and score.text in ("own", _TOTAL):
            return Text(f"{score.text} / count", 2)
        return score


class _FixedConfidence(_ConfidenceAlgebra):
    """In integers, as ``nn.fixedpoint.decision.integer_confidences``; ``check_belief`` has seen to
    it that they suffice."""

    def __init__(self, mean: bool, bits: int) -> None:
        super().__init__(mean)
        self.bits = bits

    def constant(self, value: float) -> Any:
        text = Text(f"(uint64_t){whole_number(value, self.bits)}")
        return _Confidence(text, text)

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax":
            fine = fine_bits(self.bits, self.mean)
            self.fields |= {
                "CONFIDENCE_SOFT": True,
                "SCORE_EXPONENTIALS": [_exponential("exponential_of_scores", fine)],
                "CONFIDENCE_FINER": fine > self.bits,
                "FINER_BITS": fine - self.bits,
                "FAR": vanishing(self.bits),
            }
            self.uses_most = True
            own, each = (self._part(score) for score in ("own", f"(uint64_t){_TOTAL}"))
            self._add(each)
            inverse = f"((uint64_t)1 << {2 * ONE_BITS + 2}) / total"
            share = f"(int32_t)({own} * ({inverse}) >> {ONE_BITS + 2})"
            return _Confidence(Text(share), Text(""))
        if operation == "total_of":
            self._add(f"(uint64_t){operands[0].each.text}")
            return _Confidence(Text("total"), Text("total"))
        own = [operand.own for operand in operands]
        each = [operand.each for operand in operands]
        if operation == "divide":
            self.fields["CONFIDENCE_DIVIDES"] = True
            part, whole = own
            share = f"divided((int64_t)({part.text}), (int64_t)({whole.text}))"
            return _Confidence(Text(share), Text(""))
        return _Confidence(Writer().apply(operation, *own), Writer().apply(operation, *each))

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


def _refuse_classes(operation: str) -> None:
    if operation in ("softmax", "total_of"):
        raise SrnnError(
            f"C has '{operation}' over the classes only of a step's outputs or of the scores "
            "themselves; this network's rule uses it of something else.",
            "unsupported",
            operation,
        )
