"""dump_hidden_states.py on tiny models: the right states, or one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import tiny_models
from dump_case import IDS, SEQUENCES, DumpCase

import torch
import transformers

import dump
import dump_hidden_states

SCRIPT = dump_hidden_states.__file__


class States(DumpCase):
    def test_each_model(self):
        for name, tiny in tiny_models.works().items():
            with self.subTest(name):
                folder, model = self.save(tiny)
                expected, after = tiny_models.expected_states(model, tiny, SEQUENCES)
                printed = self.run_dump(folder)
                states, metadata = self.read()
                self.assertEqual(states.shape, (3, 70, 32))
                self.assert_close(states, expected)
                self.assertEqual(metadata.get("final_norm"), "before" if tiny.norm else None)
                if tiny.norm:
                    states = self.states(folder, "--final-norm", "after")
                    self.assert_close(states[:-1], expected[:-1])
                    self.assert_close(states[-1], after)
                    self.assertGreater((after - expected[-1]).abs().max(), 0.1)
                if model.can_generate():
                    loss = re.search(r"mean next-token loss ([0-9.]+) nats", printed)
                    expected_loss = tiny_models.expected_loss(model, SEQUENCES)
                    self.assertAlmostEqual(float(loss[1]), expected_loss, delta=1e-4 * expected_loss)
                else:
                    self.assertNotIn("loss", printed)

    def test_the_widest_batch_gives_the_same_states_and_loss(self):
        for name, tiny in tiny_models.works().items():
            with self.subTest(name):
                folder, _ = self.save(tiny)
                alone = self.run_dump(folder), self.read()
                for size in ("2", "8"):
                    batch = self.run_dump(folder, "--batch-size", size), self.read()
                    self.assert_close(batch[1][0], alone[1][0])
                    self.assertEqual(batch[1][1], alone[1][1])
                    self.assertEqual(batch[0], alone[0])

    def test_metadata(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        self.run_dump(folder, "--tokens", "50")
        self.assertEqual(
            self.read()[1],
            {
                "model": "model",
                "text": "text.txt",
                "sequence_length": "16",
                "tokens": "50",
                "final_norm": "before",
                "layout": "[layer][token][dim]",
            },
        )

    def test_as_is_is_what_transformers_gives(self):
        folder, model = self.save(tiny_models.works()["gpt2"])
        states = self.states(folder, "--final-norm", "as-is")
        with torch.no_grad():
            last = model(input_ids=torch.tensor(SEQUENCES[:1]), output_hidden_states=True).hidden_states[-1]
        self.assert_close(states[-1, :16], last[0])
        self.assertNotIn("final_norm", self.read()[1])

    def test_a_causal_model_without_architectures_in_its_configuration(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        states = self.states(folder)
        self.edit_config(folder, lambda config: config.pop("architectures"))
        self.assertNotIn("loss", self.run_dump(folder))
        self.assert_close(self.read()[0], states)

    def test_special_tokens_are_in_each_sequence(self):
        tiny = tiny_models.works()["bert"]
        folder, model = self.save(tiny, tiny_models.letter_tokenizer("[CLS] $A [SEP]"))
        sequences = [[27, *IDS[start : start + 14], 28] for start in range(0, 70, 14)]
        expected, _ = tiny_models.expected_states(model, tiny, sequences)
        self.assert_close(self.states(folder), expected)
        self.assertEqual(self.states(folder, "--no-special-tokens").shape, (3, 70, 32))

    def test_types(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        exact = self.states(folder, "--model-dtype", "f64", "--dtype", "f64")
        self.assertEqual(exact.dtype, torch.float64)
        for name, dtype, tolerance in (("f16", torch.float16, 1e-3), ("bf16", torch.bfloat16, 1e-2)):
            stored = self.states(folder, "--dtype", name)
            self.assertEqual(stored.dtype, dtype)
            torch.testing.assert_close(stored.double(), exact, rtol=tolerance, atol=tolerance)

    def test_another_tokenizer(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        expected = self.states(folder)
        tiny_models.letter_tokenizer().save_pretrained(self.path("tokenizer"))
        os.remove(os.path.join(folder, "tokenizer.json"))
        self.assert_close(self.states(folder, "--tokenizer", self.path("tokenizer")), expected)

    def edit_config(self, folder, change):
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        change(config)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)


class RefusedBeforeTheWeights(DumpCase):
    """The models have no file with weights: whoever looked for it would complain of that."""

    def save(self, tiny, tokenizer=None):
        folder, model = super().save(tiny, tokenizer)
        os.remove(os.path.join(folder, "model.safetensors"))
        return folder, model

    def llama(self, **options):
        return self.save(tiny_models.works()["llama"], **options)[0]

    def test_these_models_lack_their_weights(self):
        self.assert_refused(self.llama(), "cannot load the weights: .*model.safetensors")

    def test_opt_350m(self):
        folder, _ = self.save(tiny_models.opt_350m())
        for choice in ("auto", "before", "after", "as-is"):
            self.assert_refused(
                folder, "OPTForCausalLM: layer 2 has 16 dimensions, expected 32", "--final-norm", choice
            )

    def test_encoder_decoder(self):
        for name, tiny in tiny_models.encoder_decoders().items():
            with self.subTest(name):
                self.assert_refused(self.save(tiny)[0], f"{name} is an encoder-decoder model")

    def test_a_model_of_text_and_images_together(self):
        config = transformers.CLIPConfig(text_config=tiny_models.SIZES, vision_config=tiny_models.VISION)
        folder, _ = self.save(tiny_models.Tiny("CLIPModel", config))
        self.assert_refused(folder, "cannot run a model of its configuration on text")

    def test_a_final_norm_that_is_not_there(self):
        folder, _ = self.save(tiny_models.works()["bert"])
        for choice in ("before", "after"):
            self.assert_refused(
                folder,
                f"--final-norm {choice}: BertModel has no final normalization, leave the option out",
                "--final-norm",
                choice,
            )

    def test_device(self):
        folder = self.llama()
        for device in ("nowhere", "cuda:99", "meta"):
            self.assert_refused(folder, f"--device {device}: torch cannot use it", "--device", device)

    def test_positions(self):
        self.write_text(tiny_models.TEXT * 2)
        message = "--sequence-length 65: the model has 64 positions"
        self.assert_refused(self.llama(), message, "--sequence-length", "65")
        roberta, _ = self.save(tiny_models.works()["roberta"])
        message = "--sequence-length 63: the model has 62 positions"
        self.assert_refused(roberta, message, "--sequence-length", "63")

    def test_vocabulary(self):
        tiny = tiny_models.works()["llama"]
        tiny.config.vocab_size = 20
        self.assert_refused(self.save(tiny)[0], "the tokenizer gives token 22, the model's vocabulary has 20")

    def test_text(self):
        folder = self.llama()
        self.assert_refused(
            folder, "the text is too short: 70 tokens, expected --tokens 71", "--tokens", "71"
        )
        self.write_text("a")
        self.assert_refused(folder, "the text is too short: 1 tokens, expected at least 2")
        self.write_text("")
        self.assert_refused(folder, "the text is too short: 0 tokens, expected at least 2")
        os.remove(self.text)
        self.assert_refused(folder, "text.txt: cannot read the text: No such file or directory")
        with open(self.text, "wb") as file:
            file.write(b"\xff\xfe")
        self.assert_refused(folder, "text.txt: cannot read the text: 'utf-8' codec can't decode")

    def test_special_tokens_that_leave_no_room(self):
        folder = self.llama(tokenizer=tiny_models.letter_tokenizer("[CLS] $A [SEP]"))
        self.assert_refused(folder, "leaves no room beside the special tokens", "--sequence-length", "2")

    def test_output(self):
        folder = self.llama()
        self.output = self.path("nowhere/states")
        self.assert_refused(folder, "cannot write it: there is no directory .*nowhere$")
        self.output = self.folder
        self.assert_refused(folder, "cannot write it: it is a directory")

    def test_space(self):
        with mock.patch("dump.shutil.disk_usage", return_value=mock.Mock(free=1)):
            self.assert_refused(self.llama(), "states.safetensors would take 0.0 GB, and 0.0 GB are free")

    def test_missing_tokenizer(self):
        folder = self.llama()
        self.assert_refused(folder, "--tokenizer nowhere: no such directory", "--tokenizer", "nowhere")
        for name in os.listdir(folder):
            if "token" in name:
                os.remove(os.path.join(folder, name))
        self.assert_refused(folder, "model: cannot load the tokenizer: ")

    def test_configuration(self):
        folder = self.llama()
        for text, message in (
            ("{", "cannot read its configuration: .*not a valid JSON"),
            ("{}", "cannot read its configuration: "),
            ('{"model_type": "no-such-model"}', "cannot read its configuration: .*no-such-model"),
            ('{"model_type": "llama", "hidden_size": "wide"}', "configuration"),
        ):
            with self.subTest(text), open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                self.assert_refused(folder, message)
        os.remove(os.path.join(folder, "config.json"))
        self.assert_refused(folder, r"no model directory \(there is no config.json\)")
        self.assert_refused(self.path("nowhere"), r"nowhere: no model directory \(there is no config.json\)")

    def test_no_attention_mask_for_padding(self):
        config = transformers.FNetConfig(**{k: v for k, v in tiny_models.SIZES.items() if "heads" not in k})
        folder, _ = self.save(tiny_models.Tiny("FNetModel", config))
        message = "FNetModel takes no attention mask, which padding needs: use --batch-size 1"
        self.assert_refused(folder, message, "--batch-size", "2")


class Failures(DumpCase):
    def test_weights_that_are_not_in_the_file(self):
        folder, model = self.save(tiny_models.works()["llama"])
        weights = model.state_dict()
        del weights["model.layers.1.mlp.up_proj.weight"]
        model.save_pretrained(folder, state_dict=weights)
        self.assert_refused(
            folder, "its files lack 1 of the weights, such as model.layers.1.mlp.up_proj.weight"
        )

    def test_weights_of_another_shape(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        tiny = tiny_models.works()["llama"]
        tiny.config.intermediate_size = 48
        tiny.config.save_pretrained(folder)
        self.assert_refused(folder, "cannot load the weights")

    def test_a_value_that_the_type_does_not_hold(self):
        tiny = tiny_models.works()["llama"]
        folder, model = self.save(tiny)
        torch.nn.init.constant_(model.get_input_embeddings().weight, 1e6)
        model.save_pretrained(folder)
        message = "1e\\+06 at layer 0, token 0, dimension 0 is not finite in float16"
        self.assert_refused(folder, message, "--dtype", "f16")

    def test_memory(self):
        folder, _ = self.save(tiny_models.works()["llama"])
        failure = torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB.")
        with mock.patch("dump.states_of", side_effect=failure):
            message = (
                "fails on 5 x 16 tokens: CUDA out of memory. Tried to allocate 2 GiB.; a smaller --batch-size"
            )
            self.assert_refused(folder, message, "--batch-size", "8")

    def test_states_that_are_not_what_the_blocks_are_given(self):
        """transformers leaves h_0 out of Mamba's, and has the last state twice."""
        config = transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4)
        folder, _ = self.save(tiny_models.Tiny("MambaForCausalLM", config))
        self.assert_refused(
            folder, "MambaForCausalLM: the hidden states that transformers gives are not what"
        )

    def test_what_comes_after_the_last_block_is_unknown(self):
        config = transformers.XLMConfig(vocab_size=64, emb_dim=32, n_layers=2, n_heads=4)
        folder, _ = self.save(tiny_models.Tiny("XLMModel", config))
        self.assert_refused(folder, "cannot tell what XLMModel does after its last block; --final-norm as-is")
        self.assertEqual(self.states(folder, "--final-norm", "as-is").shape, (3, 70, 32))


class Program(DumpCase):
    """As it is called at a prompt."""

    def start(self, *options):
        folder, _ = self.save(tiny_models.works()["llama"])
        return subprocess.Popen(
            [sys.executable, SCRIPT, *self.arguments(folder, "--threads", "1", *options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a background job of a shell ignores SIGINT, and so would this process
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def test_success(self):
        process = self.start("--tokens", "64", "--device", "auto")
        out, errors = process.communicate()
        self.assertEqual(process.returncode, 0, errors)
        self.assertRegex(out, r"states.safetensors: 3 x 64 x 32 f32, h_L before the final norm; run on \w+")
        self.assertEqual(errors, "note: 64 tokens for 32 dimensions, fewer than 16 for each\n")

    def test_unknown_text_is_told(self):
        self.write_text(tiny_models.TEXT + "!?")
        _, errors = self.start().communicate()
        self.assertIn("note: 2 of 72 tokens are what the tokenizer gives for unknown text\n", errors)

    def test_error(self):
        process = self.start("--tokens", "99")
        out, errors = process.communicate()
        self.assertEqual((process.returncode, out), (1, ""))
        self.assert_one_line(errors.removesuffix("\n"), "the text is too short")

    def test_interrupted(self):
        self.write_text(tiny_models.TEXT * 3000)  # a minute, were it not interrupted
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start()
            while process.poll() is None and not os.path.exists(self.output + ".part"):
                time.sleep(0.05)
            process.send_signal(number)
            out, errors = process.communicate()
            self.assertEqual((process.returncode, out), (1, ""))
            self.assert_one_line(errors.splitlines()[-1], "interrupted, nothing is written")

    def test_help_does_not_wait_for_torch(self):
        code = "import sys, dump_hidden_states as script\ntry: script.main(['-h'])\n"
        code += "finally: assert 'torch' not in sys.modules"
        subprocess.run(
            [sys.executable, "-c", code], cwd=os.path.dirname(SCRIPT), check=True, stdout=subprocess.DEVNULL
        )

    def test_the_types_it_offers_are_the_writer_s(self):
        self.assertEqual(dump_hidden_states.DTYPES, tuple(dump.DTYPES))

    def test_a_package_that_is_not_installed(self):
        with mock.patch.dict(sys.modules, {"dump": None}):
            self.assert_refused("model", "dump.* see examples/python/README.md for what to install")


if __name__ == "__main__":
    unittest.main()
