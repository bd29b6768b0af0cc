"""Metrics and regularizers for the hidden states of transformers.

    p = layerwise.profile(hidden_states)
    print(p)

A matrix has one row per token and one column per dimension, [token][dim] or [sequence][token][dim], of float64, float32,
float16 or bfloat16; arrays of numpy, tensors of torch and all that has DLPack are read where they are. h_0 is the
embedding output, h_l the output of layer l. Bad input raises a subclass of layerwise.Error, or TypeError.

layerwise.torch, which imports torch, profiles models as they run, and has the regularizers for training.
"""

from layerwise import _core, typing
from layerwise._core import *
from layerwise._core import __version__

globals()["__all__"] = ["__version__", "typing", *vars(_core)["__all__"]]  # which the stub of _core does not have
