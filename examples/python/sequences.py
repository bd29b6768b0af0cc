"""From a text to the batches of token sequences that a model sees."""

import torch

from user_error import UserError


def read_text(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise UserError(f"{path}: cannot read the text: {reason}") from failure


def special_tokens_of(tokenizer, text):
    """The ids that the tokenizer itself puts before and after a text, such as [BOS], or [CLS] and [SEP]."""
    plain = tokenizer.encode(text, add_special_tokens=False)
    full = tokenizer.encode(text)
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start], full[start + len(plain) :]
    raise UserError("cannot tell which special tokens the tokenizer gives a text; use --no-special-tokens")


def cut(ids, sequence_length, special_tokens, limit):
    """Cuts token ids into sequences of sequence_length, special tokens included, of limit tokens in all."""
    prefix, suffix = special_tokens
    body = sequence_length - len(prefix) - len(suffix)
    if body < 1:
        raise UserError(f"--sequence-length {sequence_length} leaves no room beside the special tokens")
    sequences = [prefix + ids[start : start + body] + suffix for start in range(0, len(ids), body)]
    available = sum(map(len, sequences))
    if limit is not None:
        if available < limit:
            raise UserError(f"the text is too short: {available} tokens, expected --tokens {limit}")
        whole, rest = divmod(limit, sequence_length)
        sequences = sequences[:whole] + ([sequences[whole][:rest]] if rest else [])
    elif available < 2:
        raise UserError(f"the text is too short: {available} tokens, expected at least 2")
    return sequences


def batches(sequences, size):
    for start in range(0, len(sequences), size):
        yield sequences[start : start + size]


def padded(batch, device):
    """(ids, mask) of a batch, each [sequence][token]: shorter sequences are filled up on the right.

    They are filled with their own last token, for not every tokenizer has one for padding; the mask hides it.
    """
    longest = max(map(len, batch))
    ids = [sequence + sequence[-1:] * (longest - len(sequence)) for sequence in batch]
    mask = [[1] * len(sequence) + [0] * (longest - len(sequence)) for sequence in batch]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
