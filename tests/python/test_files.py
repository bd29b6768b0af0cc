"""layerwise-profile on files that numpy, ml_dtypes, safetensors and torch write, of a model that transformers runs.

LAYERWISE_PROFILE names the program. Each file must give the displacements of the states that are in it, or be refused
in one line.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import tiny_models  # silences transformers

import numpy
import safetensors.numpy
import safetensors.torch
import torch
import transformers

PROGRAM = os.path.abspath(os.environ.get("LAYERWISE_PROFILE", "build/examples/layerwise_profile/layerwise-profile"))


def displacements(states, keep=None):
    """(1 - cos) / 2 of neighbouring layers, the mean over tokens; states: layers of [...][dim]."""
    rows = [state.reshape(-1, state.shape[-1]).double() for state in states]
    kept = [row if keep is None else row[keep.reshape(-1).bool()] for row in rows]
    cosines = [torch.nn.functional.cosine_similarity(a, b, dim=1) for a, b in zip(kept, kept[1:])]
    return [(1 - cosine).mean().item() / 2 for cosine in cosines]


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.access(PROGRAM, os.X_OK):
            raise unittest.SkipTest(f"no {PROGRAM}; LAYERWISE_PROFILE names the program")
        torch.manual_seed(1)
        config = transformers.GPT2Config(
            vocab_size=64, n_embd=16, n_layer=4, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
        )
        model = transformers.GPT2LMHeadModel(config).eval()
        cls.ids = torch.randint(1, 64, (3, 20))
        cls.mask = torch.ones(3, 20, dtype=torch.int64)
        cls.mask[1, 12:] = 0  # on the right
        cls.mask[2, :7] = 0  # on the left
        with torch.no_grad():
            cls.states = model(input_ids=cls.ids, attention_mask=cls.mask, output_hidden_states=True).hidden_states
        cls.right = displacements(cls.states)
        cls.right_masked = displacements(cls.states, cls.mask)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, *arguments):
        return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False)

    def assert_read(self, right, *arguments, within=1e-6):
        done = self.run_program(*arguments, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(len(document["layers"]), len(right))
        for layer, expected in zip(document["layers"], right):
            self.assertAlmostEqual(layer["displacement"], expected, delta=within)
        return document

    def assert_refused(self, *arguments, says=()):
        done = self.run_program(*arguments)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for part in says:
            self.assertIn(part, done.stderr)

    def save(self, name, tensors, metadata=None):
        tensors = {key: value.contiguous() for key, value in tensors.items()}
        safetensors.torch.save_file(tensors, self.folder / name, metadata)
        return self.folder / name

    def test_dict_of_layers(self):
        states = {f"hidden_states.{i}": state for i, state in enumerate(self.states)}
        self.assert_read(self.right, self.save("a.safetensors", states))
        more = states | {"attention_mask": self.mask, "input_ids": self.ids, "logits": torch.rand(3, 20, 64)}
        document = self.assert_read(self.right_masked, self.save("b.safetensors", more))
        self.assertEqual(document["input"]["mask"], "attention_mask")
        self.assertEqual(document["tokens"], int(self.mask.sum()))
        more["attention_mask"] = self.mask.bool()
        self.assert_read(self.right_masked, self.save("c.safetensors", more))

    def test_stacks(self):
        stack = torch.stack(self.states)
        beside = {"input_ids": self.ids, "attention_mask": self.mask}
        self.assert_read(self.right, self.save("a.safetensors", {"hidden_states": stack}))
        for axes in ((0, 1, 2, 3), (1, 0, 2, 3), (1, 2, 0, 3)):
            with self.subTest(axes=axes):
                tensors = {"hidden_states": stack.permute(*axes)} | beside
                self.assert_read(self.right_masked, self.save("b.safetensors", tensors))
        for dtype, within in ((torch.float64, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
            path = self.save("c.safetensors", {"hidden_states": stack.to(dtype)})
            self.assert_read(self.right, path, within=within)

    def test_last_hidden_state_is_no_stack(self):
        self.assert_refused(
            self.save("a.safetensors", {"last_hidden_state": self.states[-1]}), says=["all layers"]
        )

    def test_vllm(self):
        for request, length in enumerate((20, 5, 11)):
            tensors = {
                "hidden_states": torch.stack([state[request, :length] for state in self.states], dim=1),
                "token_ids": self.ids[request, :length],
            }
            self.save(f"request-{request}.safetensors", tensors)
        keep = torch.tensor([[token < length for token in range(20)] for length in (20, 5, 11)])
        document = self.assert_read(displacements(self.states, keep), self.folder, "--layer-numbers", "1,2,3,4,8")
        self.assertEqual([layer["layer"] for layer in document["layers"]], [2, 3, 4, 8])
        self.assertEqual(document["tokens"], 36)

    def test_npy(self):
        for layer, state in enumerate(self.states * 3):  # 15 layers: their numbers are no text
            numpy.save(self.folder / f"layer_{layer}.npy", state.numpy())
        numpy.save(self.folder / "attention_mask.npy", self.mask.numpy())
        self.assert_read(displacements(self.states * 3, self.mask), self.folder)
        files = sorted(map(str, self.folder.glob("layer_*.npy")))
        self.assert_read(displacements(self.states * 3), *files)
        fortran = self.folder / "fortran.npy"
        numpy.save(fortran, numpy.asfortranarray(torch.stack(self.states).reshape(5, 60, 16).numpy()))
        self.assert_read(self.right, fortran, "--layout", "layer-major")
        big = self.folder / "big.npy"
        numpy.save(big, torch.stack(self.states).numpy().astype(">f4"))
        self.assert_refused(big, says=["big-endian", "newbyteorder"])
        numpy.save(big, numpy.load(big).astype(numpy.load(big).dtype.newbyteorder("<")))  # what it says
        self.assert_read(self.right, big)

    def test_bfloat16_of_ml_dtypes(self):
        try:
            import ml_dtypes
        except ImportError:
            self.skipTest("no ml_dtypes")
        path = self.folder / "a.npy"
        numpy.save(path, torch.stack(self.states).numpy().astype(ml_dtypes.bfloat16))
        document = self.assert_read(self.right, path, within=1e-2)
        self.assertEqual(document["dtype"], "BF16")

    def test_npz(self):
        path = self.folder / "a.npz"
        numpy.savez(path, *[state.numpy() for state in self.states * 3])  # arr_0 ... arr_14
        done = self.run_program(path, "--dry-run")
        if "without libzip" in done.stderr:
            self.skipTest("no libzip")
        self.assert_read(displacements(self.states * 3), path)
        numpy.savez(path, hidden_states=torch.stack(self.states).numpy(), attention_mask=self.mask.numpy(), text="a")
        self.assert_read(self.right_masked, path)
        numpy.savez_compressed(path, hidden_states=torch.stack(self.states).numpy())
        self.assert_refused(path, says=["np.savez", "np.load"])
        os.chdir(self.folder)
        exec('import numpy as np; np.savez("new.npz", **np.load("a.npz"))')  # what it says
        self.assert_read(self.right, self.folder / "new.npz")

    def test_torch_save(self):
        for old in (False, True):
            path = self.folder / "FILE"
            torch.save(self.states, path, _use_new_zipfile_serialization=not old)
            done = self.run_program(path)
            self.assertEqual(done.returncode, 1)
            os.chdir(self.folder)
            exec("import torch; " + done.stderr.split("in Python: ")[1].strip())  # what it says
            self.assert_read(self.right, self.folder / "new.safetensors")

    def test_safetensors_of_numpy(self):
        path = self.folder / "a.safetensors"
        modules = ["transformer.wte", *(f"transformer.h.{i}" for i in range(3)), "transformer.ln_f"]
        states = [state.reshape(60, 16).numpy().copy() for state in self.states]
        safetensors.numpy.save_file(dict(zip(modules, states)), path)
        document = self.assert_read(self.right, path)
        self.assertEqual(document["input"]["tensors"], modules)


if __name__ == "__main__":
    unittest.main()
