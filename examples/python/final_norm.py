"""Finds the normalization after a model's last block, and the state before and after it.

Model classes call it norm, ln_f, final_layer_norm ..., keep it in one place or another, and some have none. It is
known by what it does: it lies outside the list of blocks, and it returns, or is given, the last hidden state.
"""

import torch
from torch._subclasses import FakeTensor


class FinalNorm:
    """Watches a model by hooks; use it as a context manager around its calls."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.hooks, self.norms, self.block_output = [], [], None
        self._watch(self.model.base_model)
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def ends(self, last):
        """What the call since the last `ends` showed, given the last hidden state that it returned.

        {"before": ..., "after": ...}, the states at the final normalization's two ends; {} where the model has none,
        its last block gives the last hidden state; None where it does something else, or that cannot be told.
        """
        norms, block_output, self.norms, self.block_output = self.norms, self.block_output, [], None
        for given, returned in reversed(norms):
            if same(returned, last) or same(given, last):
                return {"before": given, "after": returned}
        return {} if same(block_output, last) else None

    def _watch(self, module):
        for child in module.children():
            if isinstance(child, torch.nn.ModuleList):
                self.hooks += [block.register_forward_hook(self._saw_block) for block in child]
                continue
            if "norm" in type(child).__name__.lower():
                self.hooks.append(child.register_forward_hook(self._saw_norm))
            self._watch(child)

    def _saw_block(self, _, inputs, output):
        self.block_output = output[0] if isinstance(output, tuple) else output

    def _saw_norm(self, _, inputs, output):
        if inputs and isinstance(output, torch.Tensor) and inputs[0].shape == output.shape:
            self.norms.append((inputs[0], output))


def same(a, b):
    """Whether two tensors are equal; of those without values (FakeTensor), whether they share memory."""
    if not isinstance(a, torch.Tensor) or a.shape != b.shape:
        return False
    if isinstance(a, FakeTensor):
        return torch._C._is_alias_of(a, b)
    return torch.equal(a, b)
