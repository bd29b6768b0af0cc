"""Writes one rank-3 tensor to a .safetensors file piece by piece, so that it never has to fit in memory.

The format (https://github.com/huggingface/safetensors): an 8-byte little-endian header length, a JSON header
that gives each tensor's dtype, shape and byte range, then the raw little-endian values in row-major order.
"""

import json
import os
import struct

import torch

# name on the command line -> (name in the file, torch dtype)
DTYPES = {
    "f64": ("F64", torch.float64),
    "f32": ("F32", torch.float32),
    "f16": ("F16", torch.float16),
    "bf16": ("BF16", torch.bfloat16),
}


class NonFiniteError(ValueError):
    """A value that the file could only hold as NaN or infinity; the message says where it was."""


class HiddenStatesWriter:
    """The tensor `hidden_states` [layer][token][dim], filled one run of tokens of one layer at a time.

    Use it as a context manager. Until the `with` block ends well the data lie in PATH.part, so that a run
    that fails leaves no file that looks complete. Memory: one block passed to `write`.
    """

    def __init__(self, path, layers, tokens, dims, dtype, metadata):
        self.path = path
        self.shape = (layers, tokens, dims)
        file_dtype, self.dtype = DTYPES[dtype]
        self.item_bytes = self.dtype.itemsize
        header = {
            "__metadata__": {key: str(value) for key, value in metadata.items()},
            "hidden_states": {
                "dtype": file_dtype,
                "shape": list(self.shape),
                "data_offsets": [0, layers * tokens * dims * self.item_bytes],
            },
        }
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)  # the values start on an 8-byte boundary, so they can be mapped
        self.prefix = struct.pack("<Q", len(encoded)) + encoded
        self.size = len(self.prefix) + header["hidden_states"]["data_offsets"][1]

    def __enter__(self):
        self.file = open(self.path + ".part", "wb")
        self.file.write(self.prefix)
        self.file.truncate(self.size)
        return self

    def write(self, layer, first_token, block):
        """Stores block (n_tokens x dims, any float dtype) as rows first_token... of a layer."""
        stored = block.detach().to("cpu", self.dtype).contiguous()
        finite = torch.isfinite(stored)
        if not finite.all():
            row, dim = (~finite).nonzero()[0].tolist()
            value = block[row, dim].item()
            raise NonFiniteError(
                f"{value:g} at layer {layer}, token {first_token + row}, dimension {dim} "
                f"is not finite in {str(self.dtype).removeprefix('torch.')}"
            )
        _, tokens, dims = self.shape
        self.file.seek(len(self.prefix) + (layer * tokens + first_token) * dims * self.item_bytes)
        self.file.write(stored.view(torch.uint8).numpy())

    def __exit__(self, failure, *_):
        self.file.close()
        if failure is None:
            os.replace(self.path + ".part", self.path)
        else:
            os.remove(self.path + ".part")
