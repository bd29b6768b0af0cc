"""Profiles of Hugging Face models as they run, and the regularizers and linearities as functions that torch
differentiates.

    with layerwise.torch.watch(model) as profiler:
        model(**batch)
    print(profiler.profile())
"""

import contextlib
import functools
import inspect

import torch

import layerwise


@contextlib.contextmanager
def watch(model, skip_first=0, profiler=None, **options):
    """Hooks that profile a decoder while it runs, without output_hidden_states; they go with the context.

    h_0 is what the first block is given, h_l what block l returns, before the final normalization. A layer is copied to
    the CPU when it is there, and all are added when the last block is done: a call of the model is a batch, a step of a
    cached generation, too. Tokens that the call's attention_mask leaves out take no part, nor do the first `skip_first`
    tokens of each sequence (of the first step). profiler: one to add to; options: those of layerwise.Profiler.

    A call that fails adds nothing. Raises ValueError for a model whose blocks cannot be told.
    """
    if profiler is None:
        profiler = layerwise.Profiler(**{"final_norm": "before", **options})
    elif options:
        raise TypeError("watch() takes a profiler or the options of a new one, not both")
    recorder = _Recorder(profiler, skip_first)
    hooks = []
    try:
        hooks.append(model.register_forward_pre_hook(recorder.model_called, with_kwargs=True))
        blocks = find_blocks(model)
        hooks.append(blocks[0].register_forward_pre_hook(recorder.first_block_called, with_kwargs=True))
        for number, block in enumerate(blocks):
            last = number == len(blocks) - 1
            hooks.append(block.register_forward_hook(recorder.block_returned(last)))
        yield profiler
    finally:
        for hook in hooks:
            hook.remove()


def find_blocks(model):
    """The list of a model's blocks: the one ModuleList as long as its config says that there are layers."""
    config = getattr(model, "config", None)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    count = getattr(config, "num_hidden_layers", None)
    if count is None:
        raise ValueError(f"layerwise: expected a model with config.num_hidden_layers, got {type(model).__name__}")
    lists = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)}
    found = {name: blocks for name, blocks in lists.items() if len(blocks) == count}
    if len(found) != 1:
        lengths = ", ".join(f"{name} of {len(blocks)}" for name, blocks in lists.items()) or "none"
        raise ValueError(f"layerwise: expected one list of {count} blocks in {type(model).__name__}, got {lengths}")
    return next(iter(found.values()))


class _Recorder:
    """The layers of the call that is running."""

    def __init__(self, profiler, skip_first):
        self.profiler, self.skip_first = profiler, skip_first
        self.layers, self.mask, self.cached = [], None, 0

    def model_called(self, model, inputs, named):
        self.layers = []  # those of a call that failed are gone
        arguments = {**inspect.signature(model.forward).bind_partial(*inputs).arguments, **named}
        self.mask = arguments.get("attention_mask")
        self.cached = _cached_tokens(arguments)

    def first_block_called(self, block, inputs, named):
        states = inputs[0] if inputs else named.get("hidden_states")
        if not isinstance(states, torch.Tensor) or states.dim() != 3:
            raise ValueError(
                f"layerwise: expected a block that is given [sequence][token][dim], {type(block).__name__} was given "
                f"{tuple(states.shape) if isinstance(states, torch.Tensor) else type(states).__name__}"
            )
        self._keep(states)

    def block_returned(self, last):
        def hook(block, inputs, output):
            self._keep(output[0] if isinstance(output, (tuple, list)) else output)
            if last:
                layers, self.layers = self.layers, []
                self.profiler.add(layers, self._mask_of(layers[0]))

        return hook

    def _keep(self, states):
        # A copy even on the CPU: models may write to their states.
        self.layers.append(states.detach().to("cpu", copy=True))

    def _mask_of(self, states):
        """Of the tokens of this step, which are the last ones of the mask."""
        sequences, tokens = states.shape[:2]
        keep = torch.ones(sequences, tokens, dtype=torch.bool)
        if self.mask is not None:
            mask = self.mask
            if isinstance(mask, dict) or mask.dim() != 2:
                raise ValueError("layerwise: expected an attention_mask [sequence][token] of 0 and 1, got another one")
            keep = mask.detach().to("cpu")[:, -tokens:].bool()
            order = mask.detach().to("cpu").long().cumsum(1)[:, -tokens:]  # 1 is a sequence's first token
        else:
            order = torch.arange(1, tokens + 1).expand(sequences, tokens) + self.cached
        return keep & (order > self.skip_first)


def _cached_tokens(arguments):
    """How many tokens a call is preceded by: its cache tells, whatever the name it has among the arguments."""
    for value in arguments.values():
        if hasattr(value, "get_seq_length"):
            return int(value.get_seq_length())
    past = arguments.get("past_key_values")  # a tuple of older models
    return int(past[0][0].shape[-2]) if past else 0


class _Value(torch.autograd.Function):
    """A value of the core. Its gradients are taken with it, in float32 at least, where they will be asked for."""

    @staticmethod
    def forward(ctx, value, value_and_gradients, differentiable, *tensors):
        dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)
        needed = ctx.needs_input_grad[3:]
        if not (differentiable and any(needed)):
            return torch.tensor(value(), dtype=dtype, device=tensors[0].device)
        result, gradients = value_and_gradients()
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        ctx.save_for_backward(
            *(
                torch.from_numpy(gradient).to(tensor.device, torch.promote_types(tensor.dtype, torch.float32))
                for gradient, tensor, need in zip(gradients, tensors, needed)
                if need
            )
        )
        return torch.tensor(result, dtype=dtype, device=tensors[0].device)

    @staticmethod
    def backward(ctx, factor):
        if torch.is_grad_enabled():
            raise RuntimeError("layerwise: no second derivative (create_graph=True)")
        gradients = iter(ctx.saved_tensors)
        out = [None, None, None]
        for dtype, need in zip(ctx.dtypes, ctx.needs_input_grad[3:]):
            # The factor of a scaled loss may be beyond float16, and the gradient below it: rounded last.
            gradient = next(gradients) if need else None
            out.append((factor.to(gradient) * gradient).to(dtype) if need else None)
        return tuple(out)


def _tensors(inputs, names):
    for tensor, name in zip(inputs, names):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"layerwise: expected a tensor of torch, got {type(tensor).__name__} ({name})")
    return inputs


def penalty(regularizer, hidden_states, attention_mask=None):
    """regularizer.value(hidden_states, attention_mask), which torch differentiates: a layerwise.mse_regularizer,
    cosine_regularizer or jreg_regularizer of a list of tensors, of any device; the work is done on the CPU."""
    states = list(hidden_states)
    _tensors(states, (f"hidden_states[{layer}]" for layer in range(len(states))))
    if not states:
        raise layerwise.ShapeError("layerwise: expected hidden states, got none")

    return _Value.apply(
        lambda: regularizer.value(states, attention_mask),
        lambda: regularizer.value_and_gradient(states, attention_mask),
        torch.is_grad_enabled(),
        *states,
    )


def mse_regularizer(hidden_states, lambda_, attention_mask=None, **options):
    """penalty() of a layerwise.mse_regularizer(lambda_, **options)."""
    return penalty(layerwise.mse_regularizer(lambda_, **options), hidden_states, attention_mask)


def cosine_regularizer(hidden_states, lambda_, attention_mask=None, **options):
    """penalty() of a layerwise.cosine_regularizer(lambda_, **options)."""
    return penalty(layerwise.cosine_regularizer(lambda_, **options), hidden_states, attention_mask)


def jreg_regularizer(hidden_states, lambda_, alpha, attention_mask=None, **options):
    """penalty() of a layerwise.jreg_regularizer(lambda_, alpha, **options)."""
    return penalty(layerwise.jreg_regularizer(lambda_, alpha, **options), hidden_states, attention_mask)


def _score(names, pair, plain, with_gradient, options):
    def value_and_gradients():
        result, *gradients = with_gradient(*pair, **options)
        return result.score, gradients

    if "factor" in options:
        raise TypeError("layerwise: no option of this function: factor (multiply what it returns)")
    _tensors(pair, names)
    return _Value.apply(lambda: plain(*pair, **options), value_and_gradients, torch.is_grad_enabled(), *pair)


def linearity(x, y, **options):
    """layerwise.linearity_score(x, y, **options), which torch differentiates with respect to both."""
    return _score(("x", "y"), (x, y), layerwise.linearity_score, layerwise.linearity_and_gradient, options)


def residual_linearity(before, after, **options):
    """layerwise.residual_linearity_score(before, after, **options), which torch differentiates with respect to both."""
    return _score(
        ("before", "after"),
        (before, after),
        layerwise.residual_linearity_score,
        layerwise.residual_linearity_and_gradient,
        options,
    )
