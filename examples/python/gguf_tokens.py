"""What a .gguf file says of its tokens, and whether a tokenizer cuts a text into them.

transformers makes a tokenizer from such a file. Where the vocabulary is SentencePiece's it cuts words into
far too many pieces (Gemma 3 270M: a loss of 5.10 nats for 3.61), so another tokenizer must be named. The file
can tell whether that one is right, for it has the score of each piece.
"""

import heapq
import re
import sys

from gguf_metadata import read_metadata
from user_error import UserError

SENTENCE_PIECE = ("llama", "t5")  # what tokenizer.ggml.model calls SentencePiece's BPE and its unigram model
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # what SentencePiece writes for one
USER_DEFINED = 4  # a tokenizer.ggml.token_type: tokens that are found in a text before it is cut
CHECKED = 100_000  # characters; a second or so


class GgufTokens:
    """The tokenizer's part of a file's metadata."""

    def __init__(self, path):
        self.path = path
        self.metadata = read_metadata(path)
        self.model = self.get("model")
        self.tokens = self.get("tokens", [])

    def get(self, key, default=None):
        return self.metadata.get("tokenizer.ggml." + key, default)

    def refuse_sentence_piece(self):
        if self.model in SENTENCE_PIECE:
            raise UserError(
                f"{self.path}: transformers cuts text into wrong tokens by a .gguf file's SentencePiece "
                "vocabulary: use the model's Hugging Face directory instead, or its tokenizer: --tokenizer DIR"
            )

    def special_tokens(self, otherwise):
        """The ids before and after a text, which transformers does not ask the file for.

        `otherwise`, where the file is silent.
        """
        return tuple(self._special(name, ids) for name, ids in zip(("bos", "eos"), otherwise))

    def _special(self, name, otherwise):
        asked, token = self.get(f"add_{name}_token"), self.get(f"{name}_token_id")
        if asked is None or (asked and token is None):
            return otherwise
        return [token] if asked else []

    def check(self, tokenizer, text):
        """Refuses a tokenizer that does not give this file's tokens for the first CHECKED characters."""
        text = text[:CHECKED]
        ids = tokenizer.encode(text, add_special_tokens=False)
        for token in sorted(set(ids)):
            self._check_piece(token, tokenizer.convert_ids_to_tokens(token))
        if self.model == "llama" and self.get("scores"):
            self._check_cut(tokenizer, ids, self.cut(text))
        elif self.model in SENTENCE_PIECE:
            print("note: of --tokenizer only the words could be checked, not where it cuts", file=sys.stderr)

    def _check_piece(self, token, piece):
        if self.model == "bert":
            return  # the file writes WordPiece's pieces in another way than the tokenizer
        here = self.tokens[token] if token < len(self.tokens) else None
        if here is None or here.replace(SPACE, " ") != piece.replace(SPACE, " "):
            raise UserError(f"--tokenizer: its token {token} is {piece!r}, that of {self.path} is {here!r}")

    def _check_cut(self, tokenizer, ids, expected):
        differing = (i for i, pair in enumerate(zip(ids, expected)) if pair[0] != pair[1])
        first = next(differing, min(len(ids), len(expected)))
        if ids != expected:
            came = " ".join(map(repr, tokenizer.convert_ids_to_tokens(ids[first : first + 3])))
            right = " ".join(repr(self.tokens[token]) for token in expected[first : first + 3])
            raise UserError(
                f"--tokenizer: it cuts the text otherwise than the scores in {self.path}: "
                f"from token {first} on {came}, expected {right}"
            )

    def cut(self, text):
        """The ids of a text by the file's scores, as SentencePiece would give them."""
        number = {token: i for i, token in enumerate(self.tokens)}
        scores = dict(zip(self.tokens, self.get("scores")))
        whole = {
            token for token, kind in zip(self.tokens, self.get("token_type", [])) if kind == USER_DEFINED
        }
        if self.get("add_space_prefix", True):
            text = " " + text
        ids = []
        for part in split_at(whole, text):
            pieces = [part] if part in whole else merge_by_scores(part.replace(" ", SPACE), scores)
            for piece in pieces:
                ids += [number[piece]] if piece in number else self._unknown(piece, number)
        return ids

    def _unknown(self, piece, number):
        names = [f"<0x{byte:02X}>" for byte in piece.encode()]
        return [number.get(name) for name in names] if names[0] in number else [self.get("unknown_token_id")]


def split_at(words, text):
    """Cuts a text before and after each of some words; where several begin the longest counts."""
    if not words:
        return [text]
    longest_first = sorted(words, key=len, reverse=True)
    return [part for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if part]


def merge_by_scores(text, scores):
    """The pieces of a text: again and again the two neighbours whose union scores highest are joined."""
    pieces = list(text)
    before, after = list(range(-1, len(text) - 1)), list(range(1, len(text) + 1))
    unions = []

    def propose(left, right):
        if left >= 0 and right < len(pieces) and (union := pieces[left] + pieces[right]) in scores:
            heapq.heappush(unions, (-scores[union], left, union))

    for left in range(len(pieces) - 1):
        propose(left, left + 1)
    while unions:
        _, left, union = heapq.heappop(unions)
        right = after[left]
        if not pieces[left] or right == len(pieces) or pieces[left] + pieces[right] != union:
            continue  # one of the two has been joined to another since
        pieces[left], pieces[right] = union, ""
        after[left] = after[right]
        if after[left] < len(pieces):
            before[after[left]] = left
        propose(before[left], left)
        propose(left, after[left])
    return [piece for piece in pieces if piece]
