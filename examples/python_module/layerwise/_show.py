"""A profile as table, HTML, DataFrame and plot."""

import html as _html

# A column of the table: the flat name, the heading, and how a number is written.
_COLUMNS = (
    ("layer", "layer", "{}"),
    ("linearity_score", "linearity", "{:.4f}"),
    ("residual_linearity_score", "without residual", "{:.4f}"),
    ("linearity_chance_floor", "chance floor", "{:.3f}"),
    ("error_bound", "error bound", "{:.0e}"),
    ("displacement", "displacement", "{:.5f}"),
    ("jump_rate", "jump rate %", "{:.3f}"),
    ("angular_distance", "angle / pi", "{:.4f}"),
    ("contribution_ratio", "contribution", "{:.4f}"),
    ("outlier_share", "largest dim.", "{:.3f}"),
    ("outlier_dimension", "its number", "{}"),
)


def _heading(profile):
    text = f"{len(profile.layers)} layers, {profile.tokens} tokens, {profile.dimensions} dimensions"
    text += ", columns centred" if profile.centering == "columns" else ", nothing centred"
    if profile.final_norm != "unspecified":
        text += f", last state {profile.final_norm} the final norm"
    return text


def _cells(profile):
    """The lines of the table. "!" where any data would score as much."""
    for row in profile.rows():
        bounds = [row["linearity_error_bound"], row["residual_linearity_error_bound"]]
        row["error_bound"] = max((bound for bound in bounds if bound is not None), default=None)
        line = []
        for name, _, how in _COLUMNS:
            text = "-" if row[name] is None else how.format(row[name])
            line.append(text + ("!" if name.endswith("_score") and row[name[:-5] + "underdetermined"] else ""))
        yield line


def table(profile):
    lines = [[heading for _, heading, _ in _COLUMNS], *_cells(profile)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [_heading(profile), ""]
    text += ["  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in lines]
    return "\n".join(text)


def html(profile):
    def line(tag, cells):
        return "<tr>" + "".join(f"<{tag}>{_html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    head = line("th", [heading for _, heading, _ in _COLUMNS])
    body = "".join(line("td", cells) for cells in _cells(profile))
    return f"<table><caption>{_heading(profile)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def to_pandas(profile):
    import pandas

    frame = pandas.DataFrame(profile.rows()).set_index("layer")
    empty = frame.columns[frame.isna().all()]
    return frame.astype({name: float for name in empty})  # where nothing is known, still numbers


def plot(profile, ax=None, title=None):
    """Linearities above, displacement below, over the layers. ax: the two axes to draw on. Returns the figure."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    if not hasattr(ax, "__len__") or len(ax) != 2:
        raise TypeError(f"layerwise: expected two axes to draw on, one above the other, got {type(ax).__name__} (ax)")
    upper, lower = ax
    rows = profile.rows()
    layers = [row["layer"] for row in rows]

    def draw(axes, name, label, **style):
        values = [float("nan") if row[name] is None else row[name] for row in rows]
        axes.plot(layers, values, label=label, marker=".", **style)

    draw(upper, "linearity_score", "with the residual stream", color="tab:blue")
    draw(upper, "residual_linearity_score", "without", color="tab:orange")
    draw(upper, "linearity_chance_floor", "independent data", color="tab:gray", linestyle=":")
    draw(lower, "displacement", "displacement", color="tab:green")
    upper.set(ylabel="linearity", ylim=(0, 1.03), title=title or "")
    upper.legend(loc="lower right", ncols=3, fontsize="small")
    lower.set(ylabel="displacement", xlabel="layer")
    lower.set_ylim(bottom=0)
    return upper.figure
