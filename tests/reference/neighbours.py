#!/usr/bin/env python3
"""Writes neighbours_data.hpp: published examples of TwoNN and of shared neighbours, and what the definitions give.

    python3 -m venv venv && venv/bin/pip install numpy scipy
    venv/bin/python tests/reference/neighbours.py 2gaussians_in_2d.npy 2gaussians_in_2d_overlap.npy

The two files are of DADApy's tests (Apache-2.0).

30 points of scikit-dimension's test, uniform in the ball of 5 dimensions: a normal vector x, times the radius at which
the chi-square distribution function of ||x||^2 has its fifth root, over ||x||.
"""

import os
import sys

import numpy as np
from scipy.special import gammainc


def ratios(points):
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    distances.sort(axis=1)
    return np.sort(distances[:, 2] / distances[:, 1])


def slope(points, fraction, first=1):
    mu = ratios(points)
    count = int(fraction * len(mu))
    x, y = np.log(mu[:count]), -np.log1p(-np.arange(first, first + count) / len(mu))
    return float(x @ y / (x @ x))


def likelihood(points):
    return float((len(points) - 1) / np.log(ratios(points)).sum())


def array(name, points):
    rows = ",\n".join("    {" + ", ".join(float(v).hex() for v in row) + "}" for row in points)
    return f"inline constexpr double {name}[{points.shape[0]}][{points.shape[1]}] = {{\n{rows}}};\n"


def overlap(x, y, k):
    def nearest(points):
        distances = ((points[:, None] - points[None]) ** 2).sum(-1)
        np.fill_diagonal(distances, np.inf)
        return np.argsort(distances, axis=1, kind="stable")[:, :k]

    return sum(len(set(a) & set(b)) for a, b in zip(nearest(x), nearest(y))) / (k * len(x))


def main(gaussians, overlapping):
    random = np.random.RandomState(0)
    normal = random.normal(size=(30, 5))
    squares = (normal**2).sum(axis=1)
    ball = normal * (gammainc(2.5, squares / 2) ** 0.2 / np.sqrt(squares))[:, None]
    points, pairs = np.load(gaussians), np.load(overlapping)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "neighbours_data.hpp"), "w") as out:
        out.write("// Written by neighbours.py.\n#pragma once\n\n// clang-format off\n")
        out.write("namespace layerwise_test {\n\n")
        out.write("/// Uniform in the ball of 5 dimensions.\n" + array("ball", ball))
        out.write("\n/// Two Gaussians: tests/2gaussians_in_2d.npy of DADApy, (c) The DADApy Authors, Apache-2.0.\n")
        out.write(array("gaussians", points))
        out.write("\n/// tests/2gaussians_in_2d_overlap.npy of DADApy, the same.\n")
        out.write(array("overlapping", pairs) + "\n}  // namespace layerwise_test\n")
    for name, data in ("ball", ball), ("gaussians", points):
        print(name, "slope .9", slope(data, 0.9), ".95", slope(data, 0.95), "likelihood", likelihood(data))
        print(name, "with F = (i - 1) / n", slope(data, 0.9, 0), slope(data, 0.95, 0), "lowest fifth", slope(data, 0.2))
    print("overlap of the plane's and the second coordinate's 30 neighbours", overlap(pairs, pairs[:, 1:], 30))


main(*sys.argv[1:])
