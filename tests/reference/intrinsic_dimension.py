#!/usr/bin/env python3
"""Writes intrinsic_dimension_data.hpp: the published examples of TwoNN, and what the definition gives on them.

    python3 -m venv venv && venv/bin/pip install numpy scipy
    venv/bin/python tests/reference/intrinsic_dimension.py 2gaussians_in_2d.npy   # of DADApy's tests (Apache-2.0)

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
    values = ", ".join(float(v).hex() for v in points.ravel())
    return f"inline constexpr double {name}[{points.shape[0]}][{points.shape[1]}] = {{{values}}};\n"


def main(gaussians):
    random = np.random.RandomState(0)
    normal = random.normal(size=(30, 5))
    squares = (normal**2).sum(axis=1)
    ball = normal * (gammainc(2.5, squares / 2) ** 0.2 / np.sqrt(squares))[:, None]
    points = np.load(gaussians)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "intrinsic_dimension_data.hpp"), "w") as out:
        out.write("// Written by intrinsic_dimension.py.\n#pragma once\n\n// clang-format off\n")
        out.write("namespace layerwise_test {\n\n")
        out.write("/// Uniform in the ball of 5 dimensions.\n" + array("ball", ball))
        out.write("\n/// Two Gaussians: tests/2gaussians_in_2d.npy of DADApy, (c) The DADApy Authors, Apache-2.0.\n")
        out.write(array("gaussians", points) + "\n}  // namespace layerwise_test\n")
    for name, data in ("ball", ball), ("gaussians", points):
        print(name, "slope .9", slope(data, 0.9), ".95", slope(data, 0.95), "likelihood", likelihood(data))
        print(name, "with F = (i - 1) / n", slope(data, 0.9, 0), slope(data, 0.95, 0), "lowest fifth", slope(data, 0.2))


main(sys.argv[1])
