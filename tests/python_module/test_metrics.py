"""Every metric against its formula in numpy."""

import layerwise
import numpy as np
import pytest
import references as ref


@pytest.fixture
def x(rng):
    return rng.standard_normal((60, 7)) * np.arange(1, 8) + 0.5


@pytest.fixture
def y(rng, x):
    return x @ rng.standard_normal((7, 7)) + rng.standard_normal((60, 7))


@pytest.fixture
def wide(rng, x):
    return np.tanh(x @ rng.standard_normal((7, 9))) + 0.3 * rng.standard_normal((60, 9))


def close(value, expected, tolerance=1e-11):
    assert value == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_of_rows(x, y):
    close(layerwise.cosine_similarity(x, y), ref.cosines(x, y))
    close(layerwise.displacement(x, y), ref.displacement(x, y))
    close(layerwise.angular_distance(x, y), ref.angular_distance(x, y))
    close(layerwise.contribution_ratio(x, y), ref.contribution(x, y))
    close(layerwise.contribution_ratio_frobenius(x, y), np.linalg.norm(y - x) / np.linalg.norm(y))
    assert np.array_equal(layerwise.residual_update(x, y), y - x)
    close(layerwise.block_influence(x, y), 1 - ref.cosines(x, y).mean())


def test_small_angles_are_right(rng):
    x = rng.standard_normal((5, 8))
    turned = x + 1e-9 * np.roll(x, 1, axis=1)
    expected = ref.displacement(x.astype(np.longdouble), turned.astype(np.longdouble))
    close(layerwise.displacement(x, turned) / expected, np.ones(5), 1e-6)


def test_of_displacements():
    psi = [0.5, 0.2, 0.3, 0.25, 0.4]
    close(layerwise.jump_rates(psi), [ref.jump_rate(psi, layer) for layer in range(2, 6)])
    close(layerwise.jump_rate(psi, 3), ref.jump_rate(psi, 3))
    close(layerwise.jump_rate(psi), ref.jump_rate(psi, 5))
    close(layerwise.collapse_indices(psi), [4 * (l + 1) * value for l, value in enumerate(psi)])
    assert layerwise.jump_rates(np.array(psi)) == layerwise.jump_rates(psi)


def test_of_regressions(x, y, wide):
    for centering in ("columns", "none"):
        centre = centering == "columns"
        close(layerwise.linearity(x, wide, centering=centering).score, ref.linearity(x, wide, centre))
        close(layerwise.residual_linearity(x, y, centering=centering).score, ref.residual_linearity(x, y, centre))
    assert layerwise.linearity_score(x, wide) == layerwise.linearity(x, wide).score
    assert layerwise.residual_linearity_score(x, y) == layerwise.residual_linearity(x, y).score
    for method in ("cholesky", "orthogonal", "rank_revealing"):
        result = layerwise.linearity(x, wide, method=method)
        assert result.method == method
        close(result.score, ref.linearity(x, wide))
    both = layerwise.linear_predictivity(x, wide)
    close(both.forward.score, ref.linearity(x, wide))
    close(both.backward.score, ref.linearity(wide, x))
    ridge = layerwise.ridge_linearity(x, wide, 0.3)
    close(ridge.score, ref.ridge(x, wide, 0.3))
    assert ridge.lambda_ == 0.3 and ridge.to_dict()["lambda"] == 0.3 and "lambda_=0.3" in repr(ridge)


def test_linear_map(x, wide):
    fitted = layerwise.fit_linear_map(x, wide)
    assert fitted.weight.shape == (7, 9) and fitted.bias.shape == (9,)
    with_ones = np.column_stack([x, np.ones(60)])
    solution = np.linalg.lstsq(with_ones, wide, rcond=None)[0]
    close(fitted.weight, solution[:-1])
    close(fitted.bias, solution[-1])
    close(fitted(x[:3]), with_ones[:3] @ solution)


def test_of_pairs(x, y, wide):
    close(layerwise.cka(x, wide).score, ref.cka(x, wide))
    close(layerwise.linear_cka(x, wide), ref.cka(x, wide))
    close(layerwise.debiased_cka(x, wide).score, ref.debiased_cka(x, wide), 1e-10)
    close(layerwise.debiased_linear_cka(x, wide), ref.debiased_cka(x, wide), 1e-10)
    close(layerwise.rsa(x, wide).score, ref.rsa(x, wide), 1e-10)
    close(layerwise.representational_similarity(x, wide), ref.rsa(x, wide), 1e-10)
    close(layerwise.fast_weight(x, wide).score, ref.fast_weight(x, wide))
    close(layerwise.fast_weight_score(x, wide), ref.fast_weight(x, wide))
    close(layerwise.fast_weight_map(x, wide), wide.T @ x, 1e-10)
    close(layerwise.delta_rule_map(x, wide, 0.01), ref.delta_rule(x, wide, 0.01), 1e-10)
    close(layerwise.mutual_knn(x, wide, 5), ref.mutual_knn(x, wide, 5))
    close(layerwise.mutual_knn(x, y), ref.mutual_knn(x, y, 10))


def test_of_decompositions(x, wide):
    correlations = ref.canonical_correlations(x, wide)
    result = layerwise.cca(x, wide)
    close(result.correlations, correlations)
    close(layerwise.canonical_correlations(x, wide), correlations)
    close(layerwise.mean_cca(x, wide), correlations.mean())
    assert result.to_dict()["correlations"].shape == (7,) and "<array of (7,)>" in repr(result)
    close(layerwise.svcca(x, wide, 0.9), ref.svcca(x, wide, 0.9))
    close(layerwise.singular_vector_cca(x, wide).mean, ref.svcca(x, wide, 0.99))
    close(layerwise.pwcca(x, wide), ref.pwcca(x, wide), 1e-10)
    close(layerwise.projection_weighted_cca(x, wide).score, ref.pwcca(x, wide), 1e-10)
    nuclear = ref.nuclear(x, wide)
    result = layerwise.procrustes(x, wide)
    close([result.similarity, result.squared_distance, result.angle], [nuclear, 2 - 2 * nuclear, np.arccos(nuclear)])
    values = np.linalg.svd(x, compute_uv=False)
    close(layerwise.singular_spectrum(x).singular_values, values)
    close(layerwise.condition_number(x), values[0] / values[-1])


def test_of_one_layer(x):
    values = ref.eigenvalues(x)
    p, sigma = values / values.sum(), np.sqrt(values)
    result = layerwise.spectrum(x)
    close(result.eigenvalues, values / 59)
    close(result.anisotropy, p[0])
    close(layerwise.anisotropy(x), p[0])
    close(layerwise.stable_rank(x), 1 / p[0])
    close(layerwise.participation_ratio(x), 1 / (p**2).sum())
    close(layerwise.effective_rank(x), np.exp(ref.entropy(sigma / sigma.sum())))
    close(layerwise.matrix_entropy(x), ref.entropy(p))
    close(layerwise.matrix_entropy(x, 3.0), np.log((p**3).sum()) / -2)
    close(layerwise.eigenvalues_over_median(result), values / np.median(values))
    raw = np.linalg.svd(x, compute_uv=False)
    close(layerwise.stable_rank(x, centering="none"), (raw**2).sum() / raw[0] ** 2)


def test_of_rows_of_one_layer(x):
    norms = np.linalg.norm(x, axis=1)
    close(layerwise.row_norms(x), norms)
    result = layerwise.norm_distribution(x)
    close(
        [result.mean, result.standard_deviation, result.minimum, result.median, result.maximum],
        [norms.mean(), norms.std(), norms.min(), np.median(norms), norms.max()],
    )
    close(layerwise.rank_collapse(x).residual, np.linalg.norm(ref.centred(x)) / np.linalg.norm(x))
    cosines = (ref.units(x) @ ref.units(x).T)[np.triu_indices(60, 1)]
    close(layerwise.mean_pairwise_cosine(x), cosines.mean())
    contributions = layerwise.pairwise_cosine_contributions(x)
    close(contributions.contributions.sum(), contributions.mean)
    close(layerwise.mean_squared_cosine(x), (cosines**2).mean())
    close(layerwise.pairwise_cosines(x).cosines, np.sort(cosines))
    assert layerwise.pairwise_cosines(x, sample=10).sampled == 10
    close(layerwise.intrinsic_dimension(x).dimension, ref.twonn(x), 1e-9)
    assert layerwise.intrinsic_dimension(x, fit="maximum_likelihood").ratios == 60


def test_massive_activations(x):
    x[17, 3] = -5e4
    result = layerwise.massive_activations(x, count=2)
    assert (result.massive, result.peak, len(result.largest)) == (1, 5e4, 2)
    first = result.largest[0]
    assert (first.value, first.token, first.dimension) == (-5e4, 17, 3)
    close(result.median, np.median(np.abs(x)))
    assert result.to_dict()["largest"][0] == {"value": -5e4, "token": 17, "dimension": 3}
    assert "Activation(value=-50000.0, token=17, dimension=3)" in repr(result)


def test_curvature(rng):
    sequences = rng.standard_normal((3, 10, 4)).cumsum(axis=1)
    expected = ref.curvature(sequences)
    close(layerwise.curvature(sequences), expected)
    close(layerwise.curvature(sequences.reshape(30, 4), 10), expected)
    close(layerwise.curvature(sequences[0]), ref.curvature(sequences[:1]))


def test_of_stacks(stack):
    angles = layerwise.angular_distance_matrix(stack)
    expected = [[ref.angular_distance(a, b).mean() for b in stack] for a in stack]
    close(angles, np.array(expected) - np.diag(np.diag(expected)), 1e-9)
    block = layerwise.best_block(angles, 2)
    starts = [angles[l, l + 2] for l in range(3)]
    assert (block.start, block.layers, block.distance) == (np.argmin(starts), 2, min(starts))
    close(layerwise.cka_matrix(stack).scores, np.array([[ref.cka(a, b) for b in stack] for a in stack]), 1e-10)
    debiased = np.array([[ref.debiased_cka(a, b) for b in stack] for a in stack])
    close(layerwise.debiased_cka_matrix(stack).scores, debiased, 1e-9)
    close(layerwise.path_efficiency(stack), ref.path_efficiency(stack))
    growth = layerwise.norm_growth(stack, tolerance=0.2)
    close([g.mean_square for g in growth], [(ref.rows(h) ** 2).sum(axis=1).mean() / 12 for h in stack])
    assert [g.layer for g in growth] == [0, 1, 2, 3, 4]
    assert [g.pre_ln_most for g in growth] == [1, 2.5, 4, 5.5, 7]


def test_normalizations(x):
    root = np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)
    close(layerwise.rms_normalized(x), x / root)
    gain, bias = np.arange(7.0) + 1, np.linspace(-1, 1, 7)
    close(layerwise.rms_normalized(x, gain), x / root * gain)
    mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    close(layerwise.layer_normalized(x), (x - mean) / np.sqrt(variance + 1e-5))
    close(layerwise.layer_normalized(x, gain, bias), (x - mean) / np.sqrt(variance + 1e-5) * gain + bias)
    outside = layerwise.layer_normalized(x, epsilon=0.5, position="outside_root")
    close(outside, (x - mean) / (np.sqrt(variance) + 0.5))
    close(layerwise.unit_normalized(x), ref.units(x))
    close(layerwise.procrustes_normalize(x), ref.centred(x) / np.linalg.norm(ref.centred(x)))
    close(layerwise.procrustes_normalize(x, centering="none"), x / np.linalg.norm(x))
    with pytest.raises(layerwise.OptionError):
        layerwise.layer_normalized(x, gain)


def test_steps_on_the_sphere(x, y):
    h, target = ref.units(x), ref.units(y)
    close(layerwise.hypersphere_step(h, target, 0.3), ref.units(h + 0.3 * (target - h)))
    for number in (1, True, np.float32(1), np.array(1.0)):
        close(layerwise.hypersphere_step(h, target, number), ref.units(target))
    with pytest.raises(TypeError, match=r"an array in memory.*a list.*alpha"):
        layerwise.hypersphere_step(h, target, [0.3, 0.4])
    rates = np.linspace(0, 1, 7)
    close(layerwise.hypersphere_step(h, target, rates), ref.units(h + rates * (target - h)))
    theta = np.arccos(ref.cosines(h, target))[:, None]
    between = (np.sin(0.7 * theta) * h + np.sin(0.3 * theta) * target) / np.sin(theta)
    close(layerwise.slerp(h, target, 0.3), between, 1e-9)


def test_results_do_not_depend_on_what_happens_to_their_source(x):
    result = layerwise.singular_spectrum(x)
    values = result.singular_values
    kept = values.copy()
    del result
    assert np.array_equal(values, kept)
