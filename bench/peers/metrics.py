#!/usr/bin/env python3
"""Measures layerwise's metrics and the Python packages that have them, in turns, and prints the ratios as a table.

Both sides read the same float32 files. A peer gets its matrices in the precision it wants, before its time starts, and
is checked against ours before it is timed; each side's best time counts. metrics.sh starts this program.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import time
import warnings

import dadapy
import numpy
import repsim
import skdim
import threadpoolctl
import torch
import torch_cka

warnings.filterwarnings("ignore")


# ----------------------------------------------------------------------------------------------------- the data


def write_data(folder):
    random = numpy.random.default_rng(1)

    def save(name, m):
        numpy.save(os.path.join(folder, name + ".npy"), m.astype(numpy.float32))

    spectrum = 1 / numpy.sqrt(numpy.arange(1, 257))
    x = random.standard_normal((2048, 256)) * spectrum
    save("x", x)
    save("y", x @ random.standard_normal((256, 256)) / 16 + 0.05 * random.standard_normal((2048, 256)))
    stack = [random.standard_normal((1024, 256)) * spectrum]
    for _ in range(8):
        stack.append(stack[-1] + 0.3 * random.standard_normal((1024, 256)) * spectrum)
    save("stack", numpy.stack(stack))
    points = random.standard_normal((4096, 8)) @ random.standard_normal((8, 256))
    save("points", points + 0.01 * random.standard_normal((4096, 256)))
    save("others", points + 0.5 * random.standard_normal((4096, 256)))


# ---------------------------------------------------------------------------------------------------- the peers


def centred(m):
    return m - m.mean(axis=0)


def numpy_cka(x, y):
    x, y = centred(x), centred(y)
    return numpy.square(x.T @ y).sum() / (numpy.linalg.norm(x.T @ x) * numpy.linalg.norm(y.T @ y))


def numpy_procrustes(x, y):
    """netrep's LinearMetric(alpha=1): the angle between shapes."""
    x, y = centred(x), centred(y)
    x, y = x / numpy.linalg.norm(x), y / numpy.linalg.norm(y)
    return numpy.arccos(numpy.clip(numpy.linalg.svd(x.T @ y, compute_uv=False).sum(), -1, 1))


def numpy_cca(x, y):
    """netrep's alpha=0: both whitened, here by QR."""
    q_x, q_y = numpy.linalg.qr(centred(x))[0], numpy.linalg.qr(centred(y))[0]
    return numpy.linalg.svd(q_x.T @ q_y, compute_uv=False).mean()


def numpy_debiased_cka(x, y):
    """By n x n kernels, as platonic-rep and others."""

    def hsic(k, l):
        n = len(k)
        return (
            (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(axis=0) @ l.sum(axis=0))
        )

    k, l = x @ x.T, y @ y.T
    numpy.fill_diagonal(k, 0)
    numpy.fill_diagonal(l, 0)
    return hsic(k, l) / numpy.sqrt(hsic(k, k) * hsic(l, l))


class Layers(torch.nn.Module):
    """A model whose hidden states are rows that it is given: [token][layer][dim]."""

    def __init__(self, count):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Identity() for _ in range(count))

    def forward(self, rows):
        for l, layer in enumerate(self.layers):
            layer(rows[:, l])
        return rows


def by_torch_cka(stack):
    """One batch, so that its estimate is that of all tokens."""
    count = stack.shape[1]
    names = [f"layers.{l}" for l in range(count)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        # Two objects: hooks of one model would serve both.
        cka = torch_cka.CKA(Layers(count), Layers(count), "a", "b", names, names)
        cka.compare(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(stack), batch_size=len(stack)))
        return cka.export()["CKA"][0, -1].item()


def by_skdim(points):
    return skdim.id.TwoNN(discard_fraction=0.1).fit(points).dimension_


def by_dadapy(points, threads):
    data = dadapy.Data(points, maxk=2, n_jobs=threads)
    data.compute_distances(maxk=2)
    return data.compute_id_2NN(algorithm="base", mu_fraction=0.9)[0]


def by_dadapy_overlap(x, y, threads):
    data = dadapy.metric_comparisons.MetricComparisons(x, maxk=len(x) - 1, n_jobs=threads)
    return data.return_data_overlap(y, k=10)


# ---------------------------------------------------------------------------------------------------- measuring


def best_seconds(call):
    """The best of as many calls as a second holds, as our side does it."""
    best, total = float("inf"), 0.0
    while total < 1:
        started = time.perf_counter()
        call()
        seconds = time.perf_counter() - started
        best, total = min(best, seconds), total + seconds
    return best


class Comparison:
    def __init__(self, options):
        self.options = options
        self.failures = 0

    def load(self, name):
        return numpy.load(os.path.join(self.options.folder, name + ".npy"))

    def ours(self, job, files):
        paths = [os.path.join(self.options.folder, name + ".npy") for name in files]
        done = subprocess.run(
            [os.path.join(self.options.folder, "ours"), job, *paths], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def compare(self, what, peer, job, files, call, tolerance, fault=None):
        """A row of the table, or what is wrong with the peer's answer; `fault`, if that is known."""
        mine, theirs = self.ours(job, files), float(call())
        if not abs(theirs - mine["value"]) <= tolerance * max(1, abs(mine["value"])):
            self.failures += fault is None
            why = f": {fault}" if fault else ""
            print(f"| {what} | {peer} | says {theirs:.6g}, ours {mine['value']:.6g}{why} | | |", flush=True)
            return
        best, seconds = float("inf"), mine["seconds"]
        for _ in range(self.options.rounds):
            seconds = min(seconds, self.ours(job, files)["seconds"])
            best = min(best, best_seconds(call))
        off = abs(theirs - mine["value"])
        print(f"| {what} | {peer} | {best / seconds:.1f} | {seconds * 1e3:.1f} | {off:.0e} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with our program; data of 22 MB is written there")
    parser.add_argument("--threads", type=int, default=2, help="of both sides (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="turns (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    write_data(options.folder)
    blas = [f"{one['internal_api']} {one.get('architecture', '')}" for one in threadpoolctl.threadpool_info()]
    print(f"{options.threads} threads; {', '.join(sorted(set(blas)))}; time of a peer in units of ours\n")
    print("| metric | peer | times ours | ours, ms | apart |\n|---|---|---:|---:|---:|")

    c = Comparison(options)
    x, y = c.load("x").astype(float), c.load("y").astype(float)
    pair, pair_of = ["x", "y"], "2048 x 256"
    for dtype in float, numpy.float32:
        a, b, name = x.astype(dtype), y.astype(dtype), numpy.dtype(dtype).name
        c.compare(f"linear CKA, {pair_of}", f"numpy {name}", "cka", pair, lambda: numpy_cka(a, b), 1e-5)
    c.compare(
        f"linear CKA, {pair_of}", "repsim (C++)", "cka", pair,
        lambda: repsim.cka([x, y], "linear", "gretton")[0, 1], 1e-9,
    )  # fmt: skip
    c.compare(f"debiased CKA, {pair_of}", "numpy, kernels", "debiased_cka", pair, lambda: numpy_debiased_cka(x, y), 1e-9)
    c.compare(
        f"debiased CKA, {pair_of}", "repsim (C++)", "debiased_cka", pair,
        lambda: repsim.cka([x, y], "linear", "song")[0, 1], 1e-5, "divides by biased estimates",
    )  # fmt: skip
    c.compare(f"Procrustes, {pair_of}", "numpy as netrep", "procrustes", pair, lambda: numpy_procrustes(x, y), 1e-9)
    c.compare(f"mean CCA, {pair_of}", "numpy as netrep", "mean_cca", pair, lambda: numpy_cca(x, y), 1e-9)
    c.compare(
        f"mean squared CCA, {pair_of}", "repsim (C++)", "mean_squared_cca", pair,
        lambda: repsim.cca([centred(x), centred(y)], "yanai")[0, 1], 1e-5,
    )  # fmt: skip
    stack = torch.from_numpy(c.load("stack").transpose(1, 0, 2).copy())
    c.compare(
        "debiased CKA of 9 layers, 1024 x 256", "torch-cka (float32)", "debiased_cka_matrix", ["stack"],
        lambda: by_torch_cka(stack), 1e-4,
    )  # fmt: skip
    points, others = c.load("points").astype(float), c.load("others").astype(float)
    c.compare("TwoNN, 4096 x 256", "scikit-dimension", "dimension", ["points"], lambda: by_skdim(points), 1e-3)
    c.compare(
        "TwoNN, 4096 x 256", "DADApy", "dimension", ["points"], lambda: by_dadapy(points, options.threads), 1e-3
    )
    unit = [m / numpy.linalg.norm(m, axis=1, keepdims=True) for m in (points, others)]
    c.compare(
        "mutual kNN, k = 10, 4096 x 256", "DADApy, of unit rows", "knn", ["points", "others"],
        lambda: by_dadapy_overlap(*unit, options.threads), 1e-6,
    )  # fmt: skip
    return 1 if c.failures else 0


if __name__ == "__main__":
    sys.exit(main())
