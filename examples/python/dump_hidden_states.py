#!/usr/bin/env python3
"""Dumps the hidden states of a Hugging Face model, run over a text, for layerwise-profile to read.

The output is a .safetensors file with one tensor, hidden_states [layer][token][dim]: layer 0 is the
embedding output, layer l the output of the model's l-th block. The text is tokenized whole and cut into
sequences, which the model sees in batches; memory does not grow with their number.
"""

import argparse
import signal
import sys

from user_error import UserError

DTYPES = ("f64", "f32", "f16", "bf16")


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
        help="tokens of a sequence, special tokens included (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=1,
        metavar="B",
        help="sequences the model sees at a time; shorter ones are padded for it, padding is not written "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--no-special-tokens",
        action="store_true",
        help="do not give each sequence what the tokenizer adds to a text ([BOS], [CLS] ...)",
    )
    parser.add_argument(
        "--tokenizer", metavar="DIR", help="use the tokenizer in this directory instead of the model's own"
    )
    parser.add_argument(
        "--final-norm",
        choices=("auto", "before", "after", "as-is"),
        default="auto",
        help="take the last hidden state before or after the model's final normalization, or as transformers "
        "gives it (default: before it, or as is where the model has none)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of the file (default: %(default)s)")
    parser.add_argument(
        "--model-dtype", choices=DTYPES, default="f32", help="the model computes in (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="a torch device, such as cuda:1, mps, xpu or cpu "
        "(default: auto, the accelerator that torch finds, else cpu)",
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="CPU threads (default: torch's choice)")
    return parser.parse_args(argv)


def interrupt(*_):
    raise KeyboardInterrupt


def main(argv=None):
    options = arguments(argv)
    signal.signal(signal.SIGTERM, interrupt)  # which would end the program before it has removed its file
    try:
        from dump import dump  # only now: torch takes seconds, for which wrong arguments need not wait

        dump(options)
    except ModuleNotFoundError as failure:
        sys.exit(
            f"dump_hidden_states.py: error: {failure}; see examples/python/README.md for what to install"
        )
    except (UserError, OSError) as failure:
        sys.exit(f"dump_hidden_states.py: error: {failure}")
    except KeyboardInterrupt:
        sys.exit("dump_hidden_states.py: error: interrupted, nothing is written")


if __name__ == "__main__":
    main()
