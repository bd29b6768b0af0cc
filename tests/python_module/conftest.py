"""Data, and what a test of torch does where there is none."""

import os

import numpy
import pytest

TORCH_EXPECTED = os.environ.get("LAYERWISE_TEST_TORCH") == "1"


@pytest.fixture
def rng():
    return numpy.random.default_rng(20261126)


@pytest.fixture
def stack(rng):
    """h_0 ... h_4 of a small residual network, 3 sequences of 40 tokens, 12 dimensions, float64."""
    states = [rng.standard_normal((3, 40, 12)) + 0.5]
    for _ in range(4):
        weight = rng.standard_normal((12, 12)) * 0.3
        states.append(states[-1] + numpy.tanh(states[-1] @ weight))
    return states


def import_or_skip(module):
    if TORCH_EXPECTED:
        return __import__(module)
    return pytest.importorskip(module, reason=f"{module} is not installed (LAYERWISE_TEST_TORCH=1 makes this an error)")


@pytest.fixture
def torch():
    return import_or_skip("torch")


@pytest.fixture
def transformers():
    return import_or_skip("transformers")
