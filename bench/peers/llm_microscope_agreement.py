#!/usr/bin/env python3
"""Compares layerwise-profile with the Python package llm-microscope, layer by layer, on one dump.

The reference scores are those of llm-microscope's own functions, run in float64:
  linearity(h_{l-1}, h_l)           procrustes_similarity
  residual_linearity(h_{l-1}, h_l)  procrustes_similarity_centered
They take two full SVDs per layer, so --reference keeps them in a file, for reruns with the same dump.

Exit status: 0 when every score agrees to --tolerance, 1 when one does not, 2 when the input is unusable.
"""

import argparse
import hashlib
import importlib.metadata
import json
import math
import os
import sys
import time

import llm_microscope
import torch
from safetensors import SafetensorError, safe_open

# our name -> theirs
SCORES = {
    "linearity": llm_microscope.procrustes_similarity,
    "residual_linearity": llm_microscope.procrustes_similarity_centered,
}
PRECISIONS = {"float64": torch.float64, "float32": torch.float32}


class InputError(Exception):
    """An input that cannot be compared; printed in one line."""


def fingerprint(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def their_score(function, before, after):
    """Their score, None where they have none: NaN, or no number at all."""
    score = function(before, after)
    if score is None:
        # In releases 0.0.3 to 0.0.7 procrustes_similarity_centered ends without a return statement.
        raise InputError(f"{function.__name__} returned no value; use the release in requirements.txt")
    return score if math.isfinite(score) else None


def compute_reference(dump, precision, digest):
    """Both scores of every layer. Memory: the dump stays on disk, two layers of it are loaded at a time."""
    with safe_open(dump, framework="pt") as file:
        if "hidden_states" not in file.keys():
            raise InputError(f"{dump}: expected a tensor named hidden_states, got {', '.join(file.keys())}")
        states = file.get_slice("hidden_states")
        shape = states.get_shape()
        if len(shape) != 3 or shape[0] < 2:
            raise InputError(
                f"{dump}: hidden_states: expected [layer][token][dim] with 2 or more layers, got {shape}"
            )
        layers = []
        started = time.monotonic()
        after = states[0].to(PRECISIONS[precision])
        for layer in range(1, shape[0]):
            before, after = after, states[layer].to(PRECISIONS[precision])
            layers.append(
                {"layer": layer} | {name: their_score(f, before, after) for name, f in SCORES.items()}
            )
            print(f"layer {layer} of {shape[0] - 1}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        return {
            "package": "llm-microscope " + importlib.metadata.version("llm-microscope"),
            "precision": precision,
            "dump": os.path.basename(dump),
            "dump_sha256": digest,
            "dump_metadata": file.metadata() or {},
            "tokens": shape[1],
            "dimensions": shape[2],
            "seconds": round(time.monotonic() - started, 1),
            "layers": layers,
        }


def reference(dump, precision, cache):
    """The reference scores: from the cache if it is of this dump and precision, else computed and kept."""
    digest = fingerprint(dump)
    if cache and os.path.exists(cache):
        with open(cache, encoding="utf-8") as file:
            kept = json.load(file)
        if kept["dump_sha256"] == digest and kept["precision"] == precision:
            return kept
        print(f"{cache} is of another dump or precision: computing anew", file=sys.stderr)
    computed = compute_reference(dump, precision, digest)
    if cache:
        with open(cache, "w", encoding="utf-8") as file:
            json.dump(computed, file, indent=1)
            file.write("\n")
    return computed


def read_profile(path, expected_layers):
    try:
        with open(path, encoding="utf-8") as file:
            layers = json.load(file)["layers"]
        ours = {entry["layer"]: {name: entry[name] for name in SCORES} for entry in layers}
    except (OSError, ValueError, KeyError, TypeError) as failure:
        raise InputError(
            f"{path}: not a profile written by layerwise-profile --format json: {failure!r}"
        ) from failure
    if sorted(ours) != list(range(1, expected_layers + 1)):
        raise InputError(f"{path}: expected layers 1 to {expected_layers}, got {sorted(ours)}")
    return ours


def compare(ours, theirs, tolerance):
    """Prints the Markdown table and its maxima. Returns whether every pair of scores agrees."""
    print("| layer | score | layerwise | llm-microscope | difference | error bound |")
    print("|---:|:---|---:|---:|---:|---:|")
    agree = True
    largest = {name: (0.0, None) for name in SCORES}
    for row in theirs["layers"]:
        for name in SCORES:
            mine, their = ours[row["layer"]][name], row[name]
            if mine is None or their is None:
                # An undefined score (null here, NaN there) has to be undefined on both sides.
                agree = agree and mine is None and their is None
                cells = [
                    "none" if mine is None else f"{mine['score']:.12f}",
                    "none" if their is None else f"{their:.12f}",
                    "",
                    "",
                ]
            else:
                difference = abs(mine["score"] - their)
                agree = agree and difference <= tolerance
                if not difference <= largest[name][0]:
                    largest[name] = (difference, row["layer"])
                cells = [
                    f"{mine['score']:.12f}",
                    f"{their:.12f}",
                    f"{difference:.1e}",
                    f"{mine['error_bound']:.1e}",
                ]
            print(f"| {row['layer']} | {name} | " + " | ".join(cells) + " |")
    print()
    for name, (difference, layer) in largest.items():
        print(f"{name}: largest difference {difference:.1e}" + (f" at layer {layer}" if layer else ""))
    print(
        f"{theirs['package']}, {theirs['precision']}, {len(theirs['layers'])} layer pairs, "
        f"{theirs['tokens']} tokens, {theirs['dimensions']} dimensions: "
        + (f"agreement to {tolerance:g}" if agree else f"NO agreement to {tolerance:g}")
    )
    return agree


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", help=".safetensors file with hidden_states [layer][token][dim]")
    parser.add_argument(
        "profile",
        nargs="?",
        help="output of layerwise-profile --format json for the same dump; "
        "without it the reference is computed and nothing compared",
    )
    parser.add_argument("--reference", metavar="FILE", help="keep the reference scores in this JSON file")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float64",
        help="llm-microscope computes in (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-6, help="allowed difference (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        theirs = reference(options.dump, options.precision, options.reference)
        if options.profile:
            agree = compare(read_profile(options.profile, len(theirs["layers"])), theirs, options.tolerance)
            sys.exit(0 if agree else 1)
        json.dump(theirs, sys.stdout, indent=1)
        print()
    except (InputError, OSError, SafetensorError, ValueError, KeyError) as failure:
        print(f"llm_microscope_agreement.py: error: {failure}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
