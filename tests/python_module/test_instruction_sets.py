"""Which core is imported."""

import json
import os
import subprocess
import sys

import layerwise
import pytest
from layerwise import _cpu

CODE = """
import json, sys, layerwise, numpy
rng = numpy.random.default_rng(3)
h = [rng.standard_normal((800, 20)) for _ in range(3)]
cores = [name for name in sys.modules if name.startswith("layerwise._core_")]
print(json.dumps([layerwise.instruction_set, cores, layerwise.profile(h).to_dict()]))
"""


def run(instruction_set):
    environment = {**os.environ, "LAYERWISE_INSTRUCTION_SET": instruction_set}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    return done.stderr if done.returncode else json.loads(done.stdout)


def test_the_best_one_is_taken():
    if not os.environ.get("LAYERWISE_INSTRUCTION_SET"):
        built = [name for name in _cpu.supported() if not isinstance(run(name), str)]
        assert layerwise.instruction_set == built[0]


@pytest.mark.parametrize("name", _cpu.supported())
def test_each_can_be_forced_and_agrees(name):
    result = run(name)
    assert not isinstance(result, str), result
    chosen, cores, profile = result
    assert chosen == name and len(cores) == 1
    best = run(_cpu.supported()[0])[2]
    for mine, theirs in zip(profile["layers"], best["layers"]):
        assert mine["linearity"]["score"] == pytest.approx(theirs["linearity"]["score"], abs=1e-13)
        assert mine["displacement"] == pytest.approx(theirs["displacement"], rel=1e-13)


@pytest.mark.parametrize("name", ["x86-64-v9", "sse", "../x"])
def test_what_the_processor_lacks_is_refused(name):
    error = run(name)
    assert isinstance(error, str) and f"LAYERWISE_INSTRUCTION_SET is {name!r}; this processor has " in error


def test_stubs_are_there():
    import pathlib

    folder = pathlib.Path(layerwise.__file__).parent
    assert (folder / "py.typed").exists()
    stub = (folder / "_core.pyi").read_text()
    for name in layerwise.__all__:
        if callable(getattr(layerwise, name)):
            assert f"def {name}(" in stub or f"class {name}" in stub, name
