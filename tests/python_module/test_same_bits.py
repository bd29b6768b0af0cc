"""The module gives the bits of a C++ program that is compiled with the same flags."""

import os
import pathlib
import shutil
import subprocess

import layerwise
import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LAYERS, TOKENS, DIMENSIONS = 4, 700, 37


def eigen():
    """Where the compiler finds Eigen: LAYERWISE_EIGEN, or the usual place."""
    folders = [os.environ.get("LAYERWISE_EIGEN"), "/usr/include/eigen3", "/usr/local/include/eigen3"]
    return next((folder for folder in folders if folder and pathlib.Path(folder, "Eigen", "Core").exists()), None)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    flags, compiler = layerwise.build["flags"].split(), os.environ.get("CXX") or layerwise.build["compiler"]
    if shutil.which(compiler) is None or eigen() is None:
        pytest.skip("no compiler, or no Eigen, is here")

    def build(*others):
        path = tmp_path_factory.mktemp("same_bits") / "same_bits"
        command = [compiler, *flags, *others, "-isystem", eigen(), "-I", REPOSITORY / "include", HERE / "same_bits.cpp"]
        subprocess.run([*command, "-o", path], check=True)
        return path

    return build("-w")


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(5)
    layers = [rng.standard_normal((TOKENS, DIMENSIONS)) * np.linspace(0.1, 3, DIMENSIONS) + 1]
    for _ in range(LAYERS - 1):
        layers.append(layers[-1] + 0.4 * np.tanh(layers[-1] @ rng.standard_normal((DIMENSIONS, DIMENSIONS))))
    return np.stack(layers).astype(np.float32)


def numbers(prefix, row):
    return {f"{prefix}.{name}": value for name, value in row.items() if not isinstance(value, (str, np.ndarray, dict))}


def module_lines(h):
    """In the order of same_bits.cpp."""
    lines = []

    def add(values):
        lines.extend(f"{name} {float(value).hex()}" for name, value in values.items() if value is not None)

    profiler = layerwise.Profiler()
    profiler.add(h)
    for prefix, profile in (("profile", layerwise.profile(h)), ("profiler", profiler.profile())):
        for row in profile.rows():
            del row["layer"]
            add(numbers(prefix, row))
    for name in ("cka", "cca"):
        add(numbers(name, getattr(layerwise, name)(h[0], h[1]).to_dict()))
    add(numbers("spectrum", layerwise.spectrum(h[1]).to_dict()))
    add(numbers("procrustes", layerwise.procrustes(h[0], h[1]).to_dict()))
    add({"curvature": layerwise.curvature(h[0]), "mutual_knn": layerwise.mutual_knn(h[0], h[1])})
    add({"path_efficiency": layerwise.path_efficiency(h), "jreg": layerwise.jreg_regularizer(0.3, 0.7).value(h)})
    add({"gradient": layerwise.linearity_and_gradient(h[0], h[1])[1][1, 2]})
    return lines


def cpp_lines(program, states, folder):
    path = folder / "states"
    states.tofile(path)
    sizes = [str(size) for size in states.shape]
    text = subprocess.run([program, path, *sizes], check=True, capture_output=True, text=True).stdout
    return [f"{name} {float.fromhex(value).hex()}" for name, value in (line.split() for line in text.splitlines())]


def test_the_same_bits(program, states, tmp_path):
    expected = cpp_lines(program, states, tmp_path)
    assert len(expected) > 150
    assert module_lines(states) == expected


def test_the_comparison_sees_the_last_bit(program, states, tmp_path):
    changed = states.copy()
    changed[1, 600, 30] = np.nextafter(changed[1, 600, 30], np.float32(9))
    assert cpp_lines(program, changed, tmp_path) != module_lines(states)
