#!/usr/bin/env python3
"""Dumps the hidden states of a Hugging Face model, run over a text, for layerwise-profile to read.

The output is a .safetensors file with one tensor, hidden_states [layer][token][dim]: layer 0 is the
embedding output, layer l the output of the model's l-th block. The text is tokenized whole and cut into
sequences, which the model sees one at a time; memory does not grow with their number.
"""

import argparse
import math
import os
import sys
import textwrap

# Only local models: never go to the network behind the user's back.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Nor its progress bars while loading, which it draws in a pipe too.
os.environ.setdefault("TQDM_DISABLE", "1")

import gguf
import tokenizers
import torch
import transformers

from safetensors_writer import DTYPES, HiddenStatesWriter, NonFiniteError

# What transformers' model classes call the normalization that comes after their last block.
FINAL_NORM_NAMES = ("norm", "final_norm", "ln_f", "norm_f", "final_layernorm", "final_layer_norm")


class UsageError(Exception):
    """Something the user can put right; printed in one line."""


def load(model_path, dtype):
    """Returns (model, tokenizer) from a model directory or a .gguf file; causal models with their head."""
    if os.path.isfile(model_path):
        folder, name = os.path.split(os.path.abspath(model_path))
        where, file = folder, {"gguf_file": name}
    elif os.path.isfile(os.path.join(model_path, "config.json")):
        where, file = model_path, {}
    else:
        raise UsageError(f"{model_path}: no such model directory or .gguf file")
    try:
        config = transformers.AutoConfig.from_pretrained(where, **file)
        causal = file or any("CausalLM" in a or "LMHead" in a for a in config.architectures or [])
        kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, **file)
        model = kind.from_pretrained(where, dtype=dtype, **file)
        if file and not gguf_adds_bos(model_path):
            tokenizer.backend_tokenizer.post_processor = tokenizers.processors.Sequence([])
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as failure:
        reason = str(failure).strip() or type(failure).__name__
        raise UsageError(f"{model_path}: cannot load it: {textwrap.shorten(reason, 160)}") from failure
    return model.eval(), tokenizer


def gguf_adds_bos(path):
    """What the file says of its tokenizer. transformers does not ask, and puts [BOS] before every text."""
    field = gguf.GGUFReader(path).get_field("tokenizer.ggml.add_bos_token")
    return field is None or bool(field.contents())


def final_norm_of(model):
    """The normalization module after the last block, or None where the model has none that we know of."""
    base = model.base_model
    for owner in (base, getattr(base, "decoder", None), getattr(base, "encoder", None)):
        for name in FINAL_NORM_NAMES:
            if isinstance(getattr(owner, name, None), torch.nn.Module):
                return getattr(owner, name)
    return None


def special_tokens_of(tokenizer):
    """The ids that the tokenizer itself puts before and after a text, such as [BOS], or [CLS] and [SEP]."""
    plain = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a")
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start], full[start + len(plain) :]
    return [], []


def cut(ids, sequence_length, prefix, suffix, limit):
    """Cuts token ids into sequences of sequence_length, special tokens included, of limit tokens in all."""
    body = sequence_length - len(prefix) - len(suffix)
    if body < 1:
        raise UsageError(f"--sequence-length {sequence_length} leaves no room beside the special tokens")
    sequences = [prefix + ids[start : start + body] + suffix for start in range(0, len(ids), body)]
    available = sum(map(len, sequences))
    if limit is not None:
        if available < limit:
            raise UsageError(f"the text is too short: {available} tokens, expected --tokens {limit}")
        whole, rest = divmod(limit, sequence_length)
        sequences = sequences[:whole] + ([sequences[whole][:rest]] if rest else [])
    elif available < 2:
        raise UsageError(f"the text is too short: {available} tokens, expected at least 2")
    return sequences


def states_and_loss(model, sequence, final_norm, captured):
    """Runs one sequence. Returns ([h_0, ..., h_L], summed next-token loss or None).

    `captured` is what the hook on the final norm, if there is one, has put there: its (input, output).
    transformers' last hidden state is for most models the output; the input is what the last block gave.
    """
    ids = torch.tensor([sequence], device=model.device)
    output = model(input_ids=ids, output_hidden_states=True, return_dict=True, **without_cache(model))
    states = [state[0] for state in output.hidden_states]
    if captured:
        before, after = captured.pop()
        if not any(torch.equal(state[0], states[-1]) for state in (before, after)):
            raise UsageError(
                f"what {type(model).__name__} calls its final norm does not give its last hidden state"
            )
        states[-1] = (before if final_norm == "before" else after)[0]
    logits = getattr(output, "logits", None)
    if logits is None:
        return states, None
    loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), ids[0, 1:], reduction="sum")
    return states, loss.item()


def without_cache(model):
    """A key-value cache is of no use for one pass, only takes memory; encoders do not know the argument."""
    return {"use_cache": False} if hasattr(model.config, "use_cache") and model.can_generate() else {}


def dump(model, sequences, path, dtype, final_norm, metadata, progress=None):
    """Writes the states of all sequences. Returns the mean next-token loss in nats, None for an encoder."""
    captured = []
    norm = final_norm_of(model)
    if norm is None and final_norm == "before":
        raise UsageError(f"found no final normalization in {type(model).__name__}; use --final-norm after")
    hook = (
        norm.register_forward_hook(lambda _, inputs, out: captured.append((inputs[0], out))) if norm else None
    )
    config = model.config
    tokens = sum(map(len, sequences))
    layers = config.num_hidden_layers + 1
    metadata = metadata | {"tokens": tokens, "final_norm": final_norm, "layout": "[layer][token][dim]"}
    total, predicted, token = 0.0, 0, 0
    try:
        with torch.no_grad(), HiddenStatesWriter(
            path, layers, tokens, config.hidden_size, dtype, metadata
        ) as out:
            for sequence in sequences:
                states, loss = states_and_loss(model, sequence, final_norm, captured)
                if len(states) != layers:
                    raise UsageError(
                        f"expected {layers} hidden states, {type(model).__name__} gave {len(states)}"
                    )
                for layer, state in enumerate(states):
                    out.write(layer, token, state)
                if loss is not None:
                    total += loss
                    predicted += len(sequence) - 1
                token += len(sequence)
                if progress:
                    progress(token, tokens)
    finally:
        if hook:
            hook.remove()
    return total / predicted if predicted else None


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive integer")
    return value


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model directory (config.json, weights, tokenizer) or a .gguf file")
    parser.add_argument("text", help="a UTF-8 text file")
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument(
        "--tokens", type=positive, metavar="N", help="stop after N tokens (default: the whole text)"
    )
    parser.add_argument(
        "--sequence-length",
        type=positive,
        default=512,
        metavar="S",
        help="tokens the model sees at a time, special tokens included (default: %(default)s)",
    )
    parser.add_argument(
        "--no-special-tokens",
        action="store_true",
        help="do not give each sequence what the tokenizer adds to a text ([BOS], [CLS] ...)",
    )
    parser.add_argument(
        "--final-norm",
        choices=("before", "after"),
        default="before",
        help="take the last hidden state before or after the model's final normalization "
        "(default: %(default)s; that of transformers is mostly after it)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the file (default: %(default)s)")
    parser.add_argument(
        "--model-dtype", choices=DTYPES, default="f32", help="the model computes in (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="a torch device (default: %(default)s)")
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's choice)")
    return parser.parse_args(argv)


def run(options):
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        with open(options.text, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as failure:
        raise UsageError(
            f"{options.text}: cannot read the text: {getattr(failure, 'strerror', failure)}"
        ) from failure
    transformers.logging.set_verbosity_error()  # the warning that a whole text exceeds the context, for one
    model, tokenizer = load(options.model, DTYPES[options.model_dtype][1])
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions and options.sequence_length > positions:
        raise UsageError(f"--sequence-length {options.sequence_length}: the model has {positions} positions")
    try:
        model.to(options.device)
    except RuntimeError as failure:
        raise UsageError(f"--device {options.device}: {str(failure).splitlines()[0]}") from failure
    ids = tokenizer.encode(text, add_special_tokens=False)
    prefix, suffix = ([], []) if options.no_special_tokens else special_tokens_of(tokenizer)
    sequences = cut(ids, options.sequence_length, prefix, suffix, options.tokens)
    tokens, dims = sum(map(len, sequences)), model.config.hidden_size
    if tokens < 16 * dims:
        print(f"note: {tokens} tokens for {dims} dimensions, fewer than 16 for each", file=sys.stderr)

    def progress(done, of):
        print(f"\r{done} of {of} tokens", end="" if done < of else "\n", file=sys.stderr, flush=True)

    metadata = {
        "model": os.path.basename(os.path.abspath(options.model)),
        "text": os.path.basename(options.text),
        "sequence_length": options.sequence_length,
    }
    loss = dump(
        model,
        sequences,
        options.output,
        options.dtype,
        options.final_norm,
        metadata,
        progress if sys.stderr.isatty() else None,
    )
    print(
        f"{options.output}: {model.config.num_hidden_layers + 1} x {tokens} x {dims} {options.dtype}, "
        f"h_L {options.final_norm} the final norm"
    )
    if loss is not None:
        print(f"mean next-token loss {loss:.4f} nats (perplexity {math.exp(loss):.2f})")


def main(argv=None):
    try:
        run(arguments(argv))
    except (UsageError, NonFiniteError, OSError) as failure:
        sys.exit(f"dump_hidden_states.py: error: {failure}")


if __name__ == "__main__":
    main()
