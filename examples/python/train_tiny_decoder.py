#!/usr/bin/env python3
"""Trains the small language model whose hidden states layerwise-profile shows when it is given no file.

A Llama-style decoder (RMSNorm, rotary positions, SwiGLU; 8 layers, d = 96) with a byte-pair vocabulary of
its own learns some books from scratch, on a CPU in about a quarter of an hour; then the hidden states of a
book that it has not seen are dumped.

    train_tiny_decoder.py --train BOOK.txt ... --held-out BOOK.txt OUTPUT.safetensors

The same seed, thread count and versions of the packages give the same model.
"""

import argparse
import math
import os
import sys
import time

import tokenizers
import torch
import transformers

from dump_hidden_states import UsageError, cut, dump, positive
from safetensors_writer import DTYPES, NonFiniteError

SEQUENCE_LENGTH = 256


def train_tokenizer(texts, vocabulary):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),  # every byte: nothing is unknown
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def new_model(vocabulary):
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=8,
            num_attention_heads=4,
            max_position_embeddings=SEQUENCE_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def unigram_loss(train, test, vocabulary):
    """Mean loss, in nats, of guessing each token of `test` from how often it occurs in `train` (plus one)."""
    counts = torch.bincount(train, minlength=vocabulary) + 1.0
    return -(counts / counts.sum()).log()[test].mean().item()


@torch.no_grad()
def mean_loss(model, ids, batch_size=16):
    """Mean next-token loss over ids, cut into sequences as the dump cuts them."""
    model.eval()
    batches = ids[: len(ids) // SEQUENCE_LENGTH * SEQUENCE_LENGTH].view(-1, SEQUENCE_LENGTH).split(batch_size)
    total = sum(model(input_ids=batch, labels=batch).loss.item() * len(batch) for batch in batches)
    return total / sum(map(len, batches))


def train(model, ids, validation, options):
    """AdamW with a linear warm-up and a cosine decay to a tenth; batches are random windows of the text."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(0.9, 0.95),
    )

    def rate(step):
        warm = min(1.0, (step + 1) / 100)
        return warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / options.steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    generator = torch.Generator().manual_seed(options.seed)
    started = time.monotonic()
    recent = []
    for step in range(1, options.steps + 1):
        model.train()
        starts = torch.randint(len(ids) - SEQUENCE_LENGTH + 1, (options.batch_size,), generator=generator)
        batch = torch.stack([ids[start : start + SEQUENCE_LENGTH] for start in starts.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 100 == 0 or step == options.steps:
            print(
                f"step {step:5d}  train {sum(recent) / len(recent):.4f}  "
                f"held out {mean_loss(model, validation):.4f}  {time.monotonic() - started:.0f} s",
                flush=True,
            )
            last, recent = sum(recent) / len(recent), []
    return last


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument("--train", nargs="+", required=True, metavar="TEXT", help="UTF-8 text files to learn")
    parser.add_argument(
        "--held-out", required=True, metavar="TEXT", help="the text to dump the hidden states of"
    )
    parser.add_argument("--tokens", type=positive, default=2048, help="to dump (default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="f16", help="of the dump (default: %(default)s)")
    parser.add_argument("--model", metavar="DIRECTORY", help="also keep the model, for dump_hidden_states.py")
    parser.add_argument("--licence", default="unspecified", help="of the texts, for the file's metadata")
    parser.add_argument("--steps", type=positive, default=2400, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=positive, default=8, help="sequences (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="highest (default: %(default)s)")
    parser.add_argument("--vocabulary", type=positive, default=2048, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's choice)")
    return parser.parse_args()


def run(options):
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    transformers.logging.set_verbosity_error()
    books = []
    for path in [*options.train, options.held_out]:
        try:
            with open(path, encoding="utf-8") as file:
                books.append(file.read())
        except (OSError, UnicodeDecodeError) as failure:
            raise UsageError(f"{path}: cannot read it: {getattr(failure, 'strerror', failure)}") from failure
    tokenizer = train_tokenizer(books[:-1], options.vocabulary)
    ids = torch.tensor([i for book in books[:-1] for i in tokenizer.encode(book)])
    held_out = tokenizer.encode(books[-1])
    sequences = cut(held_out, SEQUENCE_LENGTH, [], [], options.tokens)
    if len(ids) < SEQUENCE_LENGTH:
        raise UsageError(
            f"the training text is too short: {len(ids)} tokens, expected {SEQUENCE_LENGTH} or more"
        )
    validation = torch.tensor(held_out[: 64 * SEQUENCE_LENGTH])
    baseline = unigram_loss(ids, validation, len(tokenizer))
    model = new_model(len(tokenizer))
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {len(ids)} training tokens, "
        f"vocabulary {len(tokenizer)}; unigram loss on the held-out text {baseline:.4f}",
        flush=True,
    )
    train_loss = train(model, ids, validation, options)
    held_out_loss = mean_loss(model, validation)
    if options.model:
        model.save_pretrained(options.model)
        tokenizer.save_pretrained(options.model)

    def names(paths):
        return ", ".join(os.path.splitext(os.path.basename(path))[0] for path in paths)

    metadata = {
        "model": "Llama-style decoder, 8 layers, d = 96, "
        f"byte-pair vocabulary {len(tokenizer)}, seed {options.seed}",
        "text": names([options.held_out]),
        "trained_on": names(options.train),
        "training": f"{options.steps} AdamW steps of {options.batch_size} x {SEQUENCE_LENGTH} tokens, "
        f"learning rate {options.learning_rate:g}; final loss {train_loss:.3f} nats, "
        f"held out {held_out_loss:.3f}, unigram {baseline:.3f}",
        "licence": options.licence,
        "sequence_length": SEQUENCE_LENGTH,
    }
    loss = dump(model.eval(), sequences, options.output, options.dtype, "before", metadata)
    print(
        f"{options.output}: {os.path.getsize(options.output)} bytes, {len(sequences)} sequences; "
        f"mean next-token loss on them {loss:.4f} nats, unigram {baseline:.4f}"
    )


def main():
    try:
        run(arguments())
    except (UsageError, NonFiniteError, OSError) as failure:
        sys.exit(f"train_tiny_decoder.py: error: {failure}")


if __name__ == "__main__":
    main()
