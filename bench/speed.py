#!/usr/bin/env python3
"""The README's tables of speed: measured, kept, compared and written. None of their figures is typed.

  run BUILD     measures the C++ side of what the README quotes; raw results go to BUILD/report
  keep BUILD    makes a file in bench/results/ of the raw results of this run, peers.json of peers/run.sh among
                them, with commit, machine and date; then does what `write` does, and what `show` does
  write         writes the tables into bench/README.md, from the newest file in bench/results/
  show          prints the targets, and what has changed since the last results on the same kind of machine
  check         fails unless bench/README.md is what `write` would make of it

measure.sh runs all of it in order. `run` and `keep` refuse a tree that is not the commit's.
"""

import argparse
import datetime
import difflib
import glob
import json
import os
import re
import subprocess
import sys
import textwrap
import time

import report

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = os.path.join(ROOT, "bench", "results")
README = os.path.join(ROOT, "bench", "README.md")
MEASURED = ("include", "bench", "cmake", "CMakeLists.txt")  # what a figure depends on

PAIR, HARD, MODEL = "8192x768", "4000x256", "16384x576"
CPP_METHODS = (
    "Eigen HouseholderQR",
    "Eigen ColPivHouseholderQR",
    "Eigen BDCSVD",
    "LAPACK dgels",
    "LAPACK dgelsy",
    "LAPACK dgelsd",
    "Armadillo solve",
)
PYTHON_METHODS = (
    "llm-microscope (float32)",
    "torch.linalg.lstsq (float32)",
    "torch.linalg.lstsq",
    "numpy.linalg.lstsq",
    "scipy.linalg.lstsq gelsd",
    "scipy.linalg.lstsq gelsy",
)
# job of peers.py -> the README's name of it
STATES = {
    "displacement": "displacement",
    "cosine": "cosine",
    "mse": "MSE",
    "jreg": "JREG",
    "mse, value and gradient": "MSE and gradient",
    "jreg, value and gradient": "JREG and gradient",
}

# So many cores, taken by other programs, make a measurement a trial.
BUSY = 0.1

# (program, the benchmarks of it that are quoted, more arguments)
QUOTED = (
    ("bench_profile", r"^(profile<float, Eigen::RowMajor>|column_major)/", []),
    ("bench_moments", rf"^moments<float, Eigen::RowMajor>/n:{PAIR.replace('x', '/d:')}/", []),
    (
        "bench_methods",
        rf"^(pair:{PAIR}|hard:{HARD})/(layerwise automatic|{'|'.join(CPP_METHODS)})/",
        # In turns, so that a machine that slows down or speeds up does so for all of them.
        ["--benchmark_repetitions=2", "--benchmark_enable_random_interleaving=true"],
    ),
)

# (what, at least, the figures of it by their names: the smallest counts)
TARGETS = (
    (f"moments, {PAIR}: of the peak of multiply-adds", 0.90, rf"moments/{PAIR}/\d+/of_peak"),
    ("profile: of Eigen's product", 1.0, r"profile/.*/of_eigen"),
    ("profile, d = 576, 768, 1024: of OpenBLAS's", 0.85, r"profile/\d+x(576|768|1024)/\d+/of_openblas"),
    ("profile, d = 2048: of OpenBLAS's", 0.80, r"profile/\d+x2048/\d+/of_openblas"),
    ("profile: two threads, times one", 1.85, r"profile/.*/two_threads"),
    ("profile, column-major: of row-major", 0.9, r"column_major/\d+/of_row_major"),
    ("a pair, llm-microscope: times ours", 7.0, r"pair/llm-microscope .*/ratio"),
    ("a whole model, llm-microscope: times ours", 7.0, r"model/llm-microscope .*/ratio"),
    ("a pair, float64 solvers: times ours", 5.0, r"pair/(?!layerwise|.*float32).*/ratio"),
    ("hard data, every peer: times ours", 1.0, r"hard/(?!layerwise).*/ratio"),
)


class Refused(Exception):
    """What ends the program; printed in one line."""


# ----------------------------------------------------------------------------------------------------- git


def git(*arguments):
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def measured_commit():
    """The commit, and the hash of its include/, which outlives a rebase. The tree must be the same."""
    changed = git("status", "--porcelain", "--", *MEASURED, ":(exclude)bench/results")
    if changed:
        raise Refused(f"figures belong to a commit, and these files differ from it:\n{changed}")
    return {"commit": git("rev-parse", "HEAD"), "include": git("rev-parse", "HEAD:include")}


# ----------------------------------------------------------------------------------------------- measuring


def run(build):
    begun = measured_commit() | {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    folder = os.path.join(build, "report")
    os.makedirs(folder, exist_ok=True)
    # No figure of another run may end up beside one of this.
    for old in glob.glob(os.path.join(folder, "bench_*.json")) + [os.path.join(folder, "peers.json")]:
        if os.path.exists(old):
            os.remove(old)
    started, others = time.monotonic(), seconds_of_others()
    for name, quoted, more in QUOTED:
        program = os.path.join(build, "bench", name)
        report.run_program(program, folder, [f"--benchmark_filter={quoted}", *more])
    begun["others"] = round((seconds_of_others() - others) / (time.monotonic() - started), 2)
    if begun["others"] > BUSY:
        report.say(f"other programs kept {begun['others']} cores busy: the figures are no good")
    write_json(os.path.join(folder, "begun.json"), begun)


def seconds_of_others():
    """Of processor time, taken by a hypervisor or all programs but this one and its children; 0 if unknown."""
    if not os.path.exists("/proc/stat"):
        return 0
    with open("/proc/stat", encoding="utf-8") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    all_of_them = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return all_of_them - sum(os.times()[:4])


def write_json(path, content):
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(path + ".part", path)


def keep(build):
    folder = os.path.join(build, "report")
    try:
        begun = report.read_json(os.path.join(folder, "begun.json"))
    except OSError as failure:
        raise Refused(f"{build} has no results of `run`") from failure
    if measured_commit() != {key: begun[key] for key in ("commit", "include")}:
        raise Refused(f"{build} has results of commit {begun['commit']}, this is another one")
    programs, context = report.read_results(folder)
    path = os.path.join(folder, "peers.json")
    peers = report.read_json(path) if os.path.exists(path) else {}
    figures, left_out = figures_of(programs, peers, context)
    if not figures:
        raise Refused(f"nothing was measured: {left_out}")
    result = begun | {
        "machine": {
            "processor": report.cpuinfo("model name"),
            "cores": os.cpu_count(),
            "mhz": context.get("mhz_per_cpu"),
            "caches": report.caches_of(context),
        },
        "software": software_of(folder, context, peers),
        "figures": figures,
        "left_out": left_out,
    }
    kind = re.sub(r"\W+", "-", re.sub(r"\(\w+\)", "", result["machine"]["processor"])).strip("-").lower()
    name = f"{result['date'][:10]}-{result['commit'][:7]}-{kind}-{result['machine']['cores']}.json"
    os.makedirs(RESULTS, exist_ok=True)
    write_json(os.path.join(RESULTS, name), result)
    report.say(f"wrote bench/results/{name}")


def software_of(folder, context, peers):
    build = report.read_json(os.path.join(folder, "build.json"))
    flags = [flag for flag in build["flags"].split() if not flag.startswith("-W")]
    out = {"compiler": build["compiler"], "flags": " ".join(flags), "Eigen": context.get("eigen", "unknown")}
    if "openblas" in context:
        out["OpenBLAS"] = re.sub(r"^OpenBLAS (\S+).*", r"\1", context["openblas"])
        out["OpenBLAS kernel"] = context["openblas_kernel"]
        # A kernel from before AVX-512 is half as fast as what the processor, and Eigen, can do.
        if "avx512f" in report.cpuinfo("flags").split() and not re.match(
            "skylakex|cooperlake|sapphirerapids", context["openblas_kernel"].lower()
        ):
            out["OpenBLAS kernel"] += ", which leaves the processor's AVX-512 unused"
        if os.environ.get("OPENBLAS_CORETYPE"):
            out["OpenBLAS kernel"] += ", set by OPENBLAS_CORETYPE"
    out |= {name: version for name, version in peers.get("packages", {}).items()}
    if peers.get("blas"):
        out["BLAS of numpy and scipy"] = ", ".join(dict.fromkeys(peers["blas"]))
    return out


def figures_of(programs, peers, context):
    """({name: number}, {what is missing: why})."""
    figures, left_out = {}, {}

    def runs_of(program):
        if program not in programs:
            left_out[program] = "did not run to its end"
        return programs.get(program, {}).items()

    singles = {}
    for name, one in runs_of("bench_profile"):
        base, _, at = report.split(name)
        size, threads = f"{at['n']}x{at['d']}", at["threads"]
        if one.get("error_occurred"):
            left_out[f"{base}, {size}, {threads} threads"] = one.get("error_message", "failed")
        elif base == "column_major":
            figures[f"column_major/{threads}/of_row_major"] = one["of_row_major"]
        else:
            key = f"profile/{size}/{threads}"
            figures[f"{key}/gflops"] = one["flops"] / 1e9
            figures[f"{key}/of_eigen"] = one["of_product"]
            if "of_openblas" in one:
                figures[f"{key}/of_openblas"] = one["of_openblas"]
            else:
                left_out["OpenBLAS's product"] = (
                    f"its kernel {context['openblas_kernel']} computes wrong products here"
                    if "openblas" in context
                    else "not installed"
                )
            singles[size, threads] = one["flops"]
    for (size, threads), flops in singles.items():
        if threads == 2 and (size, 1) in singles:
            figures[f"profile/{size}/two_threads"] = flops / singles[size, 1]

    for name, one in runs_of("bench_moments"):
        _, _, at = report.split(name)
        if one.get("error_occurred"):
            left_out["moments"] = one.get("error_message", "failed")
        elif "of_peak" in one:
            figures[f"moments/{at['n']}x{at['d']}/{at['threads']}/of_peak"] = one["of_peak"]

    methods = dict(runs_of("bench_methods"))
    failed = {name: one["error_message"] for name, one in methods.items() if one.get("error_occurred")}
    times = {}
    for name, one in methods.items():
        case, method, *_ = name.split("/")
        if name not in failed:
            times[case.partition(":")[0], method.replace(" automatic", "")] = one
    for case in ("pair", "hard"):
        ours = times.get((case, report.OURS))
        for method in (report.OURS, *CPP_METHODS):
            one = times.get((case, method))
            if one is None or ours is None:
                begins = f"{case}:{PAIR if case == 'pair' else HARD}/{method}"
                reasons = [why for name, why in failed.items() if name.startswith(begins)]
                installed = method.startswith(("Eigen", report.OURS)) or any(
                    method in name for name in methods
                )
                why = reasons[0] if reasons else "did not run" if installed else "not installed"
                left_out[f"{method} ({case})"] = why
                continue
            figures[f"{case}/{method}/seconds"] = one["best_seconds"]
            figures[f"{case}/{method}/ratio"] = one["best_seconds"] / ours["best_seconds"]
            if case == "hard":
                figures[f"{case}/{method}/error"] = one["residual_error"]

    # The Python peers' ratios are to ours in turns with them, on the same files.
    rows = {
        row["case"] + ": " + row["peer"]: row
        for row in peers.get("rows", [])
        if not row["program"].endswith("_blas")
    }
    spaced = {size: size.replace("x", " x ") for size in (PAIR, HARD, MODEL)}
    wanted = {}
    for peer in PYTHON_METHODS:
        wanted[f"pair/{peer}"] = f"both scores, {spaced[PAIR]}: {peer}"
        wanted[f"hard/{peer}"] = f"both scores, hard data, {spaced[HARD]}: {peer}"
    wanted[f"model/{PYTHON_METHODS[0]}"] = f"profile, 30 pairs, {spaced[MODEL]}: {PYTHON_METHODS[0]}"
    wanted |= {f"torch/{name}": f"{job}, 13 x 4096 x 768: PyTorch eager" for job, name in STATES.items()}
    for key, what in wanted.items():
        if what not in rows:
            reasons = [why for name, why in peers.get("failures", {}).items() if what.startswith(name)]
            left_out[what] = reasons[0] if reasons else "did not run"
            continue
        figures[f"{key}/seconds"] = rows[what]["peer_seconds"]
        figures[f"{key}/ratio"] = rows[what]["ratio"]
        if key.startswith("hard"):
            figures[f"{key}/error"] = rows[what]["peer_error"]
    if not peers:
        left_out = {what: why for what, why in left_out.items() if what not in wanted.values()}
        left_out["the Python peers"] = "did not run"
    return figures, left_out


# ------------------------------------------------------------------------------------------------ results


def read_kept():
    """All result files, the newest last."""
    kept = [report.read_json(path) for path in glob.glob(os.path.join(RESULTS, "*.json"))]
    if not kept:
        raise Refused("bench/results has no results: run bash bench/measure.sh")
    for one in kept:
        if not re.fullmatch("[0-9a-f]{40}", one.get("commit", "")):
            raise Refused(f"the results of {one.get('date')} name no commit")
    return sorted(kept, key=lambda one: one["date"])


def show(kept):
    print("\n# Targets\n\n" + targets(kept[-1]["figures"]))
    print("# Changes\n\n" + changes(kept))


def targets(figures):
    rows = []
    for what, least, names in TARGETS:
        matching = {name: number for name, number in figures.items() if re.fullmatch(names, name)}
        if not matching:
            rows.append((what, f"{least:.2f}", "", "**not measured**", ""))
            continue
        worst = min(matching, key=matching.get)
        share = matching[worst] / least - 1
        verdict = f"met, by {100 * share:.0f} %" if share >= 0 else f"**missed, by {-100 * share:.1f} %**"
        rows.append((what, f"{least:.2f}", f"{matching[worst]:.3g}", verdict, worst))
    return report.table(("target", "at least", "measured", "", "the smallest of"), rows)


def changes(kept):
    now = kept[-1]
    kind = ("processor", "cores")
    same = [one for one in kept[:-1] if all(one["machine"][key] == now["machine"][key] for key in kind)]
    if not same:
        return f"No earlier results on {now['machine']['cores']} cores of {now['machine']['processor']}.\n"
    before = same[-1]
    text = f"Since commit {before['commit'][:7]}, {before['date'][:10]}, on the same kind of machine.\n"
    for key in sorted(before["software"].keys() | now["software"].keys()):
        old, new = (one["software"].get(key, "none") for one in (before, now))
        text += f"{key}: {old}, now {new}.\n" if old != new else ""
    rows = []
    for name in sorted(before["figures"].keys() | now["figures"].keys()):
        if name.endswith("/error"):  # roundings, which may be 0
            continue
        old, new = (one["figures"].get(name) for one in (before, now))
        if old is None or new is None:
            rows.append((name, *("" if x is None else f"{x:.3g}" for x in (old, new)), ""))
        elif not 0.9 < new / old < 1.1:
            rows.append((name, f"{old:.3g}", f"{new:.3g}", f"{new / old:.2f}"))
    if not rows:
        return text + "No figure has changed by more than a tenth.\n"
    return text + "\n" + report.table(("by more than a tenth", "before", "now", "now / before"), rows)


# ------------------------------------------------------------------------------------------------- README


def paragraph(text):
    return textwrap.fill(text, 123, break_long_words=False, break_on_hyphens=False) + "\n"


def machine_block(result):
    machine, software = result["machine"], result["software"]
    compiler = software["compiler"].replace("GNU", "GCC")
    flags = " ".join(flag for flag in software["flags"].split() if flag.startswith(("-O", "-m")))
    text = (
        f"Measured on {result['date'][:10]} at commit {result['commit'][:7]} on {machine['cores']} cores of an "
        f"{machine['processor']} ({machine['mhz']} MHz; caches, and cores that share one: {machine['caches']}), "
        f"{compiler} `{flags}`, Eigen {software['Eigen']}"
    )
    if "OpenBLAS" in software:
        text += f", OpenBLAS {software['OpenBLAS']}, whose kernel there is {software['OpenBLAS kernel']}"
    text += "."
    if result["others"] > BUSY:
        text += f" **Other programs kept {result['others']:.1f} of them busy: a trial, not a measurement.**"
    reasons = {}
    for what, why in result["left_out"].items():
        reasons.setdefault(why, []).append(what)
    if reasons:
        text += (
            " Left out: " + ". ".join(f"{', '.join(whats)}: {why}" for why, whats in reasons.items()) + "."
        )
    return paragraph(text)


def cell(number, form):
    return "–" if number is None else format(number, form)


def profile_block(result):
    figures = result["figures"]
    sizes = dict.fromkeys(match[1] for name in figures if (match := re.match(r"profile/(\d+x\d+)/", name)))
    rows = []
    for size in sizes:
        rates = [cell(figures.get(f"profile/{size}/{t}/gflops"), ".1f") for t in (1, 2)]
        shares = [
            ", ".join(cell(figures.get(f"profile/{size}/{t}/{of}"), ".2f") for t in (1, 2))
            for of in ("of_eigen", "of_openblas")
        ]
        n, d = size.split("x")
        rows.append((f"n = {n}, d = {d}", *rates, *shares))
    text = report.table(
        (
            "`profile`, 4 layer pairs",
            "GFLOP/s, 1 thread",
            "2 threads",
            "of Eigen's product, 1 and 2 threads",
            "of OpenBLAS's",
        ),
        rows,
    )

    sentences = []
    peak = [figures[name] for t in (1, 2) if (name := f"moments/{PAIR}/{t}/of_peak") in figures]
    if peak:
        shares = " and ".join(f"{share:.2f}" for share in peak)
        sentences.append(
            f"The moments alone ({PAIR.replace('x', ' × ')}) run at {shares} of the rate of multiply-adds on "
            f"registers{', with 1 and 2 threads' if len(peak) == 2 else ''}."
        )
    columns = [figures[name] for t in (1, 2) if (name := f"column_major/{t}/of_row_major") in figures]
    if columns:
        shares = " and ".join(f"{share:.2f}" for share in columns)
        sentences.append(f"Column-major states are profiled at {shares} of the speed of row-major ones.")
    return text + ("\n" + paragraph(" ".join(sentences)) if sentences else "")


def times_ours(ratio):
    return f"{ratio:.1f}" if ratio < 20 else f"{ratio:.0f}"


def peers_block(result):
    figures, software = result["figures"], result["software"]
    rows = []
    for method in (report.OURS, *PYTHON_METHODS, *CPP_METHODS):
        cells = []
        for case in ("pair", "hard"):
            ratio = figures.get(f"{case}/{method}/ratio")
            cells.append("–" if ratio is None else times_ours(ratio))
            if method == report.OURS and ratio is not None:
                cells[-1] = f"1 ({report.in_ms(figures[f'{case}/{method}/seconds'])} ms)"
        error = figures.get(f"hard/{method}/error")
        if cells != ["–", "–"]:
            name = method
            if method == PYTHON_METHODS[0]:
                name = f"llm-microscope {software['llm-microscope']} (float32 SVD)"
            # Scores are doubles near 1: there is no smaller error to see.
            seen = "–" if error is None else f"{max(error, report.SMALLEST_ERROR):.0e}"
            rows.append((f"**{name}**" if method == report.OURS else name, *cells, seen))
    whole = figures.get(f"model/{PYTHON_METHODS[0]}/ratio")
    if whole is not None:
        name = f"llm-microscope on a whole model, 30 pairs of {MODEL.replace('x', ' × ')}"
        rows.append((name, times_ours(whole), "", ""))
    header = (
        "both scores of a pair, 2 threads: time in units of ours",
        PAIR.replace("x", " × "),
        f"hard data, {HARD.replace('x', ' × ')}",
        "error on it",
    )
    blas = software.get("BLAS of numpy and scipy")
    return report.table(header, rows) + (f"\n{paragraph(f'numpy and scipy bring {blas}.')}" if blas else "")


def torch_block(result):
    figures = result["figures"]
    known = {name: figures[key] for name in STATES.values() if (key := f"torch/{name}/ratio") in figures}
    if not known:
        return ""
    header = ("13 × 4096 × 768 float32, 2 threads: time in units of ours", *known)
    row = (
        f"PyTorch {result['software'].get('torch', '')} eager",
        *(times_ours(ratio) for ratio in known.values()),
    )
    return report.table(header, [row])


BLOCKS = {"machine": machine_block, "profile": profile_block, "peers": peers_block, "torch": torch_block}


def rewritten(readme, result):
    """bench/README.md with each block between its markers made anew."""
    for name, block in BLOCKS.items():
        begin, end = (f"<!-- speed: {side} {name} -->\n" for side in ("begin", "end"))
        if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
            raise Refused(f"bench/README.md needs one {begin.strip()} and, after it, one {end.strip()}")
        before, _, rest = readme.partition(begin)
        after = rest.partition(end)[2]
        readme = f"{before}{begin}\n{block(result)}\n{end}{after}"
    return readme


def read_readme():
    with open(README, encoding="utf-8") as file:
        return file.read()


def write(kept):
    text = rewritten(read_readme(), kept[-1])
    with open(README, "w", encoding="utf-8") as file:
        file.write(text)
    report.say("wrote the tables in bench/README.md")


def check(kept):
    readme = read_readme()
    expected = rewritten(readme, kept[-1])
    if readme != expected:
        lines = difflib.unified_diff(
            readme.splitlines(), expected.splitlines(), "bench/README.md", "as measured", n=0, lineterm=""
        )
        raise Refused("bench/README.md has other figures than bench/results: `write` it anew\n" + "\n".join(lines))
    report.say(f"bench/README.md has the figures of commit {kept[-1]['commit'][:7]}, {kept[-1]['date'][:10]}")
    try:
        if git("rev-parse", "HEAD:include") != kept[-1]["include"]:
            report.say("the headers have changed since")
    except (Refused, OSError):
        pass  # not a checkout


# --------------------------------------------------------------------------------------------------- main


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "keep", "write", "show", "check"))
    parser.add_argument("build", nargs="?", help="the build folder, for run and keep")
    options = parser.parse_args()
    if (options.build is not None) != (options.command in ("run", "keep")):
        parser.error("run and keep take a build folder, the others none")
    try:
        if options.command == "run":
            run(options.build)
        elif options.command == "keep":
            keep(options.build)
            write(read_kept())
            show(read_kept())
        else:
            {"write": write, "show": show, "check": check}[options.command](read_kept())
    except (Refused, OSError, ValueError, KeyError) as failure:
        sys.exit(f"speed.py: error: {failure}")


if __name__ == "__main__":
    main()
