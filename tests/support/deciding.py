"""A decision rule of one's own, and what any rule means, in plain numbers."""

from __future__ import annotations

import numpy as np

from srnn.nn.decision import Rule

LEAKY = Rule("leaky mean of its output", joined=lambda total, y: 0.875 * total + 0.125 * y)
"""Its factors are exact in a few binary digits, as int8 needs them."""


def decided(rule: Rule, start: int, outputs: np.ndarray) -> np.ndarray:
    """The scores after each step of one sequence, (T, classes), by the rule's definition."""
    scores = []
    total = np.zeros(outputs.shape[1])
    for step, x in enumerate(outputs):
        y = rule.counted(x)
        total = y if step <= start else rule.joined(total, y)
        scores.append(total / max(step - start + 1, 1) if rule.mean else total)
    return np.stack(scores)
