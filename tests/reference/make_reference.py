#!/usr/bin/env python3
"""Writes reference_data.hpp: what every formula of layerwise gives on small, exactly represented inputs.

    python3 -m venv venv && venv/bin/pip install mpmath
    venv/bin/python tests/reference/make_reference.py          # rewrites tests/reference/reference_data.hpp

The formulas below are transcribed from the definitions in the papers (the README's table names them), not
from the headers, and share no algorithm with them:

* least squares is solved in exact rational arithmetic (every double is a rational number), so rank and score
  are exact; a Gram-Schmidt factorization of the data with 80 digits must agree, and so must the identity that
  links the score of Y with the score of the update Y - X;
* norms, angles and regularizers are evaluated with 80 digits;
* closed-form gradients must agree with central differences taken with 80 digits;
* a token's displacement and angle each come from their own formula and must satisfy Psi = sin^2(theta/2).

The generator stops with an AssertionError where two of these disagree. Inputs come from a fixed integer
sequence, so a second run writes the same file.
"""

import math
import os
import sys
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 80
AGREE = mp.mpf(10) ** -55  # what two independent routes must agree to


# ------------------------------------------------------------------------------------------------------------
# Inputs
# ------------------------------------------------------------------------------------------------------------


class Sequence:
    """splitmix64: the same numbers everywhere, whatever the Python version."""

    MASK = (1 << 64) - 1

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & self.MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & self.MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.MASK
        return z ^ (z >> 31)

    def uniform(self, digits=40):
        """A multiple of 2^-digits in [-1, 1), never 0."""
        while True:
            k = (self.bits() >> (63 - digits)) - (1 << digits)
            if k != 0:
                return k / (1 << digits)

    def matrix(self, rows, cols, digits=40):
        return [[self.uniform(digits) for _ in range(cols)] for _ in range(rows)]


def product(a, b):
    return [[math.fsum(x * b[k][j] for k, x in enumerate(row)) for j in range(len(b[0]))] for row in a]


def combine(fa, a, fb, b):
    return [[fa * x + fb * y for x, y in zip(ra, rb)] for ra, rb in zip(a, b)]


def scaled(factor, a):
    return [[factor * x for x in row] for row in a]


def to_float32(a):
    import struct

    return [[struct.unpack("f", struct.pack("f", x))[0] for x in row] for row in a]


def generic_stack(seed, layers, tokens, dims, strength=0.6, digits=40):
    """h_l = h_{l-1} + strength (mixing + noise + a product of two columns): neither linear nor unrelated."""
    numbers = Sequence(seed)
    stack = [numbers.matrix(tokens, dims, digits)]
    for _ in range(layers - 1):
        h = stack[-1]
        mixed = product(h, numbers.matrix(dims, dims, digits))
        noise = numbers.matrix(tokens, dims, digits)
        bent = [[row[j] * row[(j + 1) % dims] for j in range(dims)] for row in h]
        stack.append(combine(1.0, h, strength, combine(1.0, combine(1.0, mixed, 0.5, noise), 0.7, bent)))
    return stack


def eighths(stack, limit):
    """Rounded to multiples of 1/8 below `limit`: exact in float, half and bfloat16 up to 16."""
    clamp = lambda k: max(-int(limit * 8) + 1, min(int(limit * 8) - 1, k))
    return [[[clamp(round(8 * x)) / 8 or 0.125 for x in row] for row in h] for h in stack]


def stacks():
    """name -> (what it is for, list of layers)"""
    cases = {}

    def add(name, purpose, stack):
        assert name not in cases
        cases[name] = (purpose, stack)

    add("short_precision", "every value exact in bfloat16 and half",
        eighths([scaled(3.0, h) for h in generic_stack(1, 4, 12, 3)], 16))
    add("single_precision", "every value exact in float",
        [to_float32(h) for h in generic_stack(2, 4, 17, 4)])
    add("generic", "full double mantissas", generic_stack(3, 3, 40, 5, digits=50))
    add("one_layer", "L = 1: no jump rate", generic_stack(4, 2, 9, 4))

    numbers = Sequence(5)
    stack = generic_stack(5, 3, 30, 5)
    for h in stack:
        noise = numbers.matrix(30, 1)
        for row, e in zip(h, noise):
            row[4] = row[0] - row[1] + 3e-5 * e[0]
    add("ill_conditioned", "scaled condition about 1e5", stack)

    numbers = Sequence(6)
    stack = generic_stack(6, 2, 30, 4)
    for h in stack:
        noise = numbers.matrix(30, 1)
        for row, e in zip(h, noise):
            row[3] = row[0] + row[2] + 2e-8 * e[0]
    add("nearly_singular", "scaled condition about 1e8: its square is beyond double", stack)

    stack = generic_stack(7, 4, 24, 4)
    offsets = [1e4, -2e4, 1.5e4, 3e4]
    add("offset_columns", "column means 1e4 times the spread",
        [[[x + c for x, c in zip(row, offsets)] for row in h] for h in stack])

    numbers = Sequence(8)
    h0 = numbers.matrix(10, 5, 52)
    h1 = combine(1.0, h0, 1e-7, numbers.matrix(10, 5, 52))
    h2 = combine(1.5, h1, 1e-7, numbers.matrix(10, 5, 52))
    h3 = combine(1.0, h2, 1e-10, numbers.matrix(10, 5, 52))
    h4 = combine(1.0, h3, 1e-5, numbers.matrix(10, 5, 52))
    add("near_parallel", "angles 1e-7, 1e-7 with norms 1 to 1.5, 1e-10, 1e-5", [h0, h1, h2, h3, h4])

    numbers = Sequence(9)
    h0 = numbers.matrix(10, 4)
    h1 = combine(-1.0, h0, 1e-7, numbers.matrix(10, 4))
    h2 = combine(-2.0, h1, 1e-3, numbers.matrix(10, 4))
    h3 = combine(0.5, h2, 0.5, numbers.matrix(10, 4))
    add("antiparallel", "angles pi - 1e-7, pi - 1e-3, then an ordinary one", [h0, h1, h2, h3])

    stack = generic_stack(10, 3, 26, 5)
    for h in stack:
        for row in h:
            row[2] *= 1e4
    add("outlier_column", "one dimension 1e4 times the others", stack)

    # Dependent columns: a copy, a constant that is not a multiple of a power of two, an exact sum.
    stack = eighths(generic_stack(11, 3, 13, 6), 16)
    for h in stack[:2]:
        for row in h:
            row[3] = row[0]
            row[4] = 0.1
            row[5] = row[1] - row[2]
    add("rank_deficient", "copied, constant and summed columns", stack)

    stack = eighths(generic_stack(12, 2, 12, 8), 16)
    numbers = Sequence(12)
    directions = [[float(round(4 * x)) for x in row] for row in numbers.matrix(2, 8)]
    stack[0] = product([row[:2] for row in stack[0]], directions)
    add("low_rank", "8 columns of rank 2: enough tokens for it, though few for 8", stack)

    add("underdetermined", "fewer tokens than dimensions", generic_stack(13, 3, 5, 7))
    add("barely_underdetermined", "n - 1 = d: only centred scores are 1", generic_stack(14, 2, 6, 5))
    add("barely_determined", "n - 2 = d", generic_stack(15, 2, 7, 5))

    stack = eighths(generic_stack(16, 2, 11, 3), 16)
    stack.insert(0, [[0.1, -0.7, 2.3] for _ in range(11)])
    stack.append([list(row) for row in stack[-1]])
    stack.append([[x + c for x, c in zip(row, (0.5, -1.25, 4.0))] for row in stack[-1]])
    stack.append([[0.3, 0.1, -0.2] for _ in range(11)])
    add("degenerate_layers", "no variance, an ordinary layer, no update, a translation, no variance", stack)

    for name, seed, exponent in (("squares_near_overflow", 17, 498), ("squares_near_underflow", 17, -498),
                                 ("squares_overflow", 18, 522), ("squares_underflow", 18, -548)):
        stack = generic_stack(seed, 3, 10, 3)
        add(name, f"values about 2^{exponent}", [scaled(2.0**exponent, h) for h in stack])
    return cases


def pairs():
    """name -> (purpose, X, Y): pairs of matrices whose widths may differ"""
    cases = {}
    numbers = Sequence(101)
    x = numbers.matrix(9, 4)
    cases["narrower_target"] = ("4 columns onto 2", x,
                                combine(1.0, product(x, numbers.matrix(4, 2)), 0.4, numbers.matrix(9, 2)))
    x = numbers.matrix(15, 2)
    cases["wider_target"] = ("2 columns onto 5", x,
                             combine(1.0, product(x, numbers.matrix(2, 5)), 0.4, numbers.matrix(15, 5)))
    x = numbers.matrix(30, 1)
    cases["one_column"] = ("the squared correlation", x, combine(1.0, x, 1.0, numbers.matrix(30, 1)))

    small = eighths([numbers.matrix(14, 3)], 16)[0]
    weights = [[float(round(4 * v)) for v in row] for row in numbers.matrix(3, 3)]
    y = [[v + b for v, b in zip(row, (1.0, -2.0, 0.5))] for row in product(small, weights)]
    cases["exact_map"] = ("Y = X W + b exactly: score 1", small, y)

    # Columns of the 8 x 8 Hadamard matrix: centred and mutually orthogonal, so X tells nothing about Y.
    hadamard = [[float((-1) ** bin(i & j).count("1")) for j in range(8)] for i in range(8)]
    cases["orthogonal"] = ("score 0, adjusted score below 0",
                           [row[1:4] for row in hadamard], [row[4:6] for row in hadamard])

    x = numbers.matrix(20, 3)
    y = combine(1.0, scaled(1e-6, product(x, numbers.matrix(3, 3))), 1.0, numbers.matrix(20, 3))
    cases["near_chance"] = ("a score at its chance floor", x, y)
    return cases


# ------------------------------------------------------------------------------------------------------------
# Least squares, exactly
# ------------------------------------------------------------------------------------------------------------


def exact(a):
    return [[Fraction(v) for v in row] for row in a]


def centred(a):
    n = len(a)
    means = [sum(column) / n for column in zip(*a)]
    return [[v - m for v, m in zip(row, means)] for row in a], means


def energy(a):
    return sum(v * v for row in a for v in row)


def mpq(value):
    """A rational number as an mpf."""
    return mp.mpf(value.numerator) / mp.mpf(value.denominator)


def least_squares(x, y, centre):
    """min_W ||Xc W - Yc||_F^2 for exact X, Y. None where the score is undefined."""
    n, dx, dy = len(x), len(x[0]), len(y[0])
    if centre:
        xc, x_means = centred(x)
        yc, y_means = centred(y)
    else:
        xc, x_means = x, [Fraction(0)] * dx
        yc, y_means = y, [Fraction(0)] * dy
    total = energy(yc)
    if total == 0 or energy(xc) == 0:
        return None

    # Normal equations, Gauss-Jordan over the rationals. A column with a zero pivot depends on earlier ones.
    columns, targets = list(zip(*xc)), list(zip(*yc))
    dot = lambda a, b: sum(p * q for p, q in zip(a, b))
    system = [[dot(columns[i], columns[j]) for j in range(dx)] + [dot(columns[i], t) for t in targets]
              for i in range(dx)]
    independent = []
    for j in range(dx):
        if system[j][j] == 0:
            continue
        independent.append(j)
        pivot = system[j][j]
        system[j] = [v / pivot for v in system[j]]
        for i in range(dx):
            if i != j and system[i][j] != 0:
                factor = system[i][j]
                system[i] = [v - factor * p for v, p in zip(system[i], system[j])]
    weight = [system[i][dx:] if i in independent else [Fraction(0)] * dy for i in range(dx)]
    predicted = [[dot(row, column) for column in zip(*weight)] for row in xc]
    residual = energy([[p - q for p, q in zip(a, b)] for a, b in zip(predicted, yc)])
    score = 1 - residual / total

    # The second route: Gram-Schmidt, twice, on the independent columns with 80 digits.
    basis = []
    for j in independent:
        v = [mpq(e) for e in columns[j]]
        for _ in range(2):
            for q in basis:
                c = mp.fdot(q, v)
                v = [a - c * b for a, b in zip(v, q)]
        length = mp.sqrt(mp.fdot(v, v))
        basis.append([a / length for a in v])
    explained = mp.fsum(mp.fdot(q, [mpq(e) for e in t]) ** 2 for q in basis for t in targets)
    assert abs(explained / mpq(total) - mpq(score)) < AGREE

    rank = len(independent)
    freedom = n - 1 if centre else n
    bias = [ym - dot(x_means, column) for ym, column in zip(y_means, zip(*weight))]
    result = {
        "score": mpq(score), "rank": rank, "underdetermined": freedom <= rank,
        "chance_floor": mp.mpf(rank) / freedom, "total": total, "full_rank": rank == dx,
        "weight": [[mpq(v) for v in row] for row in weight], "bias": [mpq(v) for v in bias],
        "predicted": [[mpq(p + m) for p, m in zip(row, y_means)] for row in predicted],
        "adjusted": None if freedom <= rank else mpq(1 - (1 - score) * freedom / (freedom - rank)),
        "condition": None,
    }
    assert 0 <= score <= 1 and (freedom > rank or score == 1)
    if rank == dx:
        lengths = [mp.sqrt(mpq(dot(c, c))) for c in columns]
        gram = mp.matrix(dx, dx)
        for i in range(dx):
            for j in range(dx):
                gram[i, j] = mpq(dot(columns[i], columns[j])) / (lengths[i] * lengths[j])
        values = mp.eigsy(gram, eigvals_only=True)
        result["condition"] = mp.sqrt(max(values) / min(values))
    return result


def linear_references(x, y):
    """Plain and residual fits, centred and not, of a pair of equal widths; checks the identity of the two."""
    x, y = exact(x), exact(y)
    update = [[b - a for a, b in zip(ra, rb)] for ra, rb in zip(x, y)]
    result = {}
    for centre in (True, False):
        plain = least_squares(x, y, centre)
        residual = least_squares(x, update, centre)
        if plain and residual:
            ratio = mpq(plain["total"] / residual["total"])
            assert abs(1 - (1 - plain["score"]) * ratio - residual["score"]) < AGREE * (1 + ratio)
        result[centre] = (plain, residual)
    return result


# ------------------------------------------------------------------------------------------------------------
# Everything that is not least squares
# ------------------------------------------------------------------------------------------------------------


def precise(a):
    return [[mp.mpf(v) for v in row] for row in a]


def procrustes(a, centre):
    a = exact(a)
    a = centred(a)[0] if centre else a
    length = mp.sqrt(mpq(energy(a)))
    return None if length == 0 else [[mpq(v) / length for v in row] for row in a]


def norm(u):
    return mp.sqrt(mp.fdot(u, u))


def minus(u, v):
    return [a - b for a, b in zip(u, v)]


def collinear(u, v):
    """u and v are multiples of each other; 80 digits hold a product of two doubles exactly."""
    k = max(range(len(u)), key=lambda j: abs(u[j]))
    return all(u[k] * b == v[k] * a for a, b in zip(u, v))


def cosine(u, v):
    if collinear(u, v):
        return mp.sign(mp.fdot(u, v))
    return mp.fdot(u, v) / (norm(u) * norm(v))


def displacement(u, v):
    return (1 - cosine(u, v)) / 2


def angular_distance(u, v):
    c = cosine(u, v)
    angle = mp.acos(max(mp.mpf(-1), min(mp.mpf(1), c))) / mp.pi
    assert abs(mp.sin(angle * mp.pi / 2) ** 2 - displacement(u, v)) < AGREE
    return angle


def mean(values):
    return mp.fsum(values) / len(values)


def jump_rate(psi, l):
    """100 sum_{k=l}^{L} max(0, Psi_k - Psi_{k-1}); psi[0] is Psi_1."""
    return 100 * mp.fsum(max(mp.mpf(0), psi[k - 1] - psi[k - 2]) for k in range(l, len(psi) + 1))


def outlier_share(h):
    c = centred(exact(h))[0]
    variances = [sum(v * v for v in column) for column in zip(*c)]
    total = sum(variances)
    if total == 0:
        return None
    best = max(range(len(variances)), key=lambda j: variances[j])
    assert sum(v == variances[best] for v in variances) == 1
    return mpq(variances[best] / total), best


def layer_weights(kind, alpha, count):
    if kind != "jreg":
        return [mp.mpf(1)] * count
    powers = [mp.exp(mp.mpf(alpha) * (l - count)) for l in range(1, count + 1)]
    total = mp.fsum(powers)
    return [p / total for p in powers]


def token_penalty(kind, before, after):
    if kind == "mse":
        return mp.fdot(minus(after, before), minus(after, before))
    return (1 - cosine(after, before)) / (2 if kind == "jreg" else 1)


def regularizer_value(kind, lam, alpha, total, stack):
    weights = layer_weights(kind, alpha, len(stack) - 1)
    value = mp.fsum(weights[l - 1] * token_penalty(kind, before, after)
                    for l in range(1, len(stack)) for before, after in zip(stack[l - 1], stack[l]))
    return mp.mpf(lam) * value / (1 if total else len(stack[0]))


def regularizer_gradient(kind, lam, alpha, total, stack):
    weights = layer_weights(kind, alpha, len(stack) - 1)
    factor = mp.mpf(lam) / (1 if total else len(stack[0]))
    gradient = [[[mp.mpf(0)] * len(row) for row in h] for h in stack]
    for l in range(1, len(stack)):
        scale = factor * weights[l - 1] / (2 if kind == "jreg" else 1)
        for t, (u, v) in enumerate(zip(stack[l - 1], stack[l])):
            if kind == "mse":
                du = [2 * (a - b) for a, b in zip(u, v)]
                dv = [-g for g in du]
            else:  # d(1 - c)/du = (c u/|u| - v/|v|) / |u|
                if collinear(u, v):
                    continue
                c, nu, nv = cosine(u, v), norm(u), norm(v)
                du = [(c * a / nu - b / nv) / nu for a, b in zip(u, v)]
                dv = [(c * b / nv - a / nu) / nv for a, b in zip(u, v)]
            for j in range(len(u)):
                gradient[l - 1][t][j] += scale * du[j]
                gradient[l][t][j] += scale * dv[j]
    return gradient


def check_gradient(kind, lam, alpha, total, stack, gradient, stride):
    """Central differences with 80 digits: step h leaves h^2 relative, so 1e-25 proves 45 digits and more."""
    tokens, dims = len(stack[0]), len(stack[0][0])
    for place in range(0, len(stack) * tokens * dims, stride):
        l, t, j = place // (tokens * dims), place // dims % tokens, place % dims
        step = mp.mpf(10) ** -25 * norm(stack[l][t])
        # The penalty of other tokens does not move: differences of one token's row suffice.
        row = [[list(h[t])] for h in stack]
        sides = []
        for sign in (1, -1):
            row[l][0][j] = stack[l][t][j] + sign * step
            sides.append(regularizer_value(kind, lam, alpha, True, row))
        found = (sides[0] - sides[1]) / (2 * step) / (1 if total else tokens)
        if kind == "mse":
            size = max(norm(h[t]) for h in stack)
        else:
            size = 1 / norm(stack[l][t])
        assert abs(found - gradient[l][t][j]) < mp.mpf(10) ** -45 * size * lam


REGULARIZERS = [  # kind, lambda, alpha, sum over tokens
    ("mse", 0.5, 0.0, False),
    ("mse", 2.0, 0.0, True),
    ("cosine", 0.5, 0.0, False),
    ("cosine", 1.25, 0.0, True),
    ("jreg", 1.0, 0.0, False),
    ("jreg", 0.75, 0.7, False),
    ("jreg", 1.5, 3.0, True),
    ("jreg", 0.25, -1.0, True),
    ("jreg", 2.0, 800.0, False),  # exp(800 L) is beyond double; the weights are not
]
GRADIENTS_EVERYWHERE = {0, 2, 5}
ALL_GRADIENTS = {"short_precision", "one_layer"}


# ------------------------------------------------------------------------------------------------------------
# Writing the header
# ------------------------------------------------------------------------------------------------------------


def hex_double(v):
    text = float(v).hex()
    mantissa, exponent = text.split("p")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}p{exponent}"


def nearest_double(v):
    """The double nearest to an mpf: 17 digits, read back by Python's correctly rounding parser."""
    if v is None:
        return "none"
    value = float(mp.nstr(v, 40, strip_zeros=False))
    assert math.isfinite(value)
    assert v == 0 or abs(v) < mp.mpf(2) ** -1022 or abs(mp.mpf(value) / v - 1) <= mp.mpf(2) ** -53
    if value == 0.0:
        return "0.0"
    text = repr(value)
    return text if ("." in text or "e" in text) else text + ".0"


class Writer:
    def __init__(self):
        self.lines = []

    def put(self, text=""):
        """Lines longer than 110 columns are broken after a comma."""
        for line in text.split("\n"):
            while len(line) > 110:
                assert "//" not in line
                cut = line.rindex(", ", 0, 110) + 1
                self.lines.append(line[:cut])
                line = "     " + line[cut + 1:]
            self.lines.append(line)

    def array(self, name, values):
        """An array of doubles that are strings by now, wrapped at 110 columns."""
        self.put(f"inline constexpr double {name}[] = {{")
        line = "   "
        for v in values:
            if len(line) + len(v) + 2 > 110:
                self.put(line)
                line = "   "
            line += f" {v},"
        self.put(line)
        self.put("};")


def flat(nested):
    for v in nested:
        if isinstance(v, list):
            yield from flat(v)
        else:
            yield v


def fit_literal(r):
    if r is None:
        return "{false, none, none, none, none, 0, false}"
    numbers = ", ".join(nearest_double(r[k]) for k in ("score", "adjusted", "chance_floor", "condition"))
    return f"{{true, {numbers}, {r['rank']}, {str(r['underdetermined']).lower()}}}"


def write_pair(out, rows, name, x_name, y_name, x, y, references):
    """The tables of one pair; `references` maps centring to its exact fit."""
    prefix = f"{name}_pair"
    spans = []
    for centre, suffix in ((True, "centred"), (False, "raw")):
        fit = references[centre]
        normalized = procrustes(x, centre)
        sampled = [] if normalized is None else list(flat(normalized))[::sample_stride]
        for what, values in (
            ("normalized", sampled),
            # Weights are unique only where X has full rank; fitted values always are.
            ("weight", list(flat(fit["weight"])) if fit and fit["full_rank"] else []),
            ("bias", fit["bias"] if fit and fit["full_rank"] else []),
            ("fitted", list(flat(fit["predicted"]))[::sample_stride] if fit else []),
        ):
            if values:
                out.array(f"{prefix}_{what}_{suffix}", [nearest_double(v) for v in values])
                spans.append(f"{prefix}_{what}_{suffix}")
            else:
                spans.append("{}")
    fits = f"{{{fit_literal(references[True])}, {fit_literal(references[False])}}}"
    c, r = spans[:4], spans[4:]
    arrays = ", ".join(f"{{{a}, {b}}}" for a, b in zip(c, r))
    rows.append(f'    {{"{name}", {len(x)}, {len(x[0])}, {len(y[0])}, {x_name}, {y_name},\n'
                f"     {fits},\n     {arrays}}},")


sample_stride = 7  # long tables keep every seventh entry

PREAMBLE = """\
// Generated by make_reference.py; do not edit. To write it again:
//     python3 -m venv venv && venv/bin/pip install mpmath
//     venv/bin/python tests/reference/make_reference.py
//
// Inputs are exact (hexadecimal floats). Results were computed from the definitions, in exact rational
// arithmetic or with 80 digits, and are the nearest doubles. `none` marks what a definition leaves undefined.
#pragma once

#include <limits>
#include <span>

namespace layerwise_reference {

inline constexpr double none = std::numeric_limits<double>::quiet_NaN();
using values = std::span<const double>;

/// One least-squares fit. `defined` is false where X or Y has no energy.
struct fit {
  bool defined;
  double score, adjusted_score /* none when underdetermined */, chance_floor;
  double condition;  ///< of X with columns of unit norm, in the 2-norm; none when X has not full rank
  int rank;
  bool underdetermined;
};

template <class T>
struct by_centring {
  T columns, raw;
};

/// X (tokens x x_dimensions) and Y (tokens x y_dimensions), row by row.
struct pair_case {
  const char* name;
  int tokens, x_dimensions, y_dimensions;
  const double *x, *y;
  by_centring<fit> linearity;
  by_centring<values> normalized;    ///< every `sample_stride`-th entry of the normalized X; empty: undefined
  by_centring<values> weight, bias;  ///< empty where X has not full rank: not unique
  by_centring<values> fitted;        ///< every such entry of X * weight + bias, unique even then
};

struct layer_reference {
  by_centring<fit> linearity, residual_linearity;
  double displacement, angular_distance, cosine_similarity, contribution_ratio, contribution_ratio_frobenius;
  double jump_rate;      ///< none for l = 1
  double outlier_share;  ///< none where the layer's output has no variance
  int outlier_dimension;
};

enum class regularizer_kind { mse, cosine, jreg };

struct regularizer_reference {
  regularizer_kind kind;
  double lambda, alpha;
  bool sum;  ///< over tokens, instead of the mean
  double value;
  int gradient_stride;
  values gradient;  ///< every `gradient_stride`-th entry, in the order of the states; empty: not recorded
};

/// A stack h_0 ... h_L, [layer][token][dimension]; per-token results are [l - 1][token].
struct stack_case {
  const char* name;
  int layers /* L + 1 */, tokens, dimensions;
  values states;
  std::span<const layer_reference> layer;
  values cosine_similarity, displacement, angular_distance, contribution_ratio;
  values first_to_last_angular_distance;  ///< of h_0 and h_L, per token
  std::span<const regularizer_reference> regularizer;
};
"""


def main():
    out = Writer()
    out.put(PREAMBLE)
    out.put(f"inline constexpr int sample_stride = {sample_stride};")
    pair_rows, stack_rows = [], []

    for name, (purpose, stack) in stacks().items():
        layers, tokens, dims = len(stack), len(stack[0]), len(stack[0][0])
        print(f"{name}: {layers} x {tokens} x {dims}", file=sys.stderr)
        mpf_stack = [precise(h) for h in stack]
        out.put()
        out.put(f"// {name}: {purpose}")
        out.array(f"{name}_states", [hex_double(v) for v in flat(stack)])

        tables = {"cosine": [], "displacement": [], "angular": [], "contribution": []}
        psi, layer_rows, first = [], [], None
        for l in range(1, layers):
            before, after = mpf_stack[l - 1], mpf_stack[l]
            token_rows = list(zip(before, after))
            table = {
                "cosine": [cosine(u, v) for u, v in token_rows],
                "displacement": [displacement(u, v) for u, v in token_rows],
                "angular": [angular_distance(u, v) for u, v in token_rows],
                "contribution": [norm(minus(v, u)) / norm(v) for u, v in token_rows],
            }
            for key, values in table.items():
                tables[key] += values
            psi.append(mean(table["displacement"]))
            updates = [minus(v, u) for u, v in token_rows]
            frobenius = mp.sqrt(mp.fsum(norm(u) ** 2 for u in updates) / mp.fsum(norm(v) ** 2 for v in after))
            fits = linear_references(stack[l - 1], stack[l])
            first = first or fits
            outlier = outlier_share(stack[l])
            layer_rows.append([
                "{%s, %s}" % (fit_literal(fits[True][0]), fit_literal(fits[False][0])),
                "{%s, %s}" % (fit_literal(fits[True][1]), fit_literal(fits[False][1])),
                *[nearest_double(v) for v in (psi[-1], mean(table["angular"]), mean(table["cosine"]),
                                              mean(table["contribution"]), frobenius)],
                None,
                nearest_double(outlier[0]) if outlier else "none",
                str(outlier[1]) if outlier else "-1",
            ])
        for l, row in enumerate(layer_rows, start=1):
            row[7] = "none" if l == 1 else nearest_double(jump_rate(psi, l))

        for key, values in tables.items():
            out.array(f"{name}_{key}", [nearest_double(v) for v in values])
        out.array(f"{name}_span",
                  [nearest_double(angular_distance(u, v)) for u, v in zip(mpf_stack[0], mpf_stack[-1])])
        out.put(f"inline constexpr layer_reference {name}_layers[] = {{")
        for row in layer_rows:
            out.put("    {%s,\n     %s,\n     %s}," % (row[0], row[1], ", ".join(row[2:])))
        out.put("};")

        regularizer_rows = []
        for number, (kind, lam, alpha, total) in enumerate(REGULARIZERS):
            value = regularizer_value(kind, lam, alpha, total, mpf_stack)
            # Recorded only where the value and the squares it is made of are ordinary doubles.
            if not mp.mpf(10) ** -302 < value < mp.mpf(10) ** 306:
                continue
            gradient_name, stride = "{}", 1 if name in ALL_GRADIENTS else sample_stride
            if number in GRADIENTS_EVERYWHERE or name in ALL_GRADIENTS:
                gradient = regularizer_gradient(kind, lam, alpha, total, mpf_stack)
                check_gradient(kind, lam, alpha, total, mpf_stack, gradient, stride)
                gradient_name = f"{name}_gradient_{number}"
                out.array(gradient_name, [nearest_double(v) for v in flat(gradient)][::stride])
            regularizer_rows.append(f"    {{regularizer_kind::{kind}, {lam}, {alpha}, {str(total).lower()}, "
                                    f"{nearest_double(value)}, {stride}, {gradient_name}}},")
        out.put(f"inline constexpr regularizer_reference {name}_regularizers[] = {{")
        for row in regularizer_rows:
            out.put(row)
        out.put("};")

        write_pair(out, pair_rows, name, f"{name}_states", f"{name}_states + {tokens * dims}", stack[0],
                   stack[1], {centre: first[centre][0] for centre in (True, False)})
        arrays = ", ".join(f"{name}_{key}" for key in [*tables, "span"])
        stack_rows.append(f'    {{"{name}", {layers}, {tokens}, {dims}, {name}_states, {name}_layers,\n'
                          f"     {arrays},\n     {name}_regularizers}},")

    for name, (purpose, x, y) in pairs().items():
        print(f"{name}: {len(x)} x {len(x[0])} -> {len(y[0])}", file=sys.stderr)
        out.put()
        out.put(f"// {name}: {purpose}")
        out.array(f"{name}_x", [hex_double(v) for v in flat(x)])
        out.array(f"{name}_y", [hex_double(v) for v in flat(y)])
        references = {centre: least_squares(exact(x), exact(y), centre) for centre in (True, False)}
        write_pair(out, pair_rows, name, f"{name}_x", f"{name}_y", x, y, references)

    out.put()
    out.put("/// The first layer of every stack, then pairs of their own.")
    out.put("inline constexpr pair_case pair_cases[] = {")
    for row in pair_rows:
        out.put(row)
    out.put("};")
    out.put()
    out.put("inline constexpr stack_case stack_cases[] = {")
    for row in stack_rows:
        out.put(row)
    out.put("};")
    out.put()
    out.put("}  // namespace layerwise_reference")

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference_data.hpp")
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(out.lines) + "\n")
    print(f"{path}: {os.path.getsize(path)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
