"""safetensors_writer.py: what it writes, and what it refuses to."""

import os
import tempfile
import unittest

import tiny_models  # puts the script's folder on the path

import safetensors.torch
import torch

from safetensors_writer import BlockError, HiddenStatesWriter, NonFiniteError


class Writer(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "x.safetensors")

    def write(self, *blocks, dtype="f32"):
        """blocks: (layer, first token, block) for 2 layers of 4 tokens and 8 dimensions."""
        with HiddenStatesWriter(self.path, 2, 4, 8, dtype, {"a": 1}) as writer:
            for block in blocks:
                writer.write(*block)

    def assert_refused(self, message, *blocks, failure=BlockError, **options):
        with self.assertRaisesRegex(failure, message):
            self.write(*blocks, **options)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])

    def test_all_types_in_any_order(self):
        states = torch.arange(64.0).reshape(2, 4, 8)
        for dtype in ("f64", "f32", "f16", "bf16"):
            self.write((1, 2, states[1, 2:]), (0, 0, states[0]), (1, 0, states[1, :2]), dtype=dtype)
            torch.testing.assert_close(
                safetensors.torch.load_file(self.path)["hidden_states"].double(), states.double()
            )
        self.assertFalse(os.path.exists(self.path + ".part"))

    def test_blocks_of_another_width(self):
        first = (0, 0, torch.ones(4, 8))
        self.assert_refused("layer 1 has 4 dimensions, expected 8", first, (1, 0, torch.ones(4, 4)))
        self.assert_refused("layer 1 has 9 dimensions, expected 8", first, (1, 0, torch.ones(4, 9)))
        self.assert_refused("layer 0 came with 3 axes, expected 2", (0, 0, torch.ones(1, 4, 8)))

    def test_places_outside(self):
        self.assert_refused("got layer 2, expected 0 to 1", (2, 0, torch.ones(4, 8)))
        self.assert_refused("got layer -1, expected 0 to 1", (-1, 0, torch.ones(4, 8)))
        self.assert_refused("layer 0: got tokens 1 to 4, expected 0 to 3", (0, 1, torch.ones(4, 8)))
        self.assert_refused("layer 0: got tokens -1 to 2, expected 0 to 3", (0, -1, torch.ones(4, 8)))

    def test_rows_never_written(self):
        self.assert_refused("layer 0: got 0 tokens in all, expected 4")
        self.assert_refused(
            "layer 1: got 3 tokens in all, expected 4", (0, 0, torch.ones(4, 8)), (1, 0, torch.ones(3, 8))
        )

    def test_values_that_are_not_finite(self):
        block = torch.ones(4, 8)
        block[2, 5] = 1e5
        message = r"100000 at layer 1, token 2, dimension 5 is not finite in float16"
        self.assert_refused(message, (1, 0, block), failure=NonFiniteError, dtype="f16")

    def test_a_block_that_fails_leaves_no_file(self):
        with self.assertRaises(KeyboardInterrupt), HiddenStatesWriter(self.path, 2, 4, 8, "f32", {}):
            raise KeyboardInterrupt
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])


if __name__ == "__main__":
    unittest.main()
