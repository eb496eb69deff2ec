"""Losses: against a direct calculation; padding and missing labels count nowhere; scores serve loss
and prediction."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import srnn
from srnn.nn.kernels.problem import LayerResult
from srnn.nn.loss_config import LossConfig, RateConfig
from srnn.nn.losses import Loss, neuron_rates, rate_penalty
from support.refusing import refuses

CE = ["ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps"]


def _batch(
    steps: int = 7, classes: int = 4, batch: int = 5
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(batch, steps, classes, generator=generator, dtype=torch.float64)
    per_step = torch.randint(-1, classes, (batch, steps), generator=generator)
    return output, per_step, torch.randint(0, classes, (batch,), generator=generator)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("unlabelled", ["mask", "as_class"])
def test_nll_against_a_loop(reduction: str, unlabelled: str) -> None:
    output, target, _ = _batch()
    loss = Loss(LossConfig("nll", start=2, reduction=reduction, unlabelled=unlabelled), True, 2)  # type: ignore[arg-type]
    total, counted, correct = 0.0, 0, 0
    for sequence in range(5):
        for step in range(2, 7):
            label = int(target[sequence, step])
            if label < 0 and unlabelled == "mask":
                continue
            label = 2 if label < 0 else label
            total -= float(output[sequence, step].log_softmax(-1)[label])
            counted += 1
            correct += int(output[sequence, step].argmax()) == label
    scored = loss(output, target)
    assert float(scored.loss) == pytest.approx(total / (5 if reduction == "sum" else counted))
    assert (scored.counted, scored.correct) == (counted, correct)


@pytest.mark.parametrize("name", [*CE, "nll"])
def test_label_smoothing_against_a_loop(name: str) -> None:
    """A target of 1 - s + s / C on the label and s / C on every other class; unlabelled steps and
    padding count nowhere."""
    output, per_step, per_sequence = _batch()
    target, lengths, smoothing = (
        per_step if name == "nll" else per_sequence,
        torch.tensor([7, 1, 3, 2, 5]),
        0.2,
    )
    loss = Loss(LossConfig(name, start=1, label_smoothing=smoothing), name == "nll")  # type: ignore[arg-type]
    scores, wanted = loss.scores(output, lengths), loss.targets(target, output, lengths)
    if name == "ce_steps":
        scores, wanted = (
            output,
            target[:, None].masked_fill(~loss.counted_steps(output, lengths), -1),
        )
    rows = [
        (row.log_softmax(-1), int(label))
        for row, label in zip(scores.reshape(-1, 4), wanted.flatten(), strict=True)
    ]
    terms = [
        -(1 - smoothing) * row[label] - smoothing * row.mean() for row, label in rows if label >= 0
    ]
    scored = loss(output, target, lengths)
    assert 0 < len(terms) == scored.weight
    torch.testing.assert_close(scored.loss, torch.stack(terms).mean())
    plain = Loss(LossConfig(name, start=1), name == "nll")(output, target, lengths)  # type: ignore[arg-type]
    assert scored.correct == plain.correct and scored.loss != plain.loss


@pytest.mark.parametrize("smoothing", [1.0, -0.1, float("nan")])
def test_label_smoothing_is_a_fraction(smoothing: float) -> None:
    with refuses("loss.label_smoothing"):
        LossConfig("nll", label_smoothing=smoothing)


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (LossConfig, name, value)
        for name in ("start", "label_smoothing", "rate")
        for value in ("1", None, [0.1])
    ]
    + [
        (LossConfig, "start", 1.5),
        (RateConfig, "weight", None),
        (RateConfig, "target", "0.1"),
        (RateConfig, "upper", [1]),
    ],
)
def test_a_setting_of_another_type_is_one_line(config: Any, name: str, value: Any) -> None:
    with refuses(f"{config.section}.{name}"):
        config(**{name: value})


def test_scores_of_the_sequence_losses() -> None:
    output, _, target = _batch()
    expected = {
        "ce_mean": output[:, 2:].mean(1),
        "ce_last": output[:, -1],
        "ce_sum_softmax": output[:, 2:].softmax(-1).sum(1),
        "ce_spike_count": output[:, 2:].sum(1),
    }
    for name, scores in expected.items():
        loss = Loss(LossConfig(name, start=2), False)  # type: ignore[arg-type]
        torch.testing.assert_close(loss.scores(output), scores)
        scored = loss(output, target)
        torch.testing.assert_close(scored.loss, F.cross_entropy(scores, target))
        assert scored.correct == int((scores.argmax(-1) == target).sum())
        # Sums are of the steps of a sequence: where it has one loss, the mean is over those that
        # have a label.
        some = target.clone()
        some[1] = -1
        summed = Loss(LossConfig(name, start=2, reduction="sum"), False)(output, some)  # type: ignore[arg-type]
        torch.testing.assert_close(summed.loss, F.cross_entropy(scores, some, ignore_index=-1))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropy_at_every_step_against_a_loop(reduction: str) -> None:
    """The loss is of every counted step; what is right is decided by the mean, of the outputs or of
    their log-softmax alike."""
    output, _, target = _batch()
    target[3] = -1
    lengths = torch.tensor([7, 1, 3, 2, 5])
    loss = Loss(LossConfig("ce_steps", start=2, reduction=reduction), False)  # type: ignore[arg-type]
    total, counted, correct = 0.0, 0, 0
    for sequence in (0, 1, 2, 4):
        end = int(lengths[sequence])
        steps = output[sequence, min(2, end - 1) : end].log_softmax(-1)
        total -= float(steps[:, target[sequence]].sum())
        counted += len(steps)
        correct += int(steps.mean(0).argmax()) == int(target[sequence])
    scored = loss(output, target, lengths)
    assert float(scored.loss) == pytest.approx(total / (5 if reduction == "sum" else counted))
    assert (scored.counted, scored.correct) == (4, correct)
    torch.testing.assert_close(loss.scores(output), output[:, 2:].mean(1))


@pytest.mark.parametrize("name", [*CE, "nll"])
@pytest.mark.parametrize("unlabelled", ["mask", "as_class"])
def test_padding_counts_nowhere(name: str, unlabelled: str) -> None:
    """A padded batch gives the same as each sequence alone, whatever stands in the padding."""
    output, per_step, per_sequence = _batch()
    target = per_step if name == "nll" else per_sequence
    loss = Loss(LossConfig(name, start=2, unlabelled=unlabelled), name == "nll", 0)  # type: ignore[arg-type]
    lengths = torch.tensor([7, 1, 3, 2, 5])
    scored = loss(output, target, lengths)
    alone = [
        loss(output[i : i + 1, :n], target[i : i + 1, :n] if name == "nll" else target[i : i + 1])
        for i, n in enumerate(lengths.tolist())
    ]
    weights = sum(each.weight for each in alone if each.counted)
    expected = sum(float(each.loss) * each.weight for each in alone if each.counted) / weights
    assert float(scored.loss) == pytest.approx(expected)
    assert scored.counted == sum(each.counted for each in alone)
    assert scored.correct == sum(each.correct for each in alone)
    changed = output.clone()
    for i, n in enumerate(lengths.tolist()):
        changed[i, n:] = 1e3
    assert float(loss(changed, target, lengths).loss) == pytest.approx(float(scored.loss))


@pytest.mark.parametrize("name", [*CE, "nll"])
def test_each_window_counts_what_is_its_own(name: str) -> None:
    """The losses of its steps, which add up to the sequence's; or one of all steps so far, of
    sequences that have not ended."""
    output, per_step, per_sequence = _batch()
    target, lengths = per_step if name == "nll" else per_sequence, torch.tensor([7, 1, 3, 2, 5])
    loss, totals = Loss(LossConfig(name, start=2), name == "nll"), []  # type: ignore[arg-type]
    for begin, end in ((0, 2), (2, 3), (3, 7)):
        if name == "nll":
            scored = loss(output[:, begin:end], target[:, begin:end], lengths, begin)
        else:
            scored = loss(output[:, :end], target, lengths, begin)
            known = loss(
                output[:, :end], target.masked_fill(lengths <= begin, -1), lengths.clamp(max=end)
            )
            assert (scored.correct, scored.counted) == (known.correct, known.counted)
            if name != "ce_steps":
                torch.testing.assert_close(scored.loss, known.loss)
        totals.append([float(scored.loss) * scored.weight, scored.weight])
    if name in ("nll", "ce_steps"):
        whole = loss(output, target, lengths)
        total, weight = map(sum, zip(*totals, strict=True))
        assert (total, weight) == (pytest.approx(float(whole.loss) * whole.weight), whole.weight)


def test_a_sequence_shorter_than_start_keeps_its_last_step() -> None:
    output, _, target = _batch()
    loss = Loss(LossConfig("ce_mean", start=5), False)
    scores = loss.scores(output, torch.tensor([7, 3, 1, 6, 5]))
    torch.testing.assert_close(scores[1], output[1, 2])
    torch.testing.assert_close(scores[3], output[3, 5])
    assert torch.isfinite(loss(output, target, torch.tensor([7, 3, 1, 6, 5])).loss)


@pytest.mark.parametrize("name", [*CE, "nll"])
def test_no_label_at_all_is_a_zero_loss_with_zero_gradients(name: str) -> None:
    output, per_step, per_sequence = _batch()
    output.requires_grad_()
    target = torch.full_like(per_step if name == "nll" else per_sequence, -1)
    scored = Loss(LossConfig(name), name == "nll")(output, target)  # type: ignore[arg-type]
    scored.loss.backward()
    assert float(scored.loss.detach()) == 0 and scored.counted == 0
    assert output.grad is not None and not output.grad.any()


@pytest.mark.parametrize("name", CE)
def test_a_sequence_without_steps_leaves_gradients_finite(name: str) -> None:
    output, _, target = _batch()
    for label in (-1, 2):
        leaf = output.clone().requires_grad_()
        target[1] = label
        Loss(LossConfig(name), False)(leaf, target, torch.tensor([7, 0, 1, 6, 5])).loss.backward()
        assert leaf.grad is not None and leaf.grad.isfinite().all() and leaf.grad.any()


def test_rate_penalty() -> None:
    spikes = [torch.zeros(2, 4, 2, dtype=torch.float64), torch.ones(2, 4, 2, dtype=torch.float64)]
    spikes[0][:, 0] = 1.0  # rates .25, .25, 1, 1
    hidden = [LayerResult(layer, ()) for layer in spikes]
    assert float(rate_penalty(RateConfig(2.0, target=0.5), hidden)) == pytest.approx(
        2 * (2 * 0.25**2 + 2 * 0.5**2) / 4
    )
    assert float(rate_penalty(RateConfig(1.0, upper=0.5), hidden)) == pytest.approx(2 * 0.5**2 / 4)
    assert rate_penalty(RateConfig(), hidden) == rate_penalty(RateConfig(1.0, upper=0.5), []) == 0.0
    # Padding emits nothing and is not counted: half the steps, twice the rate.
    torch.testing.assert_close(
        neuron_rates(spikes[0], torch.tensor([2, 2])), torch.tensor([0.5, 0.5]).double()
    )
    assert not neuron_rates(torch.zeros(2, 4, 2), torch.tensor([0, 0])).any()


def test_rate_penalty_is_the_mean_over_all_neurons_of_both_excesses() -> None:
    """One layer has more neurons than the other; half of the steps are padding."""
    two, three = torch.zeros(2, 4, 2), torch.zeros(2, 4, 3)
    two[:, 0] = three[0, :3, :2] = three[1, :1, :2] = 1.0  # rates .5, .5; 1, 1, 0
    hidden = [LayerResult(layer, ()) for layer in (two, three)]
    penalty = rate_penalty(RateConfig(2.0, target=0.25, upper=0.75), hidden, torch.tensor([3, 1]))
    assert float(penalty) == pytest.approx(
        2 * (2 * 0.25**2 + 2 * (0.75**2 + 0.25**2) + 0.25**2) / 5
    )


def test_rate_penalty_lowers_rates() -> None:
    spikes = torch.rand(3, 5, 4, requires_grad=True)
    penalty = rate_penalty(RateConfig(1.0, upper=0.0), [LayerResult(spikes, ())])
    assert isinstance(penalty, torch.Tensor)
    penalty.backward()
    assert spikes.grad is not None and (spikes.grad > 0).all()


def test_the_masked_mean_is_each_sequences_own_whatever_padding_holds() -> None:
    output, _, target = _batch()
    lengths = torch.tensor([7, 1, 3, 2, 5])
    padded = output.clone()
    for row, length in enumerate(lengths):
        padded[row, length:] = torch.nan
    padded.requires_grad_(True)
    for start in (0, 2):
        mean = srnn.losses.masked_mean(padded, lengths.tolist(), start)
        for row, length in enumerate(lengths.tolist()):
            alone = output[row, min(start, length - 1) : length].mean(0)
            torch.testing.assert_close(mean[row], alone, rtol=1e-12, atol=0)
    assert torch.equal(srnn.losses.masked_mean(output), srnn.losses.masked_mean(output, [7] * 5))
    assert torch.equal(
        srnn.losses.masked_mean(output, lengths),
        srnn.losses.Loss("ce_mean").scores(output, lengths),
    )
    F.cross_entropy(srnn.losses.masked_mean(padded, lengths), target).backward()
    assert padded.grad is not None and padded.grad.isfinite().all()


@pytest.mark.parametrize("name", [*CE, "nll"])
def test_a_loss_by_its_name_knows_what_labels_it_needs(name: Any) -> None:
    output, per_step, per_sequence = _batch()
    target = {"nll": per_step}.get(name, per_sequence)
    named, made = srnn.losses.Loss(name), Loss(LossConfig(name), name == "nll")
    assert named.per_step == (name == "nll")
    assert torch.equal(named(output, target).loss, made(output, target).loss)
