"""Tensors of torch as arrays."""

import layerwise
import numpy as np
import pytest


@pytest.fixture
def pair(torch):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(30, 6, generator=generator, dtype=torch.float64) for _ in range(2)]


def expected(x, y):
    return layerwise.displacement(x.detach().double().numpy(), y.detach().double().numpy())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_scalar_types(torch, pair, dtype):
    x, y = (side.to(getattr(torch, dtype)) for side in pair)
    assert np.array_equal(layerwise.displacement(x, y), expected(x, y))
    gap = x.repeat_interleave(2, 1)[:, ::2]
    assert np.array_equal(layerwise.displacement(gap, y), expected(x, y))


def test_they_are_read_in_place(torch, pair):
    x, y = pair
    view = memoryview(x.numpy())
    assert np.array_equal(layerwise.displacement(x, y), layerwise.displacement(view, y))


def test_gradients_and_parameters(torch, pair):
    x, y = pair
    assert np.array_equal(layerwise.displacement(x.clone().requires_grad_(), torch.nn.Parameter(y)), expected(x, y))


def test_the_negative_bit_is_resolved(torch, pair):
    x, y = pair
    negative = torch.complex(torch.zeros_like(x), -x).conj().imag
    assert negative.is_neg()
    assert np.array_equal(layerwise.displacement(negative, y), expected(x, y))
    assert layerwise.displacement(torch._neg_view(x), x) == pytest.approx(np.ones(30))
    assert layerwise.displacement(x, x) == pytest.approx(np.zeros(30), abs=1e-15)


def test_expanded_and_transposed(torch, pair):
    x, y = pair
    row = x[:1].expand(30, 6)
    assert np.array_equal(layerwise.displacement(row, y), expected(row.contiguous(), y))
    assert np.array_equal(layerwise.displacement(x.T.contiguous().T, y), expected(x, y))


def test_hidden_states_and_masks(torch, stack):
    tensors = tuple(torch.from_numpy(layer) for layer in stack)
    assert layerwise.profile(tensors).to_dict() == layerwise.profile(stack).to_dict()
    assert layerwise.profile(torch.stack(tensors)).to_dict() == layerwise.profile(stack).to_dict()
    keep = np.arange(40) < np.array([[40], [7], [20]])
    for dtype in (torch.bool, torch.int64, torch.float32, torch.bfloat16):
        mask = torch.from_numpy(keep).to(dtype)
        assert layerwise.profile(tensors, mask).to_dict() == layerwise.profile(stack, keep).to_dict()


@pytest.mark.parametrize("what", ["meta", "integers", "complex", "sparse", "bool", "quantized", "fake"])
def test_what_cannot_be_read_is_a_type_error_that_says_what_came(torch, what):
    plain = torch.ones(3, 2)

    def fake():
        from torch._subclasses import FakeTensorMode

        with FakeTensorMode():
            return torch.ones(3, 2)

    made = {
        "meta": lambda: plain.to("meta"),
        "integers": lambda: plain.long(),
        "complex": lambda: plain.to(torch.complex64),
        "sparse": lambda: plain.to_sparse(),
        "bool": lambda: plain.bool(),
        "quantized": lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        "fake": fake,
    }
    said = {"meta": "on meta", "sparse": "torch.sparse_coo", "integers": "torch.int64", "complex": "torch.complex64"}
    with pytest.raises(TypeError, match=said.get(what, "Tensor") + r".*\(hidden_states\[1\]\)"):
        layerwise.profile([plain, made[what]()])
