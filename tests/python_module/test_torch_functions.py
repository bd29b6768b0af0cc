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


def test_the_second_derivative_is_refused(torch, functions, states):
    (gradient,) = torch.autograd.grad(functions.mse_regularizer(states, 0.3), states[:1], create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


def test_errors_come_through(functions, states):
    with pytest.raises(layerwise.ShapeError):
        functions.mse_regularizer(states[:1], 0.3)
    with pytest.raises(layerwise.OptionError):
        functions.linearity(*states[:2], tolerance=-1.0)
