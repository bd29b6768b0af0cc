"""Runs a model over a text and writes its hidden states.

What cannot work is found before the weights are loaded, as far as that can be known without them.
"""

import math
import os
import shutil
import sys
import warnings

# Only local models: never go to the network behind the user's back.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Nor progress bars while loading, which are drawn in a pipe too; these are tqdm's own, see also dump().
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
import transformers

from blocks import BlockWatch
from model import ModelFiles, check_states, rehearse, states_of
from safetensors_writer import DTYPES, HiddenStatesWriter
from sequences import batches, cut, padded, read_text, special_tokens_of
from user_error import UserError, one_line, refusing


def dump(options):
    """Does what the command line asks for, and prints what came out."""
    warnings.simplefilter("ignore")  # whatever is wrong is said in a line of ours
    transformers.logging.set_verbosity_error()  # the warning that a whole text exceeds the context, for one
    transformers.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    check_output(options.output)
    text = read_text(options.text)
    device = device_named(options.device)

    files = ModelFiles(options.model, options.tokenizer)
    tokenizer = files.read_tokenizer()
    sequences = sequences_of(text, files, tokenizer, options)
    outline = files.rehearse(max(map(len, sequences)), options.batch_size)
    if outline:
        settle(outline, sequences, options)
    model = files.load(DTYPES[options.model_dtype][1], device)
    if not outline:
        with refusing(f"cannot run {type(model).__name__} on text"):
            outline = rehearse(model)
    final_norm = settle(outline, sequences, options)

    print_notes(sequences, tokenizer, outline)
    loss = write_states(model, sequences, outline, final_norm, files.predicts_next_token, options)
    print_result(outline, sequences, final_norm, loss, device, options)


def check_output(path):
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise UserError(f"{path}: cannot write it: it is a directory")
    if not os.path.isdir(folder):
        raise UserError(f"{path}: cannot write it: there is no directory {folder}")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{path}: cannot write it: no permission to write in {folder}")


def device_named(name):
    if name == "auto":
        name = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    with refusing(f"--device {name}: torch cannot use it"):
        torch.zeros(1, device=name).item()
    return torch.device(name)


def sequences_of(text, files, tokenizer, options):
    """The token ids of the text, cut into what the model sees at a time."""
    with refusing(f"{options.text}: the tokenizer fails on it"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        special_tokens = ([], []) if options.no_special_tokens else special_tokens_of(tokenizer, text)
    if files.gguf:
        if options.tokenizer:
            files.gguf.check(tokenizer, text)
        if not options.no_special_tokens:
            special_tokens = files.gguf.special_tokens(otherwise=special_tokens)
    sequences = cut(ids, options.sequence_length, special_tokens, options.tokens)
    files.check_vocabulary(max(map(max, sequences)))
    return sequences


def settle(outline, sequences, options):
    """Refuses what the outline does not allow; returns the end of the final norm to write, or None."""
    check_space(outline, sequences, options)
    asked, has_final_norm = options.final_norm, outline.has_final_norm
    if asked == "as-is" or (asked == "auto" and has_final_norm is False):
        return None
    if has_final_norm:
        return "before" if asked == "auto" else asked
    if has_final_norm is False:
        raise UserError(
            f"--final-norm {asked}: {outline.model} has no final normalization, leave the option out"
        )
    raise UserError(
        f"cannot tell what {outline.model} does after its last block; "
        "--final-norm as-is takes the last hidden state that transformers gives"
    )


def check_space(outline, sequences, options):
    values = outline.layers * sum(map(len, sequences)) * outline.dims
    needed = values * DTYPES[options.dtype][1].itemsize
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(options.output))).free
    if needed > free:
        raise UserError(
            f"{options.output} would take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        )


def print_notes(sequences, tokenizer, outline):
    tokens = sum(map(len, sequences))
    unknown = sum(sequence.count(tokenizer.unk_token_id) for sequence in sequences)
    if unknown:
        print(
            f"note: {unknown} of {tokens} tokens are what the tokenizer gives for unknown text",
            file=sys.stderr,
        )
    if tokens < 16 * outline.dims:
        print(f"note: {tokens} tokens for {outline.dims} dimensions, fewer than 16 for each", file=sys.stderr)


def write_states(model, sequences, outline, final_norm, predicts_next_token, options):
    """Writes the states of all sequences. Returns the mean next-token loss in nats, if there is one."""
    tokens = sum(map(len, sequences))
    total, predicted, token = 0.0, 0, 0
    with (
        HiddenStatesWriter(
            options.output,
            outline.layers,
            tokens,
            outline.dims,
            options.dtype,
            metadata_of(options, tokens, final_norm),
        ) as out,
        BlockWatch(model) as watch,
        torch.no_grad(),
    ):
        for batch in batches(sequences, options.batch_size):
            states, logits = run_batch(model, batch, watch, final_norm)
            for row, sequence in enumerate(batch):
                for layer, state in enumerate(states):
                    out.write(layer, token, state[row, : len(sequence)])
                token += len(sequence)
                if predicts_next_token:
                    total += next_token_loss(logits[row], sequence)
                    predicted += len(sequence) - 1
            print_progress(token, tokens)
    return total / predicted if predicted else None


def metadata_of(options, tokens, final_norm):
    """As layerwise-profile reads it; there is no final_norm where the file holds neither end of one."""
    return {
        "model": os.path.basename(os.path.abspath(options.model)),
        "text": os.path.basename(options.text),
        "sequence_length": options.sequence_length,
        "tokens": tokens,
        **({"final_norm": final_norm} if final_norm else {}),
        "layout": "[layer][token][dim]",
    }


def run_batch(model, batch, watch, final_norm):
    """(h_0 ... h_L [sequence][token][dim], logits or None), with h_L from that end of the final norm."""
    ids, mask = padded(batch, model.device)
    try:
        states, logits = states_of(model, ids, mask)
    except Exception as failure:
        reason = one_line(failure)
        if "memory" in reason.lower():
            reason += "; a smaller --batch-size or --sequence-length takes less"
        size = f"{ids.shape[0]} x {ids.shape[1]} tokens"
        raise UserError(f"{type(model).__name__} fails on {size}: {reason}") from failure
    check_states(model, states, ids.shape)
    ends = watch.final_norm(states)
    if not final_norm:
        return states, logits
    if not ends:
        raise UserError(
            f"{type(model).__name__}: its final norm did not give its last hidden state this time"
        )
    return [*states[:-1], ends[final_norm]], logits


def next_token_loss(logits, sequence):
    """Summed over the tokens after the first; `logits` may have more rows, for padding."""
    targets = torch.tensor(sequence[1:], device=logits.device)
    return torch.nn.functional.cross_entropy(logits[: len(targets)].float(), targets, reduction="sum").item()


def print_progress(done, of):
    if sys.stderr.isatty():
        print(f"\r{done} of {of} tokens", end="" if done < of else "\n", file=sys.stderr, flush=True)


def print_result(outline, sequences, final_norm, loss, device, options):
    size = f"{outline.layers} x {sum(map(len, sequences))} x {outline.dims} {options.dtype}"
    if final_norm:
        last = f"{final_norm} the final norm"
    elif outline.has_final_norm is False:
        last = "of the last block, there is no final norm"
    else:
        last = "as transformers gives it"
    print(f"{options.output}: {size}, h_L {last}; run on {device}")
    if loss is not None:
        print(f"mean next-token loss {loss:.4f} nats (perplexity {math.exp(loss):.2f})")
