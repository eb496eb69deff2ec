"""``srnn.SRNNClassifier``: ``srnn.fit`` as an estimator of scikit-learn, for its pipelines, grids
and cross-validation.

scores = cross_val_score(srnn.SRNNClassifier(rate=50, epochs=30), x, y, groups=who,
cv=GroupKFold(5))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from .api import Model, fit
from .data.gaps import LONGEST_GAP, Missing
from .errors import SrnnError
from .nn.array_likes import as_numpy

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from .deploy.predicting import Prediction
    from .nn.neurons import Neuron


class InvalidData(SrnnError, ValueError):
    """An SrnnError that scikit-learn, too, takes for a mistake in its data."""


@contextmanager
def _as_value_errors() -> Iterator[None]:
    try:
        yield
    except SrnnError as error:
        raise InvalidData(str(error), error.kind, error.field) from error


class SRNNClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of whole sequences. Settings are the keywords of ``srnn.fit`` with the same
    names; what is None is as there.

    Sequences are given as ``srnn.fit`` takes them. In a table (N, T) each row is a sequence of one
    channel, all of which have one length; then ``n_features_in_`` is that length. What cannot be
    used raises ``InvalidData``, a ValueError.

    After ``fit``, ``model_`` is the trained ``Model`` and ``classes_`` has the labels as they were
    given, in the order of the columns of ``predict_proba``.

    Args:
        rate: samples a second.
        channels: names of the channels.
        units: units of the channels.
        validation: the fraction of the training data that is held out at first, as for
            ``srnn.fit``.
        test: the fraction held out from training for the end; 0, as scikit-learn holds out its own.
        epochs: how often the training data are seen, at most.
        patience: training stops after so many epochs without a better one.
        hidden: neurons in the hidden layer, or in each of several.
        neuron: the hidden layers' neuron.
        lr: the largest learning rate.
        batch_size: sequences in a batch.
        missing: what is done about missing samples (NaN), of training and of prediction.
        longest_gap: samples that may be missing in a row.
        overrides: other settings of a recipe by their dotted keys.
        seed: the seed of everything random.
    """

    model_: Model
    n_features_in_: int
    classes_: npt.NDArray[Any]

    def __init__(
        self,
        *,
        rate: float | None = None,
        channels: Sequence[str | int] | None = None,
        units: Sequence[str | None] | None = None,
        validation: float | None = None,
        test: float = 0,
        epochs: int | None = None,
        patience: int | None = None,
        hidden: int | Sequence[int] | None = None,
        neuron: str | Neuron | Mapping[str, Any] | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        missing: Missing = "interpolate",
        longest_gap: int = LONGEST_GAP,
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.rate, self.channels, self.units = rate, channels, units
        self.validation, self.test = validation, test
        self.epochs, self.patience = epochs, patience
        self.hidden, self.neuron = hidden, neuron
        self.lr, self.batch_size = lr, batch_size
        self.missing, self.longest_gap = missing, longest_gap
        self.overrides, self.seed = overrides, seed

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Train on sequences and their labels.

        Args:
            X: N sequences, as ``srnn.fit`` takes them.
            y: (N,) a label for each.
            groups: (N,) the person or thing that each is of: none is in both training and
                validation.

        Returns:
            The estimator itself.

        Raises:
            InvalidData: the data cannot be used.
        """
        if y is None:
            raise InvalidData(
                "SRNNClassifier requires y to be passed, but the target y is None.", "missing", "y"
            )
        settings = self.get_params()
        settings["overrides"] = self.overrides or {}
        labels = np.asarray(as_numpy(y))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        if labels.ndim != 1:
            raise InvalidData(
                "SRNNClassifier takes a label for each sequence (N,), "
                f"not {labels.shape}; see srnn.fit.",
                "data",
                "y",
            )
        if labels.dtype.kind == "f" and (labels != np.round(labels)).any():
            raise InvalidData(
                "SRNNClassifier names classes, and y is continuous "
                "(decimal numbers); srnn.fit learns values.",
                "data",
                "y",
            )
        check_classification_targets(labels)
        X = self._sequences(X, reset=True)
        known, numbers = np.unique(labels, return_inverse=True)
        if labels.dtype.kind == "f":
            labels = labels.astype(np.int64)
        # Numbers keep their type in the model, too; what else there may be is named.
        given, names = numbers, [str(one) for one in known]
        if labels.dtype.kind in "biu":
            given, names = labels, np.unique(labels).tolist()
        with _as_value_errors():
            self.model_ = fit(X, given, groups=groups, classes=names, **settings)
        self.classes_ = known
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) the label of each sequence."""
        numbers = [found.number for found in self._found(X)]
        return self.classes_[numbers]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, classes) the confidence in each label, at the end of each sequence."""
        return np.array([found.probabilities[-1] for found in self._found(X)], np.float64)

    def _found(self, X: Any) -> list[Prediction]:
        check_is_fitted(self, "model_")
        X = self._sequences(X, reset=False)
        with _as_value_errors():
            how: dict[str, Any] = {"missing": self.missing, "longest_gap": self.longest_gap}
            found = self.model_.predict([*X], **how)
        assert isinstance(found, list)
        return found

    def _sequences(self, X: Any, reset: bool) -> Any:
        """A table as scikit-learn checks it; anything else as it is."""
        X = as_numpy(X)
        if issparse(X) or (hasattr(X, "__array__") and np.asarray(X).ndim <= 2):
            finite = True if self.missing == "refuse" else "allow-nan"
            return validate_data(self, X, reset=reset, ensure_all_finite=finite)
        return X

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
