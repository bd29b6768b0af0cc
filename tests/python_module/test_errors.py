"""Errors are ValueErrors with their place; nothing else escapes."""

import copy
import pickle

import layerwise
import numpy as np
import pytest


def test_the_hierarchy():
    for name in ("ShapeError", "OptionError", "NonFiniteError", "DegenerateInputError", "UnsupportedError"):
        error = getattr(layerwise, name)
        assert issubclass(error, layerwise.Error) and error.__module__ == "layerwise"
    assert issubclass(layerwise.Error, ValueError)


def test_the_place_of_a_nan(stack):
    stack[2][1, 3, 5] = np.nan
    with pytest.raises(layerwise.NonFiniteError) as raised:
        layerwise.profile(stack)
    error = raised.value
    assert (error.operand, error.layer, error.row, error.column) == ("hidden_states", 2, 43, 5)
    assert "expected finite values, got nan (hidden_states, layer 2, row 43, column 5)" in str(error)


def test_parts_of_a_place_that_are_not_known_are_none():
    with pytest.raises(layerwise.DegenerateInputError) as raised:
        layerwise.displacement(np.ones((3, 2)), np.zeros((3, 2)))
    error = raised.value
    assert (error.operand, error.layer, error.row, error.column) == ("after", None, 0, None)


def test_errors_are_pickled_with_their_place():
    with pytest.raises(layerwise.ShapeError) as raised:
        layerwise.displacement(np.ones((3, 2)), np.ones((2, 2)))
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is layerwise.ShapeError and str(again) == str(raised.value)
    assert again.operand == raised.value.operand == "after"
    assert copy.copy(again).operand == "after"


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("centering", "rows", "columns, none"),
        ("method", "qr", "automatic, cholesky, orthogonal, rank_revealing"),
        ("final_norm", "maybe", "unspecified, before, after"),
    ],
)
def test_an_unknown_word_lists_the_known_ones(stack, option, value, words):
    with pytest.raises(layerwise.OptionError, match=f"one of {words}, got {value} .{option}"):
        layerwise.profile(stack, **{option: value})


def test_a_bad_tolerance(stack):
    with pytest.raises(layerwise.OptionError):
        layerwise.profile(stack, tolerance=-1.0)


def test_unknown_options_are_type_errors(stack):
    with pytest.raises(TypeError):
        layerwise.profile(stack, centring="columns")


@pytest.mark.parametrize("threads", [0, -3])
def test_threads(threads):
    with pytest.raises(layerwise.OptionError):
        layerwise.set_num_threads(threads)
