#!/usr/bin/env python3
"""Runs benchmark programs and makes one Markdown table and two pictures of their results.

FOLDER keeps a program's results as <program>.json, so that a run that was broken off loses nothing, and the
report can be made anew without running anything. It takes in what it finds there: the results of the
programs, build.json (by CMake) and peers.json (by peers/run.sh). Written: report.md, cost.svg and cost.png
(cost against n and against d), error.svg and error.png (error against time, every method).
"""

import argparse
import datetime
import glob
import itertools
import json
import math
import os
import re
import subprocess
import sys

OURS = "layerwise"
COLORS = {"ours": "#c2185b", "C++": "#1f5aa6", "Python": "#4d7c0f"}
# Scores are doubles: no smaller error can be seen.
SMALLEST_ERROR = 2.0**-53


def say(text):
    print(f"report.py: {text}", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------- results


def run_program(program, folder, arguments):
    """Keeps the results of a program that ends well."""
    name = os.path.basename(program)
    kept = os.path.join(folder, name + ".json")
    command = [program, f"--benchmark_out={kept}.part", "--benchmark_out_format=json", *arguments]
    say(" ".join([name, *arguments]))
    try:
        subprocess.run(command, check=True)
        read_json(kept + ".part")
        os.replace(kept + ".part", kept)
    except (OSError, ValueError, subprocess.CalledProcessError) as failure:
        say(f"{name} left out: {failure}")


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_results(folder):
    """Program -> {run name -> counters}; of repeated runs the best. And the newest context."""
    programs, context = {}, {}
    for path in sorted(glob.glob(os.path.join(folder, "bench_*.json"))):
        try:
            content = read_json(path)
        except ValueError as failure:
            say(f"{path} left out: {failure}")
            continue
        runs = programs.setdefault(os.path.splitext(os.path.basename(path))[0], {})
        for run in content["benchmarks"]:
            if run.get("run_type") != "iteration":
                continue
            run.setdefault("best_seconds", run.get("real_time", math.inf) * UNITS[run.get("time_unit", "ns")])
            name = run["run_name"]
            if name not in runs or run["best_seconds"] < runs[name]["best_seconds"]:
                runs[name] = run
        context = max(context, content["context"], key=lambda c: c.get("date", ""))
    return programs, context


UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def split(name):
    """'f<float, Eigen::RowMajor>/n:8/d:4/real_time' -> ('f', 'float row-major', {'n': 8, 'd': 4})."""
    head, *rest = name.split("/")
    base, _, types = head.rstrip(">").partition("<")
    types = types.replace("Eigen::", "").replace("RowMajor", "row-major").replace("ColMajor", "col-major")
    arguments = dict(re.findall(r"(\w+):(\d+)(?:/|$)", "/".join(rest)))
    return base, types.replace(",", ""), {key: int(number) for key, number in arguments.items()}


# --------------------------------------------------------------------------------------------------- table


def table(header, rows, left=1):
    """The first `left` columns are text."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * left + "---:|" * (len(header) - left)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def in_ms(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def cpuinfo(field):
    """Of the first processor in /proc/cpuinfo."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, text = line.partition(":")
                if name.strip() == field:
                    return text.strip()
    return "unknown"


def caches_of(context):
    """Each with the number of cores that share one."""
    return ", ".join(
        f"L{c['level']} {c['type'].lower()} {c['size'] // 1024} KiB for {max(1, c['num_sharing'])}"
        for c in context.get("caches", [])
    )


def machine(folder, context):
    """What the figures were measured on."""
    cpu = cpuinfo("model name")
    caches = caches_of(context)
    path = os.path.join(folder, "build.json")
    build = read_json(path) if os.path.exists(path) else {}
    flags = build.get("flags", "unknown").split()
    rows = [
        (
            "processor",
            f"{cpu}, {context.get('num_cpus', '?')} cores at {context.get('mhz_per_cpu', '?')} MHz",
        ),
        ("caches, and cores that share one", caches or "unknown"),
        ("compiler", build.get("compiler", "unknown")),
        ("flags", f"`{' '.join(flag for flag in flags if not flag.startswith('-W'))}`"),
        ("Eigen", context.get("eigen", "unknown")),
        ("date", context.get("date", datetime.date.today().isoformat())[:10]),
    ]
    return table(("machine", ""), rows, left=2)


def product_section(programs):
    """Every run that knows the float64 product rate, with Eigen alone and with BLAS; the plotted ones not."""
    cells = {}
    for program in ("profile", "least_squares", "moments"):
        for blas in (False, True):
            for name, run in programs.get(f"bench_{program}" + "_blas" * blas, {}).items():
                base, types, at = split(name)
                if "of_product" in run and at["d"] != 256 and at["n"] != 4096:
                    key = (base, types, at["n"], at["d"], run.get("label", ""), at["threads"])
                    cells.setdefault(key, {})[blas] = run
    rows = []
    for key, runs in cells.items():
        row = list(key)
        for blas in (False, True):
            run = runs.get(blas)
            single = cells.get((*key[:-1], 1), {}).get(blas)
            if run is None:
                row += ["", "", "", ""]
                continue
            speedup = single["best_seconds"] / run["best_seconds"] if single and key[-1] > 1 else None
            row += [
                in_ms(run["best_seconds"]),
                f"{run['flops'] / 1e9:.1f}",
                f"{run['of_product']:.2f}",
                f"{speedup:.2f}" if speedup else "",
            ]
        rows.append(row)
    header = ["call", "states", "n", "d", "solver", "threads"]
    for kind in ("Eigen", "BLAS"):
        header += [f"{kind}: ms", "GFLOP/s", "of product", "1 thread / this"]
    return (
        "## Share of the float64 product rate\n\n"
        "3 n d² flops a layer pair, against everything the call does; *of product*: as a share of the rate of "
        "the float64 product XᵀY by the same library with as many threads, measured right before and after. "
        "`profile` is of 4 pairs, `pair` gives both scores, `linearity` one.\n\n"
        + table(header, rows, left=2)
    )


def methods_of(programs, peers):
    """method -> {case -> {seconds, ratio to ours of the same run, error}}; C++ methods, then Python's."""
    methods = {}
    for program in ("bench_methods", "bench_methods_blas"):
        for name, run in programs.get(program, {}).items():
            case, method, *_ = name.split("/")
            if run.get("error_occurred"):
                continue
            methods.setdefault(method, {})[case] = {
                "seconds": run["best_seconds"],
                "error": run["residual_error"],
            }
    reference = methods.get(f"{OURS} automatic", {})
    for cases in methods.values():
        for case, figures in cases.items():
            if case in reference:
                figures["ratio"] = figures["seconds"] / reference[case]["seconds"]
    for row in peers.get("rows", []):
        scores = re.fullmatch(r"both scores,( hard data,)? (\d+) x (\d+)", row["case"])
        if scores and not row["program"].endswith("_blas"):
            case = f"{'hard' if scores[1] else 'pair'}:{scores[2]}x{scores[3]}"
            methods.setdefault(row["peer"], {})[case] = {
                "seconds": row["peer_seconds"],
                "error": row["peer_error"],
                "ratio": row["ratio"],
                "python": True,
            }
    return methods


def methods_section(methods):
    cases = sorted({case for figures in methods.values() for case in figures}, reverse=True)
    header = ["method"]
    for case in cases:
        header += [f"{case.replace(':', ' ')}: ms", "times ours"]
    rows = []
    for method, figures in methods.items():
        row = [f"**{method}**" if method.startswith(OURS) else method]
        for case in cases:
            one = figures.get(case)
            row += (
                [in_ms(one["seconds"]), f"{one['ratio']:.1f}" if "ratio" in one else ""] if one else ["", ""]
            )
        hard = [one["error"] for case, one in figures.items() if case.startswith("hard")]
        rows.append(row + ["".join(f"{error:.1e}" for error in hard)])
    return (
        "## Both scores of a pair, by every method\n\n"
        "From float32 rows; casting and centring included. *pair*: well-conditioned states; *hard*: "
        "power-law spectrum, outlier dimensions, condition 10⁵. Error: of the residual score on the hard data, "
        "against long double. *times ours*: of `layerwise automatic` with Eigen alone, in the same run.\n\n"
        + table(header + ["error"], rows)
    )


def peers_section(peers):
    rows = [
        (
            row["case"],
            row["peer"],
            OURS + (" + BLAS" if row["program"].endswith("_blas") else ""),
            in_ms(row["peer_seconds"]),
            in_ms(row["our_seconds"]),
            f"{row['ratio']:.1f}",
        )
        for row in peers["rows"]
    ]
    packages = ", ".join(f"{name} {version}" for name, version in peers["packages"].items())
    return (
        f"## Against Python\n\nOn the same files in turns, {peers['threads']} threads each: {packages}.\n\n"
        + table(("case", "peer", "ours", "peer: ms", "ours: ms", "ratio"), rows, left=3)
    )


def memory_section(programs):
    """Whatever counts bytes and is not in the sections above."""
    rows = []
    for program in ("bench_angle", "bench_regularizer"):
        for name, run in programs.get(program, {}).items():
            shares = [f"{key} {number:.2f}" for key, number in run.items() if key.startswith("of_")]
            rate = run.get("bytes_per_second", run.get("bytes"))
            name = re.sub(r"/(min_time:[\d.]+|real_time)", "", name).replace("Eigen::", "")
            rows.append(
                (
                    f"`{name}`",
                    in_ms(run["best_seconds"]),
                    f"{rate / 1e9:.1f}" if rate else "",
                    ", ".join(shares),
                )
            )
    return "## Angles and regularizers\n\n" + table(("call", "ms", "GB/s", "share"), rows)


def faults_section(programs):
    """Empty if there are none."""
    faults = [
        f"- `{name}`: {run.get('error_message')}\n"
        for runs in programs.values()
        for name, run in runs.items()
        if run.get("error_occurred")
    ]
    return "## Failed\n\n" + "".join(faults) if faults else ""


# ------------------------------------------------------------------------------------------------- pictures

STYLE = """
set encoding utf8
set border 3 lc rgb '#888888'
set tics nomirror textcolor rgb '#333333'
set grid lc rgb '#e6e6e6' lt 1
set logscale xy
set format y '10^{%T}'
unset key
"""


def draw(folder, name, script, width, height):
    """The script through gnuplot, as .svg and as .png."""
    for terminal, suffix in (("svg", "svg"), ("pngcairo", "png")):
        setup = f"set terminal {terminal} size {width},{height} font 'Sans,12' background rgb 'white'\n"
        setup += f"set output '{name}.{suffix}'\n"
        try:
            subprocess.run(["gnuplot"], input=setup + STYLE + script, text=True, check=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError) as failure:
            say(f"no {name}.{suffix}: {failure}")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def cost_curves(programs, variable, fixed, value):
    """call -> [(variable, seconds)] of the row-major float runs with all threads at fixed = value."""
    curves = {}
    for program in ("bench_least_squares", "bench_moments"):
        for name, run in programs.get(program, {}).items():
            base, types, at = split(name)
            usual = types in ("", "float row-major") and run.get("label", "automatic") in ("", "automatic")
            if base != "linearity" and usual and at.get(fixed) == value and not run.get("error_occurred"):
                seconds = curves.setdefault(base, {})
                key = (at[variable], at["threads"])
                seconds[key] = min(run["best_seconds"], seconds.get(key, math.inf))
    return {
        call: sorted((v, s) for (v, t), s in seconds.items() if t == max(t for _, t in seconds))
        for call, seconds in curves.items()
        if len({v for v, _ in seconds}) > 1
    }


def draw_cost(programs, folder):
    """Two panels, with the slopes to compare with in their lower right corners."""
    names = {"pair": "both scores", "moments": "moments", "solution": "solution"}
    colors = {"pair": "#c2185b", "moments": "#1f5aa6", "solution": "#4d7c0f"}
    panels = [
        ("n", "d", 256, "tokens n, at d = 256", [(1, "∝ n")]),
        ("d", "n", 4096, "dimensions d, at n = 4096", [(2, "∝ d²"), (3, "∝ d³")]),
    ]
    script = "set multiplot layout 1,2 margins 0.08,0.90,0.13,0.93 spacing 0.18\nset ylabel 'seconds'\n"
    drawn = False
    for variable, fixed, value, xlabel, slopes in panels:
        curves = cost_curves(programs, variable, fixed, value)
        if not curves:
            continue
        drawn = True
        xs = sorted({x for points in curves.values() for x, _ in points})
        ys = [y for points in curves.values() for _, y in points]
        plots, blocks = [], ""
        script += "unset label\nset ylabel 'seconds'\n"
        script += f"set xlabel '{xlabel}'\nset xrange [{xs[0] / 1.2}:{xs[-1] * 1.2}]\n"
        script += f"set yrange [{min(ys) / 3}:{max(ys) * 3}]\n"
        script += "set xtics (" + ", ".join(f"'{x}' {x}" for x in xs) + ") font ',10'\n"
        corner = xs[-1] / 6, 1.4 * min(ys) / 3
        for power, text in slopes:
            end = xs[-1] / 1.6, corner[1] * (xs[-1] / 1.6 / corner[0]) ** power
            script += (
                f"set arrow from {corner[0]},{corner[1]} to {end[0]},{end[1]} nohead dt 2 lc rgb '#777777'\n"
            )
            script += f"set label '{text}' at {end[0]},{end[1]} left offset 0.6,0 textcolor rgb '#555555'\n"
        label_at = {call: math.log(points[-1][1]) for call, points in curves.items()}
        spread_out(label_at, 0.045 * math.log(9 * max(ys) / min(ys)))
        for call, points in curves.items():
            blocks += f"${call}_{variable} << END\n" + "".join(f"{x} {y}\n" for x, y in points) + "END\n"
            plots.append(f"${call}_{variable} with linespoints pt 7 ps 0.6 lw 2 lc rgb '{colors[call]}'")
            script += (
                f"set label {quoted(names[call])} at {points[-1][0]},{math.exp(label_at[call])} "
                f"left offset 1,0 textcolor rgb '{colors[call]}'\n"
            )
        script += blocks + "plot " + ", ".join(plots) + "\nunset arrow\n"
    if drawn:
        draw(folder, "cost", script + "unset multiplot\n", 1100, 480)


def spread_out(positions, distance):
    """Moves positions, a dictionary, apart by `distance` at least; the highest stays."""
    above = None
    for key in sorted(positions, key=positions.get, reverse=True):
        if above is not None:
            positions[key] = min(positions[key], above - distance)
        above = positions[key]


def place_labels(points, width, height, reserved):
    """Labels near their points, in pixels: {name: (x, y, anchor)}; overlaps neither labels nor points.

    points: {name: (x, y)}, reserved: boxes where no label may be. Placed from right to left, so that
    labels above or below their points, with a line to them, form stairs; nearer places are tried first. Where
    nothing is free, lines may cross.
    """
    line, gap = 16, 9
    marks = {name: (x - 7, y - 6, x + 7, y + 6) for name, (x, y) in points.items()}
    boxes, lines, placed = list(reserved), [], {}

    def free(box):
        inside = box[0] >= 2 and box[1] >= 2 and box[2] <= width - 2 and box[3] <= height - 2
        return inside and not any(overlap(box, other) for other in [*boxes, *marks.values()])

    def clear(name, box, leader):
        return (
            not any(crosses(leader, other) for other in lines)
            and not any(overlap((x, y, x, y), box) for start, end in lines for x, y in along(start, end))
            and not any(overlap((x, y, x, y), other) for x, y in along(*leader) for other in boxes)
            and not any(
                math.dist(spot, points[o]) < 5 for spot in along(*leader) for o in points if o != name
            )
        )

    places = [(gap, 0), (-gap, 0)]
    heights = [sign * k * line for k in range(2, 30) for sign in (-1, 1)]
    widths = [sign * k * gap for k in (0.5, 2, 4, 8, 12) for sign in (1, -1)]
    places += itertools.product(widths, heights)
    places.sort(key=lambda place: (place[1] != 0, place[0] < 0, abs(place[1]), abs(place[0])))
    for name in sorted(points, key=points.get, reverse=True):
        x, y = points[name]
        length = (9 if name.startswith(OURS) else 8.2) * len(name) + 4
        for (dx, dy), strict in [(place, strict) for strict in (True, False) for place in places]:
            start = x + dx if dx > 0 else x + dx - length
            box = (start, y + dy - line / 2, start + length, y + dy + line / 2)
            leader = ((x, y), (x + dx, y + dy))
            if free(box) and (clear(name, box, leader) or not strict):
                boxes.append(box)
                if dy:
                    lines.append(leader)
                placed[name] = (x + dx, y + dy, "left" if dx > 0 else "right")
                break
        else:
            say(f"no room for the label {name}")
    return placed


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def along(start, end, count=24):
    """Points on the way, both ends left out."""
    (x0, y0), (x1, y1) = start, end
    return [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(1, count)]


def crosses(a, b):
    """Whether two line segments do."""

    def side(line, point):
        (x0, y0), (x1, y1) = line
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0) > 0

    return side(a, b[0]) != side(a, b[1]) and side(b, a[0]) != side(b, a[1])


def draw_error(methods, folder):
    """The residual score's error against time on the hard data, with Eigen alone."""
    data = {}
    for method, cases in methods.items():
        for case, figures in cases.items():
            if case.startswith("hard") and not method.endswith("BLAS"):
                kind = "ours" if method.startswith(OURS) else "Python" if figures.get("python") else "C++"
                data[method] = (figures["seconds"], max(figures["error"], SMALLEST_ERROR), kind)
    if not data:
        return
    width, height, left, bottom = 1000, 680, 90, 66  # pixels of the picture and of its margins
    times = [math.log10(seconds) for seconds, _, _ in data.values()]
    errors = [math.log10(error) for _, error, _ in data.values()]
    x0, x1 = min(times) - 0.3, max(times) + 0.5
    y0, y1 = min(errors) - 5, max(errors) + 0.7
    w, h = width - left - 20, height - bottom - 30

    def pixels(seconds, error):
        return (math.log10(seconds) - x0) / (x1 - x0) * w, (1 - (math.log10(error) - y0) / (y1 - y0)) * h

    points = {method: pixels(seconds, error) for method, (seconds, error, _) in data.items()}
    script = (
        f"set lmargin at screen {left / width}\nset rmargin at screen {(left + w) / width}\n"
        f"set bmargin at screen {bottom / height}\nset tmargin at screen {(bottom + h) / height}\n"
        f"unset mytics\nset xrange [{10**x0}:{10**x1}]\nset yrange [{10**y0}:{10**y1}]\n"
        "set xlabel 'seconds for both scores of 4000 × 256 float32 states of condition 10^5'\n"
        "set ylabel 'error of the residual score' offset 0.5,0\n"
        "set xtics (" + ", ".join(f"'{t:g}' {t:g}" for t in nice_ticks(x0, x1)) + ")\n"
        f"set label 'the last digit of a double' at graph 0.995,first {SMALLEST_ERROR} right offset 0,-0.6 "
        "font ',10' textcolor rgb '#888888'\n"
        f"set arrow from graph 0,first {SMALLEST_ERROR} to graph 1,first {SMALLEST_ERROR} nohead dt 3 "
        "lc rgb '#888888'\n"
    )
    floor = pixels(1, SMALLEST_ERROR)[1]
    for method, (x, y, anchor) in place_labels(points, w, h, [(w - 180, floor, w, floor + 20)]).items():
        color, (px, py) = COLORS[data[method][2]], points[method]
        text = f"{{/:Bold {method.replace('_', chr(92) + '_')}}}" if method.startswith(OURS) else method
        plain = "" if method.startswith(OURS) else "noenhanced "
        script += (
            f"set label {quoted(text)} at graph {x / w},{1 - y / h} {anchor} {plain}font ',11' "
            f"textcolor rgb '{color}'\n"
        )
        if abs(y - py) > 16:
            end = x - 3 if anchor == "left" else x + 3
            script += (
                f"set arrow from graph {px / w},{1 - py / h} to graph {end / w},{1 - y / h} nohead lw 0.7 "
                f"lc rgb '{color}'\n"
            )
    plots = []
    for kind, style in (("C++", "pt 7 ps 0.8"), ("Python", "pt 5 ps 0.8"), ("ours", "pt 7 ps 1.5")):
        rows = [f"{seconds} {error}\n" for seconds, error, which in data.values() if which == kind]
        if rows:
            block = f"${kind.replace('+', 'p')}"
            script += f"{block} << END\n{''.join(rows)}END\n"
            plots.append(f"{block} with points {style} lc rgb '{COLORS[kind]}'")
    draw(folder, "error", script + "plot " + ", ".join(plots) + "\n", width, height)


def nice_ticks(low, high):
    return [
        m * 10.0**e
        for e in range(math.floor(low), math.ceil(high) + 1)
        for m in (1, 2, 5)
        if low <= math.log10(m * 10.0**e) <= high
    ]


# ----------------------------------------------------------------------------------------------------- main


def write_report(folder):
    programs, context = read_results(folder)
    path = os.path.join(folder, "peers.json")
    peers = read_json(path) if os.path.exists(path) else {}
    if not programs and not peers:
        sys.exit(f"report.py: error: no results in {folder}")
    methods = methods_of(programs, peers)
    sections = ["# Benchmarks\n", machine(folder, context)]
    sections += [product_section(programs)]
    sections += [methods_section(methods)] if methods else []
    sections += [peers_section(peers)] if peers else []
    sections += [memory_section(programs), faults_section(programs)]
    report = os.path.join(folder, "report.md")
    with open(report, "w", encoding="utf-8") as file:
        file.write("\n".join(section for section in sections if section))
    draw_cost(programs, folder)
    draw_error(methods, folder)
    say(f"wrote {report}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="of the results, and of the report")
    parser.add_argument(
        "--run", nargs="+", default=[], metavar="PROGRAM", help="benchmark programs to run first"
    )
    parser.add_argument("--filter", metavar="REGEX", help="run only these benchmarks of each program")
    parser.add_argument("--repetitions", type=int, metavar="N", help="run each N times; the best counts")
    options = parser.parse_args()
    arguments = [f"--benchmark_filter={options.filter}"] if options.filter else []
    arguments += [f"--benchmark_repetitions={options.repetitions}"] if options.repetitions else []
    try:
        os.makedirs(options.folder, exist_ok=True)
        for program in options.run:
            run_program(program, options.folder, arguments)
        write_report(options.folder)
    except (OSError, ValueError, KeyError) as failure:
        sys.exit(f"report.py: error: {failure!r}")


if __name__ == "__main__":
    main()
