"""Regularizers and gradients against differences, and schedules."""

import math

import layerwise
import numpy as np
import pytest
import references as ref


def cosine_value(states):
    return sum((1 - ref.cosines(a, b)).mean() for a, b in zip(states, states[1:]))


def jreg_value(states, alpha):
    weights = np.exp(alpha * np.arange(1, len(states)))
    psi = [ref.displacement(a, b).mean() for a, b in zip(states, states[1:])]
    return (weights * psi).sum() / weights.sum()


REGULARIZERS = {
    "mse": (
        layerwise.mse_regularizer(0.5),
        lambda h: 0.5 * sum(((ref.rows(b) - ref.rows(a)) ** 2).sum(axis=1).mean() for a, b in zip(h, h[1:])),
    ),
    "cosine": (layerwise.cosine_regularizer(0.5), lambda h: 0.5 * cosine_value(h)),
    "jreg": (layerwise.jreg_regularizer(0.2, 1.5), lambda h: 0.2 * jreg_value(h, 1.5)),
}


def difference(value, states, layer, place, step=1e-6):
    changed = [state.copy() for state in states]
    changed[layer][place] += step
    above = value(changed)
    changed[layer][place] -= 2 * step
    return (above - value(changed)) / (2 * step)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_values_and_gradients(stack, name):
    regularizer, reference = REGULARIZERS[name]
    value, gradients = regularizer.value_and_gradient(stack)
    assert value == regularizer.value(stack) == layerwise.penalty(regularizer, stack)
    assert value == pytest.approx(reference(stack), rel=1e-12)
    assert [gradient.shape for gradient in gradients] == [state.shape for state in stack]
    for layer in (0, 2, 4):
        slope = difference(reference, stack, layer, (1, 7, 3))
        assert gradients[layer][1, 7, 3] == pytest.approx(slope, rel=1e-5, abs=1e-9)
    again, same = layerwise.penalty_and_gradient(regularizer, stack)
    assert again == value and all(map(np.array_equal, same, gradients))


def test_options_of_regularizers(stack):
    mean, total = (layerwise.mse_regularizer(1.0, reduction=how) for how in ("mean", "sum"))
    assert total.value(stack) == pytest.approx(120 * mean.value(stack))
    last = layerwise.cosine_regularizer(1.0, layers=(4, None))
    assert last.layers == (4, None)
    assert last.value(stack) == pytest.approx((1 - ref.cosines(*stack[3:])).mean())
    one_sided = layerwise.mse_regularizer(1.0, stop_gradient="before", layers=(1, 1))
    _, gradients = one_sided.value_and_gradient(stack)
    assert not gradients[0].any() and gradients[1].any() and not gradients[2].any()
    mask = np.zeros((3, 40))
    mask[0, :5] = 1
    assert mean.value(stack, mask) == pytest.approx(mean.value([state[0, :5] for state in stack]))
    _, gradients = mean.value_and_gradient(stack, mask)
    assert not gradients[1][1:].any()
    with pytest.raises(layerwise.OptionError, match="one of mean, sum"):
        layerwise.mse_regularizer(1.0, reduction="median")
    with pytest.raises(layerwise.OptionError):
        layerwise.mse_regularizer(1.0, layers=(3, 9)).value(stack)
    mean.lambda_ = 2.0
    assert mean.lambda_ == 2.0 and mean.reduction == "mean" and mean.stop_gradient == "none"


def test_weights_of_jreg():
    weights = layerwise.jreg_regularizer(1.0, 0.5).weights(4)
    expected = np.exp(0.5 * np.arange(4))
    assert weights == pytest.approx(expected / expected.sum())
    assert layerwise.jreg_regularizer(1.0, math.inf).weights(3) == [0, 0, 1]


@pytest.mark.parametrize("residual", [False, True])
def test_gradients_of_linearity(stack, residual):
    function = layerwise.residual_linearity_and_gradient if residual else layerwise.linearity_and_gradient
    reference = ref.residual_linearity if residual else ref.linearity
    x, y = stack[:2]
    result, of_x, of_y = function(x, y, 3.0)
    assert result.score == pytest.approx(reference(x, y), abs=1e-12)
    assert of_x.shape == x.shape and of_y.shape == y.shape
    for side, gradient in enumerate((of_x, of_y)):
        slope = difference(lambda pair: 3 * reference(*pair), [x, y], side, (2, 11, 4))
        assert gradient[2, 11, 4] == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_schedules():
    line = layerwise.linear_schedule(from_=1.0, to=3.0, begin=10, end=20)
    assert [line(step) for step in (0, 10, 15, 20, 99)] == [1, 1, 2, 3, 3]
    slant = layerwise.slanted_triangular_schedule(most=0.1, steps=100, cut_fraction=0.1, ratio=32)
    assert slant(10) == pytest.approx(0.1) and slant(0) == pytest.approx(0.1 / 32)
    assert slant(55) == pytest.approx(0.1 * (1 + 0.5 * 31) / 32)
