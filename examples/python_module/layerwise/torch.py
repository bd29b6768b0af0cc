"""Profiles of Hugging Face models as they run, and the regularizers and linearities as functions that torch
differentiates.

    with layerwise.torch.watch(model) as profiler:
        model(**batch)
    print(profiler.profile())
"""

import contextlib
import functools
import inspect
import threading
import warnings

import torch

import layerwise


# What models call the normalization after their last block.
_FINAL_NORMS = ("norm", "norm_f", "ln_f", "final_norm", "final_layer_norm", "final_layernorm")


@contextlib.contextmanager
def watch(model, skip_first=0, profiler=None, **options):
    """Hooks that profile a decoder while it runs, without output_hidden_states; they go with the context.

    h_0 is what the first block is given, h_l what block l returns, before the final normalization. A layer is copied to
    the CPU when it is there, and all are added when the last block is done: a call of the model is a batch, a step of a
    cached generation, too. Tokens that the call's attention_mask leaves out take no part, nor do the first `skip_first`
    tokens of each sequence (of the first step). profiler: one to add to; options: those of layerwise.Profiler.

    A call is one of the model or of a module in it that runs all blocks; several threads may call it. Blocks that run
    outside of one, as a checkpoint's are when it computes them anew, take no part, and a call that fails adds nothing.
    Raises ValueError for a model that is compiled or whose blocks cannot be told; warns where nothing was added.
    """
    if profiler is not None and options:
        raise TypeError("watch() takes a profiler or the options of a new one, not both")
    callers, blocks = _parts(model)
    if profiler is None:
        final_norm = "before" if _has_final_norm(callers[-1]) else "unspecified"
        profiler = layerwise.Profiler(**{"final_norm": final_norm, **options})
    recorder = _Recorder(profiler, skip_first)
    hooks = []
    try:
        for caller in callers:
            hooks.append(caller.register_forward_pre_hook(recorder.called, with_kwargs=True))
            hooks.append(caller.register_forward_hook(recorder.returned, always_call=True))
        hooks.append(blocks[0].register_forward_pre_hook(recorder.first_block_called, with_kwargs=True))
        for number, block in enumerate(blocks):
            last = number == len(blocks) - 1
            hooks.append(block.register_forward_hook(recorder.block_returned(number, last)))
        yield profiler
        if not recorder.added:
            warnings.warn(f"layerwise: {type(model).__name__} was not seen to run: nothing was added", stacklevel=3)
    finally:
        for hook in hooks:
            hook.remove()


def find_blocks(model):
    """The list of a model's blocks: the one ModuleList as long as its config says that there are layers."""
    return _parts(model)[1]


def _parts(model):
    """The modules that lead to the blocks, from the model to their owner, and the blocks."""
    kind = type(model).__name__
    if hasattr(model, "_orig_mod"):
        raise ValueError(f"layerwise: expected a model that is not compiled, got {kind}: compiled code runs no hooks")
    name, blocks = _find(model, kind)
    path = name.split(".")[:-1]
    callers = [model.get_submodule(".".join(path[:length])) for length in range(len(path) + 1)]
    for module in (*callers, *blocks):
        if getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod"):
            raise ValueError(f"layerwise: expected a model that is not compiled, its {type(module).__name__} is")
    return callers, blocks


def _find(model, kind):
    config = getattr(model, "config", None)
    both = getattr(config, "is_encoder_decoder", False)
    ends = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if both and {"encoder", "decoder"} <= ends:
        raise ValueError(f"layerwise: {kind} is an encoder and a decoder: watch(model.get_decoder()), or the encoder")
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    # One config may serve an encoder and a decoder.
    names = ("num_hidden_layers", "encoder_layers", "decoder_layers") if both else ("num_hidden_layers",)
    counts = {getattr(config, name) for name in names if hasattr(config, name)}
    if not counts:
        raise ValueError(f"layerwise: expected a model with config.num_hidden_layers, got {kind}")
    lists = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.ModuleList)}
    found = [(name, blocks) for name, blocks in lists.items() if len(blocks) in counts]
    within = tuple(f"{name}." for name, _ in found)  # a list within a block is not that of the blocks
    found = [(name, blocks) for name, blocks in found if not name.startswith(within)]
    if len(found) != 1:
        lengths = ", ".join(f"{name} of {len(blocks)}" for name, blocks in lists.items()) or "none"
        expected = " or ".join(map(str, sorted(counts)))
        raise ValueError(f"layerwise: expected one list of {expected} blocks in {kind}, got {lengths}")
    return found[0]


def _has_final_norm(owner):
    return any(name in _FINAL_NORMS and module is not None for name, module in owner.named_children())


class _Running(threading.local):
    """A thread's calls, from the outermost to the innermost, as (module, arguments), and the layers of the last one."""

    def __init__(self):
        self.calls, self.layers, self.keep = [], [], None


class _Recorder:
    def __init__(self, profiler, skip_first):
        self.profiler, self.skip_first, self.added = profiler, skip_first, False
        self.running = _Running()

    def called(self, module, inputs, named):
        arguments = {**inspect.signature(module.forward).bind_partial(*inputs).arguments, **named}
        self.running.calls.append((module, arguments))

    def returned(self, module, inputs, output):
        now = self.running
        if now.calls and now.calls[-1][0] is module:
            now.calls.pop()
        if not now.calls:
            now.layers, now.keep = [], None  # those of a call that failed

    def first_block_called(self, block, inputs, named):
        now = self.running
        now.layers = []
        if not now.calls:
            return
        states = inputs[0] if inputs else named.get("hidden_states")
        if not isinstance(states, torch.Tensor) or states.dim() != 3:
            raise ValueError(
                f"layerwise: expected a block that is given [sequence][token][dim], {type(block).__name__} was given "
                f"{tuple(states.shape) if isinstance(states, torch.Tensor) else type(states).__name__}"
            )
        now.keep = self._kept(*states.shape[:2], [arguments for _, arguments in reversed(now.calls)])
        now.layers.append(_copy(states))

    def block_returned(self, number, last):
        def hook(block, inputs, output):
            now = self.running
            if len(now.layers) != number + 1:
                return  # not in a call, as of a checkpoint that is computed anew
            now.layers.append(_copy(output[0] if isinstance(output, (tuple, list)) else output))
            if last:
                layers, now.layers = now.layers, []
                self.profiler.add(layers, now.keep)
                self.added = True

        return hook

    def _kept(self, sequences, tokens, calls):
        """Which tokens of this step take part."""
        mask = _mask_of(calls)
        if mask is None and self.skip_first == 0:
            return None
        cached = _cached_tokens(calls)
        if mask is not None:
            keep, order = _read_mask(mask, sequences, tokens, cached)
        elif cached is None:
            raise ValueError("layerwise: skip_first needs the number of tokens before these, the cache cannot tell it")
        else:
            keep, order = torch.ones(sequences, tokens, dtype=torch.bool), torch.arange(1, tokens + 1) + cached
        return keep & (order > self.skip_first)


def _copy(states):
    """On the CPU, a copy even there: models may write to their states."""
    return states.detach().to("cpu", copy=True)


def _mask_of(calls):
    """Of the innermost call with a mask of tokens, or else with any: a model prepares those of its blocks by itself."""
    masks = [call["attention_mask"] for call in calls if call.get("attention_mask") is not None]
    plain = [mask for mask in masks if isinstance(mask, torch.Tensor) and mask.dim() == 2]
    mask = next(iter(plain + masks), None)
    if isinstance(mask, dict):  # one for each kind of attention, None where all of the past is seen
        entries = list(mask.values())
        if any(entry is None for entry in entries):
            return None
        mask = max(entries, key=lambda entry: entry.shape[-1] if isinstance(entry, torch.Tensor) else 0, default=None)
    return mask


def _read_mask(mask, sequences, tokens, cached):
    """Which tokens of this step are kept, and their numbers, from 1, among a sequence's kept ones."""
    got = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, torch.Tensor) else type(mask).__name__
    refusal = ValueError(
        "layerwise: expected an attention_mask [sequence][token] of 0 and 1, or [sequence][1][token][token] of bool or "
        f"of 0 and negative numbers, for {sequences} sequences and {tokens} tokens, got {got}"
    )
    if not isinstance(mask, torch.Tensor) or mask.dim() not in (2, 4):
        raise refusal
    width = mask.shape[-1]
    if mask.shape[0] not in (1, sequences) or width < tokens or (mask.dim() == 4 and mask.shape[2] != tokens):
        raise refusal
    mask = mask.detach()
    # The columns of this step: after those of the cache, where a mask is as wide as a cache that is not yet full.
    start = width - tokens if cached is None else min(cached, width - tokens)
    columns = torch.arange(start, start + tokens, device=mask.device)
    if mask.dim() == 2:
        seen = mask != 0
        if not (mask[seen] == 1).all():
            raise refusal
        keep, order = seen[:, columns], seen.cumsum(1)[:, columns]
    else:
        seen = mask[:, 0] if mask.dtype == torch.bool else mask[:, 0] == 0
        if mask.dtype != torch.bool and not (mask.is_floating_point() and (mask <= 0).all()):
            raise refusal
        past = torch.arange(width, device=mask.device) <= columns[:, None]
        keep, order = seen[:, torch.arange(tokens, device=mask.device), columns], (seen & past).sum(2)
    before = 0 if cached is None else cached - start  # not in the mask
    return keep.expand(sequences, tokens).cpu(), order.expand(sequences, tokens).cpu() + before


def _cached_tokens(calls):
    """How many tokens a call is preceded by: its cache tells, whatever the name it has. None: it cannot."""
    for arguments in calls:
        for value in arguments.values():
            if hasattr(value, "get_seq_length"):
                try:
                    return int(value.get_seq_length())
                except ValueError:  # the states of a recurrence
                    return None
        if arguments.get("cache_params") is not None:  # the same, of older models
            return None
        past = arguments.get("past_key_values")  # a tuple of older models
        if past and past[0] is not None:
            return int(past[0][0].shape[-2])
    return 0


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
