"""Detailed analysis of a trained network: accuracy over time, confusions, and the activity of its neurons.

    analysis = analyse(trained, "validation", initial=recipe.build_network(task, seed))
    analysis.anytime.accuracy, analysis.exit.policy, analysis.activity.layers[0].rates, analysis.to_dict()

``analyse`` does it all in one pass. Each part can be used by itself: ``anytime`` (accuracy over time), ``policy`` and ``exits``
(early exit), ``changes`` (time to decision after a change of class), ``confusion``, ``delineation`` (ECG), ``neurons`` (rates,
operations), ``time_constants``. docs/evaluation.md explains them.
"""

from .analyse import Analysis, AnalysisOptions, analyse, can_exit, early_exit, exit_counts
from .anytime import Anytime, AnytimeCurve, Prefixes, prefixes
from .changes import ChangePoint, ChangeTimes
from .confusion import ClassReport
from .delineation import BorderReport, Delineation, DelineationReport, WaveReport, has_waves
from .exits import EarlyExit, ExitCounts, ExitPoint
from .neurons import Activity, LayerActivity, neuron_activity, recipe_spikes, spikes
from .policy import Deciding, Decisions, ExitPolicy
from .scores import running_scores
from .time_constants import Histogram, TimeConstants, time_constants

__all__ = [
    "Activity",
    "Analysis",
    "AnalysisOptions",
    "Anytime",
    "AnytimeCurve",
    "BorderReport",
    "ChangePoint",
    "ChangeTimes",
    "ClassReport",
    "Deciding",
    "Decisions",
    "Delineation",
    "DelineationReport",
    "EarlyExit",
    "ExitCounts",
    "ExitPoint",
    "ExitPolicy",
    "Histogram",
    "LayerActivity",
    "Prefixes",
    "TimeConstants",
    "WaveReport",
    "analyse",
    "can_exit",
    "early_exit",
    "exit_counts",
    "has_waves",
    "neuron_activity",
    "prefixes",
    "recipe_spikes",
    "running_scores",
    "spikes",
    "time_constants",
]
