""".gguf files: what their head says, how their scores cut a text, and which of them are refused."""

import os
import re
import unittest
from unittest import mock

import tiny_models  # puts the script's folder on the path
from dump_case import IDS, SEQUENCES, DumpCase

import gguf
import tokenizers
import torch
import transformers

from gguf_metadata import read_metadata
from gguf_tokens import GgufTokens, merge_by_scores, split_at
from user_error import UserError

UNKNOWN, CONTROL, USER_DEFINED, BYTE = 2, 3, 4, 6  # other tokens have the type 1
# SentencePiece would have learned more; "ab" scores higher than "bc", and "abc" lower than both.
PIECES = [
    ("<unk>", 0, UNKNOWN),
    ("<s>", 0, CONTROL),
    *((f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)),
    ("\n\n", 0, USER_DEFINED),
    *((letter, -100 - i, 1) for i, letter in enumerate("abcdefgh\N{LOWER ONE EIGHTH BLOCK}")),
    ("ab", -1, 1),
    ("bc", -2, 1),
    ("abc", -3, 1),
    ("\N{LOWER ONE EIGHTH BLOCK}a", -4, 1),
    ("de", -5, 1),
]
NAMES = [piece for piece, _, _ in PIECES]
# What a Hugging Face tokenizer would make of them: its merges are in the order of the scores.
MERGES = [("a", "b"), ("b", "c"), ("ab", "c"), ("\N{LOWER ONE EIGHTH BLOCK}", "a"), ("d", "e")]


def write_gguf(path, model, metadata):
    """Qwen2's weights, with a vocabulary of one kind or another."""
    writer = gguf.GGUFWriter(path, "qwen2")
    config = model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    for name, value in metadata.items():
        writer.add_key_value("tokenizer.ggml." + name, value, gguf.GGUFValueType.get_type(value))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def qwen2(vocabulary):
    sizes = tiny_models.SIZES | {"vocab_size": vocabulary}
    config = transformers.Qwen2Config(**sizes, num_key_value_heads=2, tie_word_embeddings=False)
    return tiny_models.Tiny("Qwen2ForCausalLM", config, "model.layers", "model.norm")


def byte_pairs():
    """The letters a to z as GPT-2's kind of vocabulary."""
    words = [*tiny_models.LETTERS, "<|endoftext|>", "zz", "zzzz"]
    types = [1] * 26 + [CONTROL, 1, 1]
    return {
        "model": "gpt2",
        "tokens": words,
        "token_type": types,
        "merges": ["z z", "zz zz"],
        "bos_token_id": 26,
        "eos_token_id": 26,
    }


def sentence_pieces():
    return {
        "model": "llama",
        "tokens": NAMES,
        "scores": [float(score) for _, score, _ in PIECES],
        "token_type": [kind for _, _, kind in PIECES],
        "unknown_token_id": 0,
        "bos_token_id": 1,
        "add_bos_token": True,
        "add_space_prefix": False,
    }


def pieces_tokenizer(merges):
    bpe = tokenizers.models.BPE(
        {name: i for i, name in enumerate(NAMES)}, merges, byte_fallback=True, unk_token="<unk>"
    )
    tokenizer = tokenizers.Tokenizer(bpe)
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "\N{LOWER ONE EIGHTH BLOCK}")
    tokenizer.add_tokens(["\n\n"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


class GgufCase(DumpCase):
    def save_gguf(self, metadata):
        tiny = qwen2(len(metadata["tokens"]))
        model = tiny.build()
        return write_gguf(self.path("model.gguf"), model, metadata), tiny, model


class BytePairs(GgufCase):
    def test_states(self):
        for bos in (False, True):
            with self.subTest(bos=bos):
                path, tiny, model = self.save_gguf(byte_pairs() | {"add_bos_token": bos})
                sequences = [[26, *IDS[i : i + 15]] for i in range(0, 70, 15)] if bos else SEQUENCES
                expected, _ = tiny_models.expected_states(model, tiny, sequences)
                printed = self.run_dump(path)
                self.assert_close(self.read()[0], expected)
                loss = re.search(r"mean next-token loss ([0-9.]+) nats", printed)
                self.assertAlmostEqual(
                    float(loss[1]), tiny_models.expected_loss(model, sequences), delta=1e-3
                )

    def test_a_tokenizer_with_other_words(self):
        path, _, _ = self.save_gguf(byte_pairs())
        other = tiny_models.letter_tokenizer()
        other.save_pretrained(self.path("other"))
        self.run_dump(path, "--tokenizer", self.path("other"))  # its letters have the same numbers
        os.remove(self.output)
        self.write_text("ab!c")
        message = r"--tokenizer: its token 26 is '\[UNK\]', that of .*model.gguf is '<\|endoftext\|>'"
        self.assert_refused(path, message, "--tokenizer", self.path("other"))


class SentencePieces(GgufCase):
    def test_refused_without_a_tokenizer(self):
        for model in ("llama", "t5"):
            path, _, _ = self.save_gguf(sentence_pieces() | {"model": model})
            self.assert_refused(
                path, "model.gguf: transformers cuts text into wrong tokens .*--tokenizer DIR$"
            )

    def test_a_tokenizer_that_cuts_as_the_scores_do(self):
        path, tiny, model = self.save_gguf(sentence_pieces())
        pieces_tokenizer(MERGES).save_pretrained(self.path("right"))
        self.write_text("abcde ah\n\ncbade\N{SNOWMAN}")
        pieces = ["abc", "de", "\N{LOWER ONE EIGHTH BLOCK}a", "h", "\n\n", "c", "b", "a", "de"]
        pieces += ["<0xE2>", "<0x98>", "<0x83>"]
        ids = [1] + [NAMES.index(piece) for piece in pieces]
        expected, _ = tiny_models.expected_states(model, tiny, [ids])
        self.assert_close(self.states(path, "--tokenizer", self.path("right")), expected)

    def test_a_tokenizer_that_cuts_otherwise(self):
        path, _, _ = self.save_gguf(sentence_pieces())
        pieces_tokenizer(MERGES[1:2] + MERGES[:1]).save_pretrained(self.path("wrong"))
        self.write_text("dab abc")
        message = (
            "it cuts the text otherwise than the scores in .*model.gguf: "
            "from token 3 on 'a' 'bc', expected 'abc'$"
        )
        self.assert_refused(path, message, "--tokenizer", self.path("wrong"))


class Scores(unittest.TestCase):
    def test_the_highest_score_is_joined_first(self):
        scores = {"ab": -1.0, "bc": -2.0, "abc": -3.0}
        self.assertEqual(merge_by_scores("abc", scores), ["abc"])
        self.assertEqual(merge_by_scores("abcbcab", scores), ["abc", "bc", "ab"])
        self.assertEqual(merge_by_scores("abc", {"ab": -2.0, "bc": -1.0}), ["a", "bc"])
        self.assertEqual(merge_by_scores("", scores), [])

    def test_of_equal_scores_the_leftmost(self):
        self.assertEqual(merge_by_scores("aaa", {"aa": -1.0}), ["aa", "a"])
        self.assertEqual(merge_by_scores("aaaaa", {"aa": -1.0, "aaaa": -2.0}), ["aaaa", "a"])

    def test_of_user_defined_words_the_longest(self):
        self.assertEqual(split_at({"a", "ab", "."}, "xaby.a"), ["x", "ab", "y", ".", "a"])
        self.assertEqual(split_at(set(), "xy"), ["xy"])


class Packages(GgufCase):
    def test_missing(self):
        path, _, _ = self.save_gguf(byte_pairs())
        for missing in ("gguf", "accelerate"):
            with mock.patch(
                "importlib.util.find_spec", lambda name, missing=missing: name != missing or None
            ):
                self.assert_refused(path, f"files with the package {missing}: pip install {missing}$")


class Metadata(GgufCase):
    def test_is_what_gguf_s_own_reader_gives(self):
        values = {
            "a": 7,
            "b": "text",
            "c": 0.5,
            "d": True,
            "e": [1, 2, 3],
            "f": ["x", "yz"],
            "g": [0.5, -1.0],
        }
        path = write_gguf(self.path("model.gguf"), qwen2(8).build(), values)
        metadata = read_metadata(path)
        self.assertEqual({name: metadata["tokenizer.ggml." + name] for name in values}, values)
        for name, field in gguf.GGUFReader(path).fields.items():
            if not name.startswith("GGUF."):
                self.assertEqual(metadata[name], field.contents())

    def test_other_files(self):
        with open(self.save_gguf(byte_pairs())[0], "rb") as file:
            whole = file.read()
        size = len(whole) // 100  # ends in the head
        for content in (
            b"",
            b"GGUF",
            b"no GGUF file" * 9,
            whole[:size],
            b"GGUF\1" + whole[5:],
            whole[:3] + b"f" + whole[4:],
        ):
            with open(self.path("other.gguf"), "wb") as file:
                file.write(content)
            self.assert_refused(self.path("other.gguf"), "other.gguf: not a GGUF file of version 2 or 3")


if __name__ == "__main__":
    unittest.main()
