"""The regularizers and linearities that torch differentiates."""

import layerwise
import pytest


@pytest.fixture
def functions(torch):
    import layerwise.torch as functions

    return functions


@pytest.fixture
def states(torch):
    generator = torch.Generator().manual_seed(5)

    def normal(*sizes):
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    layers = [normal(2, 6, 4) + 0.5]
    for _ in range(3):
        layers.append(layers[-1] + 0.5 * normal(2, 6, 4))
    return [layer.requires_grad_() for layer in layers]


def test_regularizers_pass_gradcheck(torch, functions, states):
    mask = torch.ones(2, 6)
    mask[1, 4:] = 0
    for function, options in (
        (functions.mse_regularizer, {}),
        (functions.mse_regularizer, {"reduction": "sum", "layers": (2, 3)}),
        (functions.cosine_regularizer, {}),
        (functions.jreg_regularizer, {"alpha": 0.7}),
    ):
        for attention_mask in (None, mask):
            assert torch.autograd.gradcheck(
                lambda *h: function(h, 0.3, attention_mask=attention_mask, **options), states
            )


@pytest.mark.parametrize("residual", [False, True])
def test_linearities_pass_gradcheck(torch, functions, states, residual):
    function = functions.residual_linearity if residual else functions.linearity
    assert torch.autograd.gradcheck(function, states[:2])
    assert torch.autograd.gradcheck(lambda x, y: function(x, y, centering="none"), states[1:3])
    assert torch.autograd.gradcheck(lambda x: function(x, states[1].detach()), states[:1])


def test_values_are_those_of_the_core(functions, states):
    for regularizer in (layerwise.mse_regularizer(0.4), layerwise.jreg_regularizer(0.4, 2.0)):
        assert functions.penalty(regularizer, states).item() == regularizer.value(states)
    assert functions.linearity(*states[:2]).item() == layerwise.linearity_score(*states[:2])


def test_only_what_is_asked_for_gets_gradients(torch, functions, states):
    some = [states[0], states[1].detach(), *states[2:]]
    (2 * functions.cosine_regularizer(some, 0.3)).backward()
    _, gradients = layerwise.cosine_regularizer(0.6).value_and_gradient(states)
    assert states[1].grad is None
    for layer in (0, 2, 3):
        assert torch.allclose(states[layer].grad, torch.from_numpy(gradients[layer]), rtol=1e-13)
    with torch.no_grad():
        assert not functions.cosine_regularizer(states, 0.3).requires_grad


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_gradients_have_the_type_of_their_tensor(torch, functions, states, dtype):
    dtype = getattr(torch, dtype)
    layers = [layer.detach().to(dtype).requires_grad_() for layer in states]
    value = functions.mse_regularizer(layers, 0.3)
    assert value.dtype == torch.float32
    value.backward()
    assert all(layer.grad.dtype == dtype for layer in layers)
    exact = [layer.detach().double().requires_grad_() for layer in layers]
    functions.mse_regularizer(exact, 0.3).backward()
    for mine, theirs in zip(layers, exact):
        assert torch.allclose(mine.grad.double(), theirs.grad, rtol=2e-2 if dtype == torch.bfloat16 else 2e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gradients_of_a_scaled_loss_are_rounded_last(torch, functions, dtype):
    dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(9)
    layers = [torch.randn(4000, 64, generator=generator).to(dtype).requires_grad_() for _ in range(3)]
    exact = [layer.detach().double().requires_grad_() for layer in layers]
    for scale in (2.0**14, 2.0**17):
        for states in (layers, exact):
            for layer in states:
                layer.grad = None
            (functions.cosine_regularizer(states, 0.001) * scale).backward()
        for mine, theirs in zip(layers, exact):
            # Half a unit in the last place, and below the normal numbers half of the smallest one.
            unit = torch.finfo(dtype).eps
            error = (mine.grad.double() - theirs.grad).abs()
            assert (error <= 0.51 * unit * theirs.grad.abs() + 0.51 * unit * torch.finfo(dtype).tiny).all()
            assert mine.grad.count_nonzero() > 0


@pytest.mark.parametrize("scale", [2.0**17, 2.0**24])
def test_a_scale_beyond_float16_is_no_infinity(torch, functions, scale):
    states = [torch.full((8, 4), value, dtype=torch.float16, requires_grad=True) for value in (1.0, 2.0)]
    (functions.mse_regularizer(states, 1e-4) * scale).backward()
    exact = [state.detach().double().requires_grad_() for state in states]
    (functions.mse_regularizer(exact, 1e-4) * scale).backward()
    assert states[0].grad.isfinite().all()
    assert torch.allclose(states[0].grad.double(), exact[0].grad, rtol=1e-3)


@pytest.mark.parametrize("function", ["mse_regularizer", "linearity"])
def test_the_second_derivative_is_refused(torch, functions, states, function):
    x = states[0].detach().requires_grad_()
    value = functions.linearity(x * x, states[1]) if function == "linearity" else functions.mse_regularizer(
        [x * x, states[1]], 0.3
    )
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(value, [x], create_graph=True)


def test_no_gradient_is_computed_that_is_not_asked_for(torch, functions, states, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a gradient was computed")

    monkeypatch.setattr(layerwise, "linearity_and_gradient", fail)
    x, y = states[:2]
    with torch.no_grad():
        assert functions.linearity(x, y).item() == layerwise.linearity_score(x, y)
    value = functions.linearity(x.detach(), y.detach())
    assert not value.requires_grad and value.item() == layerwise.linearity_score(x, y)
    with pytest.raises(AssertionError):
        functions.linearity(x, y)

    class Regularizer:
        value = staticmethod(layerwise.mse_regularizer(0.3).value)
        value_and_gradient = staticmethod(fail)

    with torch.no_grad():
        assert functions.penalty(Regularizer, states).item() == layerwise.mse_regularizer(0.3).value(states)


def test_layers_of_different_types(torch, functions, states):
    dtypes = (torch.float16, torch.float32, torch.float64, torch.bfloat16)
    layers = [layer.detach().to(dtype).requires_grad_() for layer, dtype in zip(states, dtypes)]
    value = functions.mse_regularizer(layers, 0.3)
    assert value.dtype == torch.float64 and value.item() == layerwise.mse_regularizer(0.3).value(layers)
    value.backward()
    assert tuple(layer.grad.dtype for layer in layers) == dtypes
    _, gradients = layerwise.mse_regularizer(0.3).value_and_gradient(layers)
    for layer, gradient in zip(layers, gradients):
        assert torch.equal(layer.grad, torch.from_numpy(gradient).to(layer.dtype))


def test_what_is_no_tensor_is_named(functions, states):
    with pytest.raises(TypeError, match=r"got ndarray \(x\)"):
        functions.linearity(states[0].detach().numpy(), states[1])
    with pytest.raises(TypeError, match=r"got list \(after\)"):
        functions.residual_linearity(states[0], [1.0])
    with pytest.raises(TypeError, match=r"got ndarray \(hidden_states\[1\]\)"):
        functions.mse_regularizer([states[0], states[1].detach().numpy()], 0.3)
    with pytest.raises(TypeError, match="factor"):
        functions.linearity(*states[:2], factor=2.0)


def test_errors_come_through(functions, states):
    for some in (states[:1], []):
        with pytest.raises(layerwise.ShapeError):
            functions.mse_regularizer(some, 0.3)
    with pytest.raises(layerwise.OptionError):
        functions.linearity(*states[:2], tolerance=-1.0)
