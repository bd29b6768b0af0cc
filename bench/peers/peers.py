#!/usr/bin/env python3
"""Measures layerwise and the Python peers in turn on the same files, and writes the ratios as JSON.

Every peer takes turns with ours; each side's best time counts. What a peer
returns is checked: against the exact score, or against what layerwise returns. run.sh starts this program.
"""

import argparse
import functools
import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import time

import llm_microscope
import numpy
import scipy.linalg
import threadpoolctl
import torch

# Relative, of what both sides return: the peers' sums are in float32.
TOLERANCE = 1e-3


class Failure(Exception):
    """What ends a comparison; printed in one line."""


# What a peer may throw, or be found wrong by.
FAILURES = (Failure, RuntimeError, ValueError, numpy.linalg.LinAlgError)


# ------------------------------------------------------------------------- both scores of a pair, by peer


def by_llm_microscope(before, after):
    """As its users call it: on the float32 states."""
    before, after = torch.from_numpy(before), torch.from_numpy(after)
    return (
        llm_microscope.procrustes_similarity(before, after),
        llm_microscope.procrustes_similarity_centered(before, after),
    )


def by_least_squares(solve, dtype, before, after):
    """Both scores by one call of solve(x, right-hand sides), which returns the solution."""
    x = before.astype(dtype)
    y = after.astype(dtype)
    right = numpy.hstack([y, y - x])
    x -= x.mean(axis=0)
    right -= right.mean(axis=0)
    energy = numpy.square(right).sum(axis=0, dtype=numpy.float64)
    left = numpy.square(x @ solve(x, right) - right).sum(axis=0, dtype=numpy.float64)
    d = x.shape[1]
    return 1 - left[:d].sum() / energy[:d].sum(), 1 - left[d:].sum() / energy[d:].sum()


def torch_solve(x, right):
    return torch.linalg.lstsq(torch.from_numpy(x), torch.from_numpy(right)).solution.numpy()


def numpy_solve(x, right):
    return numpy.linalg.lstsq(x, right, rcond=None)[0]


def scipy_solve(driver, x, right):
    return scipy.linalg.lstsq(x, right, overwrite_a=False, check_finite=False, lapack_driver=driver)[0]


SCORES = {
    "llm-microscope (float32)": by_llm_microscope,
    "torch.linalg.lstsq (float32)": functools.partial(by_least_squares, torch_solve, numpy.float32),
    "torch.linalg.lstsq": functools.partial(by_least_squares, torch_solve, numpy.float64),
    "numpy.linalg.lstsq": functools.partial(by_least_squares, numpy_solve, numpy.float64),
    "scipy.linalg.lstsq gelsd": functools.partial(
        by_least_squares, functools.partial(scipy_solve, "gelsd"), numpy.float64
    ),
    "scipy.linalg.lstsq gelsy": functools.partial(
        by_least_squares, functools.partial(scipy_solve, "gelsy"), numpy.float64
    ),
}


def profile_by_llm_microscope(stack):
    """Both scores of every pair; returns the sum of the residual ones."""
    layers = [torch.from_numpy(layer) for layer in stack]
    total = 0.0
    for before, after in itertools.pairwise(layers):
        llm_microscope.procrustes_similarity(before, after)
        total += llm_microscope.procrustes_similarity_centered(before, after)
    return total


# ---------------------------------------------------- angles and regularizers in PyTorch, [layer][token][dim]


def cosine(h):
    return torch.nn.functional.cosine_similarity(h[1:], h[:-1], dim=-1)


def displacement(h):
    return (1 - cosine(h)) / 2


def mse(h):
    return 0.5 * (h[1:] - h[:-1]).square().sum(dim=(0, 2)).mean()


def jreg(h):
    weights = torch.softmax(0.5 * torch.arange(1, len(h), dtype=h.dtype), dim=0)
    return (weights * displacement(h).mean(dim=1)).sum()


def value(function, h):
    with torch.no_grad():
        return {"value": function(h).mean().item()}


def value_and_gradient(function, h):
    h.grad = None
    loss = function(h)
    loss.backward()
    return {"value": loss.item(), "gradient": h.grad}


# our job -> the peer's call of a leaf tensor
STATES = {
    "cosine": functools.partial(value, cosine),
    "displacement": functools.partial(value, displacement),
    "mse": functools.partial(value, mse),
    "jreg": functools.partial(value, jreg),
    "mse_gradient": functools.partial(value_and_gradient, mse),
    "jreg_gradient": functools.partial(value_and_gradient, jreg),
}


# --------------------------------------------------------------------------------------------- measuring


def best_seconds(call):
    """The best of as many calls as a second holds, as ours.cpp does it, and what the last one returned."""
    best, total = float("inf"), 0.0
    while total < 1:
        started = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - started
        best = min(best, seconds)
        total += seconds
    return best, result


def same(mine, theirs, what):
    if not abs(mine - theirs) <= TOLERANCE * abs(mine):
        raise Failure(f"{what}: layerwise says {mine!r}, the peer {theirs!r}")


class Comparison:
    """Runs both sides and keeps the rows, in a file that is complete after every row."""

    def __init__(self, options):
        self.options = options
        packages = ("llm-microscope", "torch", "numpy", "scipy")
        self.record = {
            "threads": options.threads,
            "packages": {name: importlib.metadata.version(name) for name in packages},
            # Which kernel the OpenBLAS inside numpy, and scipy, has taken for this processor.
            "blas": [
                f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
                for library in threadpoolctl.threadpool_info()
                if library["user_api"] == "blas"
            ],
            "rows": [],
            "failures": {},
        }

    def path(self, name):
        return os.path.join(self.options.folder, name)

    def ours(self, program, job, *files):
        environment = os.environ | {
            "OMP_NUM_THREADS": str(self.options.threads),
            "OMP_WAIT_POLICY": "passive",
        }
        command = [program, job, *map(self.path, files)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError as failure:
            raise Failure(failure.stderr.strip() or str(failure)) from failure
        return json.loads(done.stdout)

    def write_data(self, layers):
        """Once: unless it is there, of as many layers, and no older than the program that makes it."""
        program, last = self.options.ours[0], self.path("hard.json")
        fresh = os.path.exists(last) and os.path.getmtime(last) > os.path.getmtime(program)
        if fresh and len(numpy.load(self.path("stack.npy"), mmap_mode="r")) == layers:
            return
        print("writing the data ...", file=sys.stderr, flush=True)
        os.makedirs(self.options.folder, exist_ok=True)
        subprocess.run([program, "write", self.options.folder, str(layers)], check=True)

    def compare(self, case, peer, call, rounds, job, *files):
        """Returns (rows of the table, one for each of our programs; our result; the peer's)."""
        print(f"{case}: {peer} ...", end=" ", file=sys.stderr, flush=True)
        best = float("inf")
        mine = {}
        for _ in range(rounds):
            for program in self.options.ours:
                result = self.ours(program, job, *files)
                if program not in mine or result["seconds"] < mine[program]["seconds"]:
                    mine[program] = result
            # numpy's and scipy's OpenBLAS is slower with more threads where other programs are busy.
            alone = {1} if peer.startswith(("numpy", "scipy")) else set()
            for threads in alone | {self.options.threads}:
                with threadpoolctl.threadpool_limits(threads, user_api="blas"):
                    seconds, theirs = best_seconds(call)
                best = min(best, seconds)
        rows = []
        for program, result in mine.items():
            rows.append(
                {
                    "case": case,
                    "peer": peer,
                    "program": os.path.basename(program),
                    "peer_seconds": best,
                    "our_seconds": result["seconds"],
                    "ratio": best / result["seconds"],
                }
            )
        print(", ".join(f"{row['ratio']:.1f} times ours" for row in rows), file=sys.stderr, flush=True)
        return rows, next(iter(mine.values())), theirs

    def fail(self, what, failure):
        print(f"\npeers.py: {what}: {failure}", file=sys.stderr)
        self.record["failures"][what] = str(failure)
        self.keep([])

    def keep(self, rows):
        self.record["rows"] += rows
        with open(self.options.output + ".part", "w", encoding="utf-8") as file:
            json.dump(self.record, file, indent=1)
            file.write("\n")
        os.replace(self.options.output + ".part", self.options.output)

    def scores(self, name, case, rounds):
        files = [f"{name}.before.npy", f"{name}.after.npy"]
        before, after = (numpy.load(self.path(file)) for file in files)
        exact = None
        if name == "hard":
            with open(self.path("hard.json"), encoding="utf-8") as file:
                exact = json.load(file)["residual_linearity"]
        for peer, function in SCORES.items():
            case_name = case.format(*before.shape)
            try:
                rows, mine, theirs = self.compare(
                    case_name, peer, functools.partial(function, before, after), rounds, "scores", *files
                )
                # On well-conditioned data ours is the reference; bench_methods has checked it.
                reference = mine["residual_linearity"] if exact is None else exact
                for row in rows:
                    row["peer_error"] = abs(theirs[1] - reference)
                    if exact is not None:
                        row["our_error"] = abs(mine["residual_linearity"] - exact)
                if exact is None:
                    same(mine["residual_linearity"], theirs[1], peer)
            except FAILURES as failure:
                self.fail(f"{case_name}: {peer}", failure)
                continue
            self.keep(rows)

    def profile(self):
        stack = numpy.load(self.path("stack.npy"))
        rows, mine, theirs = self.compare(
            f"profile, {len(stack) - 1} pairs, {stack.shape[1]} x {stack.shape[2]}",
            "llm-microscope (float32)",
            functools.partial(profile_by_llm_microscope, stack),
            1,
            "profile",
            "stack.npy",
        )
        same(mine["value"], theirs, "profile")
        self.keep(rows)

    def states(self, rounds):
        h = torch.from_numpy(numpy.load(self.path("states.npy")))
        h.requires_grad_()
        shape = " x ".join(map(str, h.shape))
        for job, function in STATES.items():
            case = f"{job.replace('_', ', value and ')}, {shape}"
            try:
                rows, mine, theirs = self.compare(
                    case, "PyTorch eager", functools.partial(function, h), 2 * rounds, job, "states.npy"
                )
                same(mine["value"], theirs["value"], job)
                if "gradient" in theirs:
                    same(mine["gradient"], theirs["gradient"].double().norm().item(), job)
            except FAILURES as failure:
                self.fail(case, failure)
                continue
            self.keep(rows)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive integer")
    return number


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="for the data: about 1.4 GB, 0.3 GB with --quick")
    parser.add_argument("output", help="the JSON file to write")
    parser.add_argument(
        "--ours", nargs="+", required=True, metavar="PROGRAM", help="builds of ours.cpp; the first is checked"
    )
    parser.add_argument("--threads", type=positive, default=2, help="of both sides (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="turns a peer (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, and a stack of 3 layers, not 31")
    parser.add_argument(
        "--only", choices=("pair", "hard", "states", "profile"), nargs="+", help="leave out the other cases"
    )
    return parser.parse_args()


def run(options):
    layers, rounds = (3, 1) if options.quick else (31, options.rounds)
    torch.set_num_threads(options.threads)
    comparison = Comparison(options)
    comparison.write_data(layers)
    cases = {
        "pair": lambda: comparison.scores("pair", "both scores, {} x {}", rounds),
        "hard": lambda: comparison.scores("hard", "both scores, hard data, {} x {}", rounds),
        "states": lambda: comparison.states(rounds),
        "profile": comparison.profile,
    }
    for name, case in cases.items():
        if options.only and name not in options.only:
            continue
        try:
            case()
        except FAILURES as failure:
            comparison.fail(name, failure)
    return bool(comparison.record["failures"])


def main():
    try:
        sys.exit(run(arguments()))
    except (Failure, OSError, subprocess.CalledProcessError) as failure:
        sys.exit(f"peers.py: error: {failure}")


if __name__ == "__main__":
    main()
