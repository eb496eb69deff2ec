"""Detailed analysis of a trained network: accuracy over time, confusions, and the activity of its
neurons.

    analysis = analyse(trained, "validation", initial=recipe.build_network(task, seed))
    analysis.anytime.accuracy, analysis.exit.policy, analysis.activity.layers[0].rates, analysis.to_dict()

``analyse`` does it all in one pass. Each part can be used by itself: ``confusion``, ``groups``
(accuracy by subject, and how sure it is), ``calibration`` (of confidences), ``anytime`` (accuracy
over time), ``policy`` and ``exits`` (early exit), ``changes`` (time to decision after a change of
class), ``delineation`` (ECG), ``neurons`` (rates, operations), ``time_constants``.
docs/evaluation.md explains them.
"""

from ...model.exit_policy import ExitPolicy
from ...nn.scores import running_scores
from .analyse import Analysis, analyse
from .anytime import Anytime
from .calibration import Calibration
from .confusion import ClassReport
from .delineation import Delineation, has_waves
from .exits import ExitCounts, can_exit, exit_counts
from .groups import GroupReport
from .measuring import AnalysisOptions, prefixes
from .neurons import NeuronActivity, recipe_spikes
from .time_constants import TimeConstants, time_constants

__all__ = [
    "Analysis",
    "AnalysisOptions",
    "Anytime",
    "Calibration",
    "ClassReport",
    "Delineation",
    "ExitCounts",
    "ExitPolicy",
    "GroupReport",
    "NeuronActivity",
    "TimeConstants",
    "analyse",
    "can_exit",
    "exit_counts",
    "has_waves",
    "prefixes",
    "recipe_spikes",
    "running_scores",
    "time_constants",
]
