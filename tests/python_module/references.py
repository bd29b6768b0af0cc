"""The formulas, in numpy and float64."""

import numpy as np


def rows(x):
    return np.asarray(x, dtype=np.float64).reshape(-1, np.shape(x)[-1])


def centred(x):
    return rows(x) - rows(x).mean(axis=0)


def linearity(x, y, centre=True):
    x, y = (centred(x), centred(y)) if centre else (rows(x), rows(y))
    best = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return 1 - ((y - best) ** 2).sum() / (y**2).sum()


def residual_linearity(x, y, centre=True):
    return linearity(x, rows(y) - rows(x), centre)


def units(x):
    return rows(x) / np.linalg.norm(rows(x), axis=1, keepdims=True)


def cosines(x, y):
    return (units(x) * units(y)).sum(axis=1)


def displacement(x, y):
    return ((units(x) - units(y)) ** 2).sum(axis=1) / 4


def angular_distance(x, y):
    difference, total = np.linalg.norm(units(x) - units(y), axis=1), np.linalg.norm(units(x) + units(y), axis=1)
    return 2 * np.arctan2(difference, total) / np.pi


def contribution(x, y):
    return np.linalg.norm(rows(y) - rows(x), axis=1) / np.linalg.norm(rows(y), axis=1)


def cka(x, y):
    x, y = centred(x), centred(y)
    norm = np.linalg.norm
    return norm(x.T @ y) ** 2 / (norm(x.T @ x) * norm(y.T @ y))


def hsic(k, m):
    """Song et al.'s unbiased estimator."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    return (
        np.trace(k @ m)
        + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ m @ ones)
    ) / (n * (n - 3))


def debiased_cka(x, y):
    k, m = rows(x) @ rows(x).T, rows(y) @ rows(y).T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def squared_distances(x):
    x = rows(x)
    first, second = np.triu_indices(len(x), 1)
    return ((x[first] - x[second]) ** 2).sum(axis=1)


def rsa(x, y):
    return np.corrcoef(squared_distances(x), squared_distances(y))[0, 1]


def whitened(x):
    """An orthonormal basis of the columns."""
    return np.linalg.qr(centred(x))[0]


def canonical_correlations(x, y):
    return np.linalg.svd(whitened(x).T @ whitened(y), compute_uv=False)


def leading(x, share):
    u, s, _ = np.linalg.svd(centred(x), full_matrices=False)
    count = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), share) + 1)
    return u[:, : min(count, len(s))]


def svcca(x, y, share):
    return np.linalg.svd(leading(x, share).T @ leading(y, share), compute_uv=False).mean()


def pwcca(x, y):
    qx = whitened(x)
    u, s, _ = np.linalg.svd(qx.T @ whitened(y))
    variates = (qx @ u)[:, : len(s)]
    weights = np.abs(variates.T @ centred(x)).sum(axis=1)
    return (weights * s).sum() / weights.sum()


def nuclear(x, y):
    x, y = centred(x), centred(y)
    return np.linalg.norm(x.T @ y, "nuc") / (np.linalg.norm(x) * np.linalg.norm(y))


def ridge(x, y, factor):
    x, y = centred(x), centred(y)
    moments = x.T @ x
    alpha = factor * np.trace(moments) / len(moments)
    best = x @ np.linalg.solve(moments + alpha * np.eye(len(moments)), x.T @ y)
    return 1 - ((y - best) ** 2).sum() / (y**2).sum()


def fast_weight(x, y):
    x, y = rows(x), rows(y)
    prediction = x @ (x.T @ y)
    scale = (prediction * y).sum() / (prediction**2).sum()
    return 1 - ((scale * prediction - y) ** 2).sum() / (y**2).sum()


def delta_rule(x, y, beta):
    weights = np.zeros((rows(y).shape[1], rows(x).shape[1]))
    for key, value in zip(rows(x), rows(y)):
        weights += beta * np.outer(value - weights @ key, key)
    return weights


def neighbours(x, k):
    similarity = units(x) @ units(x).T
    np.fill_diagonal(similarity, -np.inf)
    return [set(np.argsort(-line)[:k]) for line in similarity]


def mutual_knn(x, y, k):
    return np.mean([len(a & b) / k for a, b in zip(neighbours(x, k), neighbours(y, k))])


def eigenvalues(x):
    return np.linalg.svd(centred(x), compute_uv=False) ** 2


def entropy(p):
    p = p[p > 0]
    return -(p * np.log(p)).sum()


def curvature(sequences):
    means = []
    for z in np.asarray(sequences, dtype=np.float64):
        steps = np.diff(z, axis=0)
        means.append(np.arccos(np.clip(cosines(steps[:-1], steps[1:]), -1, 1)).mean())
    return np.mean(means)


def twonn(x, fraction=0.9):
    x = rows(x)
    distances = np.sort(np.linalg.norm(x[:, None] - x[None], axis=2), axis=1)[:, 1:3]
    ratios = np.sort(distances[:, 1] / distances[:, 0])
    kept = int(np.floor(fraction * len(x)))
    a, b = np.log(ratios[:kept]), -np.log(1 - np.arange(1, kept + 1) / len(x))
    return (a * b).sum() / (a * a).sum()


def path_efficiency(states):
    turned = sum(angular_distance(a, b) for a, b in zip(states, states[1:]))
    return (angular_distance(states[0], states[-1]) / turned).mean()


def jump_rate(psi, layer):
    return 100 * sum(max(0, psi[k] - psi[k - 1]) for k in range(layer - 1, len(psi)))
