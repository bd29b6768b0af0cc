"""Watches a model's blocks, to tell what its hidden states are, and finds the normalization after them.

Model classes call that norm, ln_f, final_layer_norm ..., keep it in one place or another, and some have none.
It is known by what it does: it lies outside the list of blocks, and it returns, or is given, the last hidden
state.
"""

import functools

import torch
from torch._subclasses import FakeTensor

from user_error import UserError


class UnknownStates(UserError):
    """The hidden states that came out of a model are not what its blocks were seen to be given."""


class BlockWatch:
    """Hooks on a model; use it as a context manager around its calls."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.hooks = []
        self._forget()
        self._add_hooks(self.model.base_model)
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def final_norm(self, states):
        """What the last call showed, given the hidden states h_0 ... h_L that came out of it.

        {"before": ..., "after": ...}, the states at the two ends of the final normalization; {} where the
        model has none, and h_L is what its last block returned; None where h_L is something else.
        """
        calls, norms = self.calls, self.norms
        self._forget()
        last_block = self._last_block(calls.values(), states)
        for given, returned in reversed(norms):
            if same(returned, states[-1]) or same(given, states[-1]):
                return {"before": given, "after": returned}
        return {} if same(last_block, states[-1]) else None

    def _last_block(self, lists, states):
        """What the last block returned. h_l must be what block l + 1 was given: that of Mamba is h_{l+1}."""
        for calls in lists:
            given = [call[0] for call in calls]
            if len(given) == len(states) - 1 and all(map(same, given, states)):
                return calls[-1][1]
        name = type(self.model).__name__
        raise UnknownStates(
            f"{name}: the hidden states that transformers gives are not what its blocks are given"
        )

    def _forget(self):
        self.calls = {}  # list of blocks -> the (given, returned) of each call of a block
        self.norms = []

    def _add_hooks(self, module):
        for child in module.children():
            if isinstance(child, torch.nn.ModuleList):
                hook = functools.partial(self._saw_block, child)
                self.hooks += [block.register_forward_hook(hook, with_kwargs=True) for block in child]
                continue  # norms in a block are its own
            if "norm" in type(child).__name__.lower():
                self.hooks.append(child.register_forward_hook(self._saw_norm))
            self._add_hooks(child)

    def _saw_block(self, blocks, _, inputs, named_inputs, output):
        given = inputs[0] if inputs else named_inputs.get("hidden_states")
        returned = output[0] if isinstance(output, tuple) else output
        self.calls.setdefault(blocks, []).append((given, returned))

    def _saw_norm(self, _, inputs, output):
        if inputs and isinstance(output, torch.Tensor) and inputs[0].shape == output.shape:
            self.norms.append((inputs[0], output))


def same(a, b):
    """Whether two tensors are equal; of those without values (FakeTensor), whether they share memory."""
    if not isinstance(a, torch.Tensor) or a.shape != b.shape:
        return False
    if isinstance(a, FakeTensor):
        return torch._C._is_alias_of(a, b)
    return a is b or torch.equal(a, b)
