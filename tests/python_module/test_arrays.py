"""What is read as a matrix, in place, and what is refused."""

import array as python_array

import layerwise
import numpy as np
import pytest


@pytest.fixture
def pair(rng):
    return rng.standard_normal((50, 8)), rng.standard_normal((50, 8))


def score(x, y):
    return layerwise.linearity_score(x, y)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_scalar_types_are_read_exactly(pair, dtype):
    x, y = (side.astype(dtype) for side in pair)
    assert score(x, y) == score(x.astype(np.float64), y.astype(np.float64))


def test_bfloat16_of_ml_dtypes(pair):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    x, y = (side.astype(ml_dtypes.bfloat16) for side in pair)
    assert score(x, y) == score(x.astype(np.float64), y.astype(np.float64))
    assert score(x[::2], y[::2]) == score(x[::2].astype(np.float64), y[::2].astype(np.float64))


LAYOUTS = {
    "fortran": np.asfortranarray,
    "rows apart": lambda m: np.repeat(m, 2, axis=0)[::2],
    "columns apart": lambda m: np.repeat(m, 3, axis=1)[:, ::3],
    "backwards": lambda m: np.ascontiguousarray(m[::-1, ::-1])[::-1, ::-1],
    "transposed": lambda m: np.ascontiguousarray(m.T).T,
    "unaligned": lambda m: unaligned(m),
    "readonly": lambda m: readonly(m),
    "a subclass": lambda m: m.view(type("subclass", (np.ndarray,), {})),
    "memoryview": memoryview,
}


def unaligned(m):
    packed = np.zeros(m.shape, dtype=[("flag", "i1"), ("value", m.dtype)])
    packed["value"] = m
    assert not packed["value"].flags.aligned
    return packed["value"]


def readonly(m):
    m = m.copy()
    m.flags.writeable = False
    return m


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_layouts(pair, layout, dtype):
    x, y = (side.astype(dtype) for side in pair)
    assert score(LAYOUTS[layout](x), LAYOUTS[layout](y)) == score(x, y)


def test_a_broadcast_array(rng):
    row, y = rng.standard_normal((1, 8)), rng.standard_normal((6, 8))
    x = np.broadcast_to(row, (6, 8))
    assert x.strides[0] == 0
    assert np.array_equal(layerwise.displacement(x, y), layerwise.displacement(x.copy(), y))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_sequences_in_any_order_of_axes(rng, order):
    x, y = rng.standard_normal((2, 3, 5, 4))

    def ordered(m):
        return np.ascontiguousarray(m.transpose(order)).transpose(np.argsort(order))

    assert ordered(x).shape == x.shape
    flat = layerwise.displacement(x.reshape(15, 4), y.reshape(15, 4))
    assert np.array_equal(layerwise.displacement(ordered(x), ordered(y)[:, ::1]), flat)
    assert np.array_equal(layerwise.displacement(np.repeat(x, 2, axis=1)[:, ::2], y), flat)


def test_sequences_of_other_sizes_are_not_paired(rng):
    x = rng.standard_normal((2, 10, 4))
    with pytest.raises(layerwise.ShapeError, match=r"2 x 10 tokens.*10 x 2 x 4.*y"):
        layerwise.linearity_score(x, x.reshape(10, 2, 4))
    with pytest.raises(layerwise.ShapeError, match=r"hidden_states\[2\]"):
        layerwise.profile([x, x.reshape(20, 4), x.reshape(10, 2, 4)])
    assert layerwise.linearity_score(x, x.reshape(20, 4) + 1) == pytest.approx(1)


def test_nothing_is_copied(rng):
    x = rng.standard_normal((4, 3)).astype(np.float32)
    profiler = layerwise.Profiler(linearity=False)
    before = x.copy()
    profiler.add([x, x + 1])
    assert np.array_equal(x, before)


REFUSED = {
    "a list of numbers": [[1.0, 2.0], [3.0, 4.0]],
    "nothing": None,
    "a string": "hidden states",
    "bytes": b"12345678",
    "integers": np.ones((3, 2), dtype=np.int64),
    "bools": np.ones((3, 2), dtype=bool),
    "complex numbers": np.ones((3, 2), dtype=np.complex128),
    "long doubles": np.ones((3, 2), dtype=np.longdouble),
    "objects": np.array([[1.0, None]], dtype=object),
    "a mask of its own": np.ma.masked_array(np.ones((3, 2)), mask=np.eye(3, 2)),
    "a dict": {"a": 1},
    "the other byte order": np.ones((3, 2), dtype=np.dtype(np.float32).newbyteorder()),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_array_of_floats_is_a_type_error_that_says_what_came(what):
    value = REFUSED[what]
    good = np.ones((3, 2))
    with pytest.raises(TypeError) as raised:
        layerwise.displacement(good, value)
    name = "None" if value is None else type(value).__name__
    assert name in str(raised.value) and "(after)" in str(raised.value)
    if hasattr(value, "dtype"):
        assert str(value.dtype) in str(raised.value)
    if value is None or what == "a list of numbers":
        return  # a list may be one of layers
    with pytest.raises(TypeError, match=r"hidden_states\[1\]"):
        layerwise.profile([good, value])


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2, 2)])
def test_other_ranks_are_shape_errors(shape):
    with pytest.raises(layerwise.ShapeError, match="x"):
        layerwise.displacement(np.ones(shape), np.ones((2, 2)))
    with pytest.raises(layerwise.ShapeError, match=r"hidden_states\[1\]"):
        layerwise.profile([np.ones((3, 2)), np.ones(shape)])


def test_the_buffer_protocol_alone_will_do(rng):
    x = rng.standard_normal((5, 4))
    plain = memoryview(python_array.array("d", x.ravel())).cast("B").cast("d", (5, 4))
    assert np.array_equal(layerwise.row_norms(plain), layerwise.row_norms(x))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (2, 0, 4), (0, 3, 4), (2, 3, 0)])
def test_empty_arrays_are_degenerate_input(shape):
    with pytest.raises(layerwise.DegenerateInputError):
        layerwise.displacement(np.ones(shape), np.ones(shape))
    with pytest.raises(layerwise.DegenerateInputError):
        layerwise.profile([np.ones(shape), np.ones(shape)])


def test_one_row_and_one_column(rng):
    x, y = rng.standard_normal((2, 1, 8))
    assert layerwise.displacement(x, y).shape == (1,)
    assert layerwise.displacement(x.T, y.T).shape == (8,)
    assert layerwise.displacement(x[None], y[None]).shape == (1,)


def test_an_array_of_layers_is_a_list_of_them(stack):
    together = np.stack(stack)
    by_list = layerwise.profile(stack).to_dict()
    assert layerwise.profile(together).to_dict() == by_list
    assert layerwise.profile(tuple(stack)).to_dict() == by_list
    assert layerwise.profile(together.reshape(5, 120, 12)).to_dict() == by_list
    token_major = np.ascontiguousarray(together.transpose(1, 2, 0, 3)).transpose(2, 0, 1, 3)
    assert layerwise.profile(token_major).to_dict() == by_list
    mixed = [stack[0].reshape(120, 12), *stack[1:]]
    assert layerwise.profile(mixed).to_dict() == by_list


@pytest.mark.parametrize("value", [np.ones((3, 2)), np.ones((2, 2, 2, 2, 2)), np.ones(4)])
def test_hidden_states_of_another_rank(value):
    with pytest.raises(layerwise.ShapeError, match="hidden_states"):
        layerwise.profile(value)


@pytest.mark.parametrize("value", [{"h": 1}, None, "abc", 3, iter([])])
def test_hidden_states_that_are_none(value):
    with pytest.raises(TypeError, match="hidden_states"):
        layerwise.profile(value)
