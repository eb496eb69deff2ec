"""``srnn.SRNNClassifier``: ``srnn.fit`` as an estimator of scikit-learn, for its pipelines, grids and cross-validation.

scores = cross_val_score(srnn.SRNNClassifier(rate=50, epochs=30), x, y, groups=who, cv=GroupKFold(5))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .api import Model, fit
from .errors import SrnnError
from .nn.given import as_numpy

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from .deploy.predicting import Prediction
    from .nn.neurons import Neuron


class SRNNClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of whole sequences. Settings are the keywords of ``srnn.fit`` with the same names; what is None is as there.

    After ``fit``, ``model_`` is the trained ``Model`` and ``classes_`` has the labels as they were given, in the order of the
    columns of ``predict_proba``.

    Args:
        rate: samples a second.
        channels: names of the channels.
        units: units of the channels.
        validation: the fraction of the training data that is held out at first, as for ``srnn.fit``.
        test: the fraction held out from training for the end; 0, as scikit-learn holds out its own.
        epochs: how often the training data are seen, at most.
        patience: training stops after so many epochs without a better one.
        hidden: neurons in the hidden layer, or in each of several.
        neuron: the hidden layers' neuron.
        lr: the largest learning rate.
        batch_size: sequences in a batch.
        overrides: other settings of a recipe by their dotted keys.
        seed: the seed of everything random.
    """

    model_: Model
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
        overrides: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.rate, self.channels, self.units = rate, channels, units
        self.validation, self.test = validation, test
        self.epochs, self.patience = epochs, patience
        self.hidden, self.neuron = hidden, neuron
        self.lr, self.batch_size = lr, batch_size
        self.overrides, self.seed = overrides, seed

    def fit(self, X: Any, y: Any, *, groups: Any = None) -> Self:
        """Train on sequences X, as ``srnn.fit`` takes them, and a label for each (N,).

        ``groups``: (N,) whom or what each is of: nobody is both trained on and used for validation.
        """
        settings = self.get_params()
        settings["overrides"] = self.overrides or {}
        labels = np.asarray(as_numpy(y))
        if labels.ndim != 1:
            raise SrnnError(f"SRNNClassifier takes a label for each sequence (N,), not {labels.shape}; see srnn.fit.")
        check_classification_targets(labels)
        known, numbers = np.unique(labels, return_inverse=True)
        self.model_ = fit(X, numbers, groups=groups, classes=[str(one) for one in known], **settings)
        self.classes_ = known
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(N,) the label of each sequence."""
        numbers = [found.number for found in self._found(X)]
        return self.classes_[numbers]

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(N, classes) how far each label is believed, at the end of each sequence."""
        return np.array([found.probabilities[-1] for found in self._found(X)], np.float64)

    def _found(self, X: Any) -> list[Prediction]:
        check_is_fitted(self, "model_")
        found = self.model_.predict([*X])
        assert isinstance(found, list)
        return found

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags
