"""What the tests that run the dump script share."""

import contextlib
import io
import os
import shutil
import signal
import tempfile
import unittest

from tiny_models import LETTERS, TEXT

import safetensors
import torch

import dump_hidden_states

IDS = [LETTERS.index(letter) for letter in TEXT]
SEQUENCES = [IDS[start : start + 16] for start in range(0, 70, 16)]


class DumpCase(unittest.TestCase):
    """A folder with a text; `run_dump` runs the script in this process."""

    def setUp(self):
        torch.set_num_threads(1)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.text, self.output = self.path("text.txt"), self.path("states.safetensors")
        self.write_text(TEXT)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_text(self, text):
        with open(self.text, "w", encoding="utf-8") as file:
            file.write(text)

    def save(self, tiny, tokenizer=None):
        model = tiny.save(self.path("model"), tokenizer)
        return self.path("model"), model

    def arguments(self, model, *options):
        return [model, self.text, self.output, "--sequence-length", "16", "--device", "cpu", *options]

    def run_dump(self, model, *options):
        """What it prints to standard output."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
            dump_hidden_states.main(self.arguments(model, *options))
        return out.getvalue()

    def read(self):
        with safetensors.safe_open(self.output, "pt") as file:
            self.assertEqual(list(file.keys()), ["hidden_states"])
            return file.get_tensor("hidden_states"), file.metadata()

    def states(self, model, *options):
        self.run_dump(model, *options)
        return self.read()[0]

    def assert_refused(self, model, pattern, *options):
        """One line, exit status 1, and no file left."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as end:
            dump_hidden_states.main(self.arguments(model, *options))
        self.assertRegex(errors.getvalue(), r"\A(note: .*\n)*\Z")
        self.assert_one_line(end.exception.code, pattern)

    def assert_one_line(self, message, pattern):
        self.assertRegex(message, pattern)
        self.assertTrue(message.startswith("dump_hidden_states.py: error: "), message)
        self.assertNotIn("\n", message)
        self.assertFalse([name for name in os.listdir(self.folder) if "safetensors" in name])

    def assert_close(self, a, b):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
