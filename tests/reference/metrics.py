#!/usr/bin/env python3
"""Writes metrics_data.hpp: what the metrics of layers, pairs and stacks give by their definitions.

    python3 -m venv venv && venv/bin/pip install mpmath
    venv/bin/python tests/reference/metrics.py

Inputs are integers that tests/metrics/reference_values.cpp makes by the same rule, so only results are stored: data
with offsets, outlier dimensions, falling spectra, few tokens, and layers that hardly differ. Means, scatters, kernels
and distances are rational numbers, exactly; roots, logarithms, eigenvalues and angles have 60 digits. Metrics that
moments give in one pass are computed from n x n kernels, all pairs of tokens, or the rows.
"""

import os
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 60
VALUES = []


def put(name, value):
    VALUES.append((name, float(value)))


# ------------------------------------------------------------------------------------------------------ inputs


class Sequence:
    """Knuth's linear congruential generator; its 10 highest bits, as -512..511."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 54) - 512

    def matrix(self, rows, cols, divisor=1):
        return [[self.next() // divisor for _ in range(cols)] for _ in range(rows)]


def product(a, b):
    columns = list(zip(*b))
    return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


# name, n, d_x, d_y, columns of X fall by 2^-fall each, outlier, offset, closeness: y = closeness x + noise
CASES = [
    ("plain", 40, 6, 5, 0, 1, 0, 0),
    ("offset", 60, 7, 7, 1, 64, 2**14, 0),
    ("few", 13, 6, 5, 0, 8, 4, 0),
    ("close", 50, 6, 6, 0, 1, 2, 4096),
]


def make_case(number, n, d_x, d_y, fall, outlier, offset, closeness):
    random = Sequence(number + 1)
    x = random.matrix(n, d_x)
    x = [[value * 2 ** (fall * (d_x - 1 - j)) for j, value in enumerate(row)] for row in x]
    x = product(x, random.matrix(d_x, d_x, 128))
    noise = random.matrix(n, d_y)
    if closeness:
        x = [[value * closeness for value in row] for row in x]
        y = [[a + b for a, b in zip(*rows)] for rows in zip(x, noise)]
    else:
        y = product(x, random.matrix(d_x, d_y, 128))
        y = [[a + 8 * b for a, b in zip(*rows)] for rows in zip(y, noise)]
    for m in x, y:
        shifts = [random.next() * offset for _ in m[0]]
        for row in m:
            row[1] *= outlier
            row[:] = [a + b for a, b in zip(row, shifts)]
    return x, y


def make_stack():
    random = Sequence(100)
    states = [random.matrix(24, 5)]
    for _ in range(4):
        update = product(states[-1], random.matrix(5, 5, 256))
        noise = random.matrix(24, 5)
        states.append([[4 * a + b + 2 * c for a, b, c in zip(*rows)] for rows in zip(states[-1], update, noise)])
    return states


# ------------------------------------------------------------------------------------------------- linear algebra


def real(value):
    return mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else mp.mpf(value)


def centred(m):
    means = [Fraction(sum(column), len(m)) for column in zip(*m)]
    return [[value - mean for value, mean in zip(row, means)] for row in m]


def scatter(a, b):
    return product(list(zip(*a)), b)


def kernel(m):
    return product(m, list(zip(*m)))


def inner(a, b):
    return sum(x * y for rows in zip(a, b) for x, y in zip(*rows))


def to_mp(m):
    return mp.matrix([[real(value) for value in row] for row in m])


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def norm(row):
    return mp.sqrt(real(dot(row, row)))


def angle(a, b):
    a, b = [real(v) / norm(a) for v in a], [real(v) / norm(b) for v in b]
    return 2 * mp.atan2(norm([x - y for x, y in zip(a, b)]), norm([x + y for x, y in zip(a, b)]))


def fingerprint(rows):
    return sum(((i * 7 + j * 3) % 5 - 2) * value for i, row in enumerate(rows) for j, value in enumerate(row))


def mean(values):
    values = list(values)
    return mp.fsum(values) / len(values)


# ------------------------------------------------------------------------------------------------------ one layer


def spectrum(name, x, degrees):
    values = sorted((v for v in mp.eigsy(to_mp(scatter(x, x)), eigvals_only=True)), reverse=True)
    total = mp.fsum(values)
    p = [v / total for v in values]
    roots = [mp.sqrt(v) for v in values]
    q = [r / mp.fsum(roots) for r in roots]
    put(name + " eigenvalue", values[0] / degrees)
    put(name + " anisotropy", p[0])
    put(name + " stable rank", 1 / p[0])
    put(name + " participation ratio", total**2 / mp.fsum(v * v for v in values))
    put(name + " effective rank", mp.exp(-mp.fsum(v * mp.log(v) for v in q)))
    put(name + " entropy 1", -mp.fsum(v * mp.log(v) for v in p))
    put(name + " entropy 2", -mp.log(mp.fsum(v * v for v in p)))
    put(name + " entropy 0.5", 2 * mp.log(mp.fsum(mp.sqrt(v) for v in p)))
    put(name + " condition", roots[0] / roots[-1])


def two_nearest(x):
    ratios = []
    for i, row in enumerate(x):
        squares = sorted(dot(d, d) for d in ([a - b for a, b in zip(row, other)] for k, other in enumerate(x) if k != i))
        ratios.append(mp.log(mp.sqrt(mp.mpf(squares[1]) / squares[0])))
    return sorted(ratios)


def curvature(x, length):
    sequences = [x[first : first + length] for first in range(0, len(x), length)]
    return mean(
        mean(
            angle(*[[b - a for a, b in zip(z[k + i], z[k + i + 1])] for i in (0, 1)]) for k in range(len(z) - 2)
        )
        for z in sequences
    )


def transforms(name, x):
    inside = [[v / mp.sqrt(real(dot(r, r)) / len(r) + mp.mpf(1e-6)) for v in r] for r in x]
    outside = [[v / (norm(r) / mp.sqrt(len(r)) + mp.mpf(0.5)) for v in r] for r in x]
    layer = []
    for r in x:
        deviations = [v - Fraction(sum(r), len(r)) for v in r]
        layer.append(
            [real(v) / mp.sqrt(real(dot(deviations, deviations)) / len(r) + mp.mpf(1e-5)) for v in deviations]
        )
    put(name + " rms inside", fingerprint(inside))
    put(name + " rms outside", fingerprint(outside))
    put(name + " layer norm", fingerprint(layer))
    put(name + " unit", fingerprint([[v / norm(r) for v in r] for r in x]))


def layer(name, x):
    n, d = len(x), len(x[0])
    spectrum(name + " centred", centred(x), n - 1)
    spectrum(name + " about 0", x, n)
    xc = centred(x)
    put(name + " rank collapse", mp.sqrt(real(Fraction(inner(xc, xc)) / inner(x, x))))

    units = [[v / norm(row) for v in row] for row in x]
    shares = [
        mean(units[i][j] * units[k][j] for i in range(n) for k in range(n) if i != k) for j in range(d)
    ]
    put(name + " mean cosine", mp.fsum(shares))
    put(name + " share of dimension 1", shares[1])
    norms = sorted(norm(row) for row in x)
    put(name + " mean norm", mean(norms))
    put(name + " deviation of norms", mp.sqrt(mean((v - mean(norms)) ** 2 for v in norms)))
    put(name + " median norm", (norms[(n - 1) // 2] + norms[n // 2]) / 2)

    elements = sorted(abs(v) for row in x for v in row)
    put(name + " peak", elements[-1])
    put(name + " median", Fraction(elements[(n * d - 1) // 2] + elements[n * d // 2], 2))

    logs = two_nearest(x)
    kept = logs[: n * 9 // 10]
    heights = [-mp.log(1 - mp.mpf(i + 1) / n) for i in range(len(kept))]
    put(name + " TwoNN", dot(kept, heights) / dot(kept, kept))
    put(name + " TwoNN likelihood", (n - 1) / mp.fsum(logs))
    put(name + " curvature", curvature(x, 10))
    transforms(name, x)


# ----------------------------------------------------------------------------------------------------- two layers


def unbiased_hsic(k, l):
    """Song et al. 2012, as it stands there."""
    n = len(k)
    k, l = ([[0 if i == j else v for j, v in enumerate(row)] for i, row in enumerate(m)] for m in (k, l))
    k_sums, l_sums = [sum(row) for row in k], [sum(row) for row in l]
    return inner(k, l) + Fraction(sum(k_sums) * sum(l_sums), (n - 1) * (n - 2)) - Fraction(2, n - 2) * dot(k_sums, l_sums)


def kernel_metrics(name, x, y):
    ratio = lambda f, k, l: real(f(k, l)) / mp.sqrt(real(f(k, k)) * real(f(l, l)))
    put(name + " cka", ratio(inner, kernel(centred(x)), kernel(centred(y))))
    put(name + " debiased cka", ratio(unbiased_hsic, kernel(x), kernel(y)))
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    distances = [[dot(d, d) for d in ([a - b for a, b in zip(m[i], m[j])] for i, j in pairs)] for m in (x, y)]
    deviations = [[v - Fraction(sum(row), len(row)) for v in row] for row in distances]
    a, b = deviations
    put(name + " rsa", real(dot(a, b)) / mp.sqrt(real(dot(a, a)) * real(dot(b, b))))


def procrustes(name, xc, yc):
    nuclear = mp.fsum(mp.svd_r(to_mp(scatter(xc, yc)), compute_uv=False))
    xx, yy = real(inner(xc, xc)), real(inner(yc, yc))
    similarity = nuclear / mp.sqrt(xx * yy)
    put(name + " procrustes", similarity)
    put(name + " procrustes distance", mp.sqrt(2 - 2 * similarity))
    put(name + " procrustes angle", mp.acos(similarity))
    put(name + " size and shape", mp.sqrt(xx + yy - 2 * nuclear))


def canonical(name, xc, yc):
    sxx, sxy, syy = to_mp(scatter(xc, xc)), to_mp(scatter(xc, yc)), to_mp(scatter(yc, yc))
    low_x, low_y = mp.cholesky(sxx), mp.cholesky(syy)
    u, rho, v = mp.svd_r(mp.inverse(low_x) * sxy * mp.inverse(low_y).T)
    count = min(sxx.rows, syy.rows)
    squares = mp.inverse(sxx) * sxy * mp.inverse(syy) * sxy.T  # another way to the sum of squares
    trace = mp.fsum(squares[i, i] for i in range(squares.rows))
    assert abs(trace - mp.fsum(r * r for r in rho)) < mp.mpf(10) ** -40
    put(name + " mean cca", mp.fsum(rho) / count)
    put(name + " mean squared cca", trace / count)
    for which, data, low, vectors in (("", xc, low_x, u), (" backward", yc, low_y, v.T)):
        variates = to_mp(data) * mp.inverse(low).T * vectors
        along = variates.T * to_mp(data)
        weights = [mp.fsum(abs(along[i, j]) for j in range(along.cols)) for i in range(count)]
        put(name + " pwcca" + which, mp.fsum(w * r for w, r in zip(weights, rho)) / mp.fsum(weights))


def svcca(name, xc, yc):
    def leading(m):
        values, vectors = mp.eigsy(to_mp(scatter(m, m)))
        order = sorted(range(len(values)), key=lambda k: -values[k])
        total, count = mp.fsum(values), 1
        while mp.fsum(values[k] for k in order[:count]) < mp.mpf(0.99) * total:
            count += 1
        kept = mp.matrix(len(values), count)
        for to, k in enumerate(order[:count]):
            for i in range(len(values)):
                kept[i, to] = vectors[i, k] / mp.sqrt(values[k])
        return kept

    rho = mp.svd_r(leading(xc).T * to_mp(scatter(xc, yc)) * leading(yc), compute_uv=False)
    put(name + " svcca", mp.fsum(rho) / len(rho))


def explained(x, y, ridge=0):
    """1 - the residual of the rows, over their energy."""
    a, t = to_mp(x), to_mp(y)
    gram = a.T * a
    trace = mp.fsum(gram[i, i] for i in range(gram.rows))
    for i in range(gram.rows):
        gram[i, i] += ridge * trace / gram.rows
    left = t - a * (mp.inverse(gram) * (a.T * t))
    return 1 - mp.fsum(v * v for v in left) / mp.fsum(v * v for v in t)


def fast_weights(name, x, y):
    a, t = to_mp(x), to_mp(y)
    fit = a * (a.T * t)
    square = mp.fsum(v * v for v in fit)
    across = mp.fsum(p * q for p, q in zip(fit, t))
    put(name + " fast weight", across**2 / (square * mp.fsum(v * v for v in t)))
    beta = Fraction(1, 2 ** max(dot(key, key) for key in x).bit_length())  # 1/2 to 1 of what corrects in one step
    weights = [[Fraction(0)] * len(x[0]) for _ in y[0]]
    for key, value in zip(x, y):
        for row, target in zip(weights, value):
            step = beta * (target - dot(row, key))
            row[:] = [w + step * k for w, k in zip(row, key)]
    put(name + " delta rule", norm([v for row in weights for v in row]))


def shared_neighbours(x, y, k):
    def nearest(m):
        units = [[v / norm(row) for v in row] for row in m]
        return [
            set(sorted((j for j in range(len(m)) if j != i), key=lambda j: -dot(units[i], units[j]))[:k])
            for i in range(len(m))
        ]

    return mp.mpf(sum(len(a & b) for a, b in zip(nearest(x), nearest(y)))) / (k * len(x))


def sphere(name, x, y):
    step, arc = [], []
    for a, b in zip(x, y):
        a, b = [v / norm(a) for v in a], [v / norm(b) for v in b]
        r = [p + mp.mpf(0.2) * (q - p) for p, q in zip(a, b)]
        step.append([v / norm(r) for v in r])
        theta = angle(a, b)
        weights = mp.sin((1 - mp.mpf(0.2)) * theta) / mp.sin(theta), mp.sin(mp.mpf(0.2) * theta) / mp.sin(theta)
        arc.append([weights[0] * p + weights[1] * q for p, q in zip(a, b)])
    put(name + " hypersphere step", fingerprint(step))
    put(name + " slerp", fingerprint(arc))


def pair(name, x, y):
    xc, yc = centred(x), centred(y)
    kernel_metrics(name, x, y)
    procrustes(name, xc, yc)
    canonical(name, xc, yc)
    svcca(name, xc, yc)
    put(name + " linearity", explained(xc, yc))
    put(name + " linearity backward", explained(yc, xc))
    put(name + " ridge", explained(xc, yc, mp.mpf(0.125)))
    put(name + " mutual knn", shared_neighbours(x, y, 5))
    fast_weights(name, x, y)
    if len(x[0]) == len(y[0]):
        update = [[b - a for a, b in zip(*rows)] for rows in zip(xc, yc)]
        put(name + " residual linearity", explained(xc, update))
        put(name + " block influence", 2 * mean(mp.sin(angle(a, b) / 2) ** 2 for a, b in zip(x, y)))
        ratios = [norm([q - p for p, q in zip(a, b)]) / norm(b) for a, b in zip(x, y)]
        put(name + " contribution", mean(ratios))
        sphere(name, x, y)


# -------------------------------------------------------------------------------------------------------- a stack


def stack(states):
    count = len(states)
    turns = [[mean(angle(a, b) / mp.pi for a, b in zip(x, y)) for y in states] for x in states]
    for l, m in (0, 1), (0, 4), (2, 3):
        put(f"stack angle {l} {m}", turns[l][m])
    spans = [turns[l][l + 2] for l in range(count - 2)]
    put("stack best block", spans.index(min(spans)))
    put("stack best block distance", min(spans))
    psi = [mean(mp.sin(angle(a, b) / 2) ** 2 for a, b in zip(x, y)) for x, y in zip(states, states[1:])]
    put("stack collapse index", 4 * len(psi) * psi[-1])
    put("stack jump rate", 100 * max(0, psi[-1] - psi[-2]))
    put("stack total jump rate", 100 * mp.fsum(max(0, b - a) for a, b in zip(psi, psi[1:])))
    paths = list(zip(*states))
    put("stack path efficiency", mean(angle(p[0], p[-1]) / mp.fsum(map(angle, p, p[1:])) for p in paths))
    for l in 0, 4:
        rows = states[l]
        put(f"stack growth {l}", real(Fraction(inner(rows, rows), len(rows) * len(rows[0]))))
    for l in 0, 2:
        put(f"stack to last {l}", explained(centred(states[l]), centred(states[-1])))
    for l, m in (0, 4), (1, 2):
        kernel_metrics(f"stack {l} {m}", states[l], states[m])


def main():
    for number, (name, *shape) in enumerate(CASES):
        x, y = make_case(number, *shape)
        assert max(abs(v) for m in (x, y) for row in m for v in row) < 2**53
        layer(name, x)
        pair(name, x, y)
    stack(make_stack())
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics_data.hpp")
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write("// Written by metrics.py.\n#pragma once\n\n// clang-format off\n")
        out.write("namespace layerwise_test {\n\nstruct reference_value {\n  const char* name;\n  double value;\n};\n\n")
        out.write("inline constexpr reference_value metrics_data[] = {\n")
        for name, value in VALUES:
            out.write(f'    {{"{name}", {value.hex()}}},  // {value:.17g}\n')
        out.write("};\n\n}  // namespace layerwise_test\n")


main()
