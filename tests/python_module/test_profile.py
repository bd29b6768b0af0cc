"""profile() against numpy, and its shapes: table, dict, DataFrame, HTML, plot."""

import json

import layerwise
import numpy as np
import pytest
import references as ref


def test_every_number_against_numpy(stack):
    profile = layerwise.profile(stack)
    assert (profile.tokens, profile.dimensions, len(profile.layers)) == (120, 12, 4)
    displacements = [ref.displacement(x, y).mean() for x, y in zip(stack, stack[1:])]
    for l, (layer, x, y) in enumerate(zip(profile.layers, stack, stack[1:]), 1):
        assert layer.linearity.score == pytest.approx(ref.linearity(x, y), abs=1e-12)
        assert layer.residual_linearity.score == pytest.approx(ref.residual_linearity(x, y), abs=1e-12)
        assert layer.displacement == pytest.approx(displacements[l - 1], rel=1e-13)
        assert layer.angular_distance == pytest.approx(ref.angular_distance(x, y).mean(), rel=1e-13)
        assert layer.cosine_similarity == pytest.approx(ref.cosines(x, y).mean(), rel=1e-13)
        assert layer.contribution_ratio == pytest.approx(ref.contribution(x, y).mean(), rel=1e-13)
        frobenius = np.linalg.norm(y - x) / np.linalg.norm(y)
        assert layer.contribution_ratio_frobenius == pytest.approx(frobenius, rel=1e-13)
        variances = ref.rows(y).var(axis=0)
        assert layer.outlier_share == pytest.approx(variances.max() / variances.sum(), rel=1e-12)
        assert layer.outlier_dimension == variances.argmax()
        assert layer.linearity.chance_floor == pytest.approx(12 / 119)
        assert (layer.linearity.tokens, layer.linearity.rank) == (120, 12)
        if l == 1:
            assert layer.jump_rate is None
        else:
            assert layer.jump_rate == pytest.approx(ref.jump_rate(displacements, l), abs=1e-11)


def test_options(stack):
    uncentred = layerwise.profile(stack, centering="none", final_norm="before", method="rank_revealing")
    assert (uncentred.centering, uncentred.final_norm) == ("none", "before")
    assert uncentred.layers[0].linearity.method == "rank_revealing"
    assert uncentred.layers[0].linearity.score == pytest.approx(ref.linearity(*stack[:2], centre=False), abs=1e-12)
    plain = layerwise.profile(stack, linearity=False)
    assert plain.layers[0].linearity is None and plain.layers[0].residual_linearity is None
    assert plain.layers[0].displacement == layerwise.profile(stack).layers[0].displacement


def test_float32_and_mixed_layers(stack):
    halves = [stack[0].astype(np.float16), *(layer.astype(np.float32) for layer in stack[1:])]
    exact = [layer.astype(np.float64) for layer in halves]
    assert layerwise.profile(halves).to_dict() == layerwise.profile(exact).to_dict()


def test_to_dict_is_plain(stack):
    profile = layerwise.profile(stack)
    plain = json.loads(json.dumps(profile.to_dict()))
    assert plain == profile.to_dict()
    assert plain["layers"][1]["linearity"]["score"] == profile.layers[1].linearity.score
    assert plain["layers"][0]["jump_rate"] is None
    assert plain["centering"] == "columns"


def test_rows_have_the_names_of_reports(stack):
    profile = layerwise.profile(stack)
    rows = profile.rows()
    assert [row["layer"] for row in rows] == [1, 2, 3, 4]
    assert rows[2]["residual_linearity_score"] == profile.layers[2].residual_linearity.score
    assert rows[0]["linearity_method"] == "cholesky"
    without = layerwise.profile(stack, linearity=False).rows()
    assert without[0].keys() == rows[0].keys() and without[0]["linearity_score"] is None


def test_the_table(stack):
    profile = layerwise.profile(stack, final_norm="after")
    lines = str(profile).splitlines()
    assert lines[0] == "4 layers, 120 tokens, 12 dimensions, columns centred, last state after the final norm"
    assert len(lines) == 3 + 4
    assert f"{profile.layers[3].linearity.score:.4f}" in lines[-1]
    assert "!" not in lines[-1]
    few = layerwise.profile([layer.reshape(-1, 12)[:10] for layer in stack])
    assert few.layers[0].linearity.underdetermined and "1.0000!" in str(few)
    assert "4 layers" in repr(profile) and "LinearityResult(score=" in repr(profile.layers[0])


def test_pandas(stack):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = layerwise.profile(stack).to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame.index) == [1, 2, 3, 4]
    assert layerwise.profile(stack, linearity=False).to_pandas()["linearity_score"].dtype == float
    assert frame.loc[2, "displacement"] == layerwise.profile(stack).layers[1].displacement


def test_html(stack):
    html = layerwise.profile(stack)._repr_html_()
    assert html.count("<tr>") == 1 + 4 and html.startswith("<table>")


def test_plot(stack):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pytest.raises(TypeError, match="two axes"):
        layerwise.profile(stack).plot(ax=pyplot.figure().gca())
    profile = layerwise.profile(stack)
    figure = profile.plot()
    upper, lower = figure.axes
    drawn = upper.lines[0].get_ydata()
    assert np.array_equal(drawn, [layer.linearity.score for layer in profile.layers])
    assert np.array_equal(lower.lines[0].get_ydata(), [layer.displacement for layer in profile.layers])
    assert layerwise.profile(stack, linearity=False).plot(ax=[upper, lower]) is figure


def test_threads_do_not_change_a_bit(stack):
    try:
        results = []
        for threads in (1, 2, 3):
            layerwise.set_num_threads(threads)
            assert layerwise.get_num_threads() in (threads, 1)
            results.append(layerwise.profile(stack).to_dict())
        assert results[0] == results[1] == results[2]
    finally:
        layerwise.set_num_threads(1)
