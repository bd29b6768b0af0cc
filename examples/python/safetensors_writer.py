"""Writes one rank-3 tensor to a .safetensors file piece by piece, so that it never has to fit in memory.

The format (https://github.com/huggingface/safetensors): an 8-byte little-endian header length, a JSON header
that gives each tensor's dtype, shape and byte range, then the raw little-endian values in row-major order.
"""

import json
import os
import struct

import torch

from user_error import UserError

# name on the command line -> (name in the file, torch dtype)
DTYPES = {
    "f64": ("F64", torch.float64),
    "f32": ("F32", torch.float32),
    "f16": ("F16", torch.float16),
    "bf16": ("BF16", torch.bfloat16),
}


class BlockError(UserError, ValueError):
    """A block that does not belong into the file; the message says what was expected, and where."""


class NonFiniteError(BlockError):
    """A value that the file could only hold as NaN or infinity; the message says where it was."""


class HiddenStatesWriter:
    """The tensor `hidden_states` [layer][token][dim], filled one run of tokens of one layer at a time.

    Use it as a context manager. Until the `with` block ends well, with every row written once, the data lie
    in PATH.part, so that a run that fails leaves no file that looks complete. Memory: one block passed to
    `write`.
    """

    def __init__(self, path, layers, tokens, dims, dtype, metadata):
        self.path = path
        self.shape = (layers, tokens, dims)
        self.rows_written = [0] * layers
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
        try:
            self.file.write(self.prefix)
            self.file.truncate(self.size)
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, layer, first_token, block):
        """Stores block (n_tokens x dims, any float dtype) as rows first_token... of a layer."""
        self._check_place(layer, first_token, block)
        stored = block.detach().cpu().to(self.dtype).contiguous()
        self._check_finite(layer, first_token, block, stored)
        _, tokens, dims = self.shape
        self.file.seek(len(self.prefix) + (layer * tokens + first_token) * dims * self.item_bytes)
        self.file.write(stored.view(torch.uint8).numpy())
        self.rows_written[layer] += len(block)

    def __exit__(self, failure, *_):
        try:
            if failure is None:
                self._check_complete()
                self.file.close()
                os.replace(self.path + ".part", self.path)
        except BaseException:
            self._discard()
            raise
        if failure is not None:
            self._discard()

    def _check_place(self, layer, first_token, block):
        layers, tokens, dims = self.shape
        if block.ndim != 2:
            raise BlockError(f"layer {layer} came with {block.ndim} axes, expected 2: tokens and dimensions")
        if not 0 <= layer < layers:
            raise BlockError(f"got layer {layer}, expected 0 to {layers - 1}")
        if block.shape[1] != dims:
            raise BlockError(f"layer {layer} has {block.shape[1]} dimensions, expected {dims}")
        end = first_token + len(block)
        if first_token < 0 or end > tokens:
            raise BlockError(
                f"layer {layer}: got tokens {first_token} to {end - 1}, expected 0 to {tokens - 1}"
            )

    def _check_finite(self, layer, first_token, block, stored):
        finite = torch.isfinite(stored)
        if not finite.all():
            row, dim = (~finite).nonzero()[0].tolist()
            raise NonFiniteError(
                f"{block[row, dim].item():g} at layer {layer}, token {first_token + row}, dimension {dim} "
                f"is not finite in {str(self.dtype).removeprefix('torch.')}"
            )

    def _check_complete(self):
        for layer, rows in enumerate(self.rows_written):
            if rows != self.shape[1]:
                raise BlockError(f"layer {layer}: got {rows} tokens in all, expected {self.shape[1]}")

    def _discard(self):
        self.file.close()
        os.remove(self.path + ".part")
