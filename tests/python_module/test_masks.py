"""Attention masks: which tokens take part, and what is no mask."""

import layerwise
import numpy as np
import pytest

LENGTHS = [40, 25, 1]


def left(tokens, length):
    return np.arange(tokens) >= tokens - length


def right(tokens, length):
    return np.arange(tokens) < length


def with_holes(tokens, length):
    return (np.arange(tokens) * 7 + length) % 3 > 0


@pytest.mark.parametrize("dtype", [bool, np.int64, np.int32, np.uint8, np.float32, np.float64, np.float16])
@pytest.mark.parametrize("padding", [left, right, with_holes])
def test_a_mask_leaves_rows_out(stack, padding, dtype):
    mask = np.stack([padding(40, length) for length in LENGTHS])
    for layer in stack:
        layer[~mask] = np.nan  # nobody looks at them
    kept = [layer[mask] for layer in stack]
    masked = layerwise.profile(stack, attention_mask=mask.astype(dtype))
    assert masked.to_dict() == layerwise.profile(kept).to_dict()
    assert masked.tokens == mask.sum()
    flat = [layer.reshape(-1, 12) for layer in stack]
    assert layerwise.profile(flat, mask.astype(dtype)).to_dict() == masked.to_dict()
    assert layerwise.profile(flat, mask.astype(dtype).ravel()).to_dict() == masked.to_dict()
    assert layerwise.profile(stack, mask.astype(dtype).ravel()).to_dict() == masked.to_dict()
    profiler = layerwise.Profiler()
    profiler.add(stack, mask.astype(dtype))
    assert profiler.tokens == mask.sum()
    assert layerwise.linear_cka(stack[0], stack[1], attention_mask=mask) == layerwise.linear_cka(*kept[:2])
    assert layerwise.effective_rank(stack[0], attention_mask=mask) == layerwise.effective_rank(kept[0])


def test_a_mask_with_strides(stack):
    mask = np.stack([right(40, length) for length in LENGTHS])
    expected = layerwise.profile(stack, mask).to_dict()
    assert layerwise.profile(stack, np.asfortranarray(mask)).to_dict() == expected
    assert layerwise.profile(stack, np.repeat(mask, 2, axis=1)[:, ::2]).to_dict() == expected


@pytest.mark.parametrize("value", [2, -1, 0.5, -np.inf, np.nan, -10000.0])
def test_what_is_neither_0_nor_1_is_refused_with_its_place(stack, value):
    mask = np.ones((3, 40))
    mask[1, 2] = value
    with pytest.raises(layerwise.OptionError, match="attention_mask, row 42") as raised:
        layerwise.profile(stack, mask)
    assert (raised.value.operand, raised.value.row) == ("attention_mask", 42)


@pytest.mark.parametrize("shape", [(40, 3), (119,), (3, 41), (3, 40, 1), (1, 3, 1, 40), (120, 1), ()])
def test_a_mask_of_another_shape_is_a_shape_error(stack, shape):
    with pytest.raises(layerwise.ShapeError, match="attention_mask"):
        layerwise.profile(stack, np.ones(shape))


@pytest.mark.parametrize("mask", [[1, 1], "mask", np.ones((3, 40), dtype=complex), np.ones((3, 40), dtype=object)])
def test_what_is_no_array_of_numbers_is_a_type_error(stack, mask):
    with pytest.raises(TypeError, match="attention_mask"):
        layerwise.profile(stack, mask)


def test_a_mask_that_keeps_nothing(stack):
    with pytest.raises(layerwise.DegenerateInputError):
        layerwise.profile(stack, np.zeros((3, 40)))
