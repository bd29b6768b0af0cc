"""Profiler: batches, merging, threads, copies; nothing of a batch that raises is added."""

import copy
import pickle
import subprocess
import sys
import threading

import layerwise
import numpy as np
import pytest


def profiled(*batches, **options):
    profiler = layerwise.Profiler(**options)
    for batch in batches:
        profiler.add(batch)
    return profiler


def tokens_of(stack, first, last):
    return [layer.reshape(-1, 12)[first:last] for layer in stack]


def test_batches_do_not_matter_to_the_last_bit(stack):
    once = profiled(stack)
    parts = profiled(tokens_of(stack, 0, 7), tokens_of(stack, 7, 100), tokens_of(stack, 100, 120))
    assert once.tokens == parts.tokens == 120
    assert once.profile().to_dict() == parts.profile().to_dict()


def test_it_agrees_with_profile(stack):
    for mine, theirs in zip(profiled(stack).profile().layers, layerwise.profile(stack).layers):
        assert mine.linearity.score == pytest.approx(theirs.linearity.score, abs=1e-12)
        assert mine.displacement == theirs.displacement


def test_merge(stack):
    merged = profiled(tokens_of(stack, 0, 50))
    merged.merge(profiled(tokens_of(stack, 50, 120)))
    whole = profiled(stack).profile()
    for mine, theirs in zip(merged.profile().layers, whole.layers):
        assert mine.linearity.score == pytest.approx(theirs.linearity.score, abs=1e-12)
        assert mine.displacement == pytest.approx(theirs.displacement, rel=1e-14)
    merged.merge(merged)
    assert merged.tokens == 240
    with pytest.raises(layerwise.OptionError):
        merged.merge(layerwise.Profiler(linearity=False))
    with pytest.raises(layerwise.ShapeError):
        merged.merge(profiled(stack[:3]))
    with pytest.raises(TypeError):
        merged.merge(stack)


def test_nothing_of_a_batch_that_raises_is_added(stack):
    profiler = profiled(stack)
    before = profiler.profile().to_dict()
    broken = [layer.copy() for layer in stack]
    broken[4][2, 39, 11] = np.inf  # the very last element
    with pytest.raises(layerwise.NonFiniteError):
        profiler.add(broken)
    gap = [np.repeat(layer, 2, axis=1)[:, ::2] for layer in broken]  # whose sequences have no common stride
    with pytest.raises(layerwise.NonFiniteError):
        profiler.add(gap)
    with pytest.raises(TypeError):
        profiler.add([*stack[:4], None])
    with pytest.raises(layerwise.ShapeError):
        profiler.add(stack[:4])
    assert profiler.tokens == 120 and profiler.profile().to_dict() == before
    fresh = layerwise.Profiler()
    with pytest.raises(layerwise.NonFiniteError):
        fresh.add(broken)
    fresh.add(stack[:3])  # what raised has set no sizes
    assert fresh.tokens == 120


def test_without_tokens_there_is_no_profile():
    with pytest.raises(layerwise.DegenerateInputError):
        layerwise.Profiler().profile()


def test_options(stack):
    profile = profiled(stack, centering="none", final_norm="after", linearity=True).profile()
    assert (profile.centering, profile.final_norm) == ("none", "after")
    with pytest.raises(layerwise.OptionError):
        layerwise.Profiler(method="orthogonal")
    with pytest.raises(layerwise.OptionError):
        layerwise.Profiler(tolerance=float("nan"))
    assert profiled(stack, linearity=False).profile().layers[0].linearity is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_go_their_own_way(stack, duplicate):
    first = profiled(tokens_of(stack, 0, 50))
    second = duplicate(first)
    assert second.profile().to_dict() == first.profile().to_dict()
    second.add(tokens_of(stack, 50, 120))
    assert (first.tokens, second.tokens) == (50, 120)
    assert second.profile().to_dict() == profiled(stack).profile().to_dict()


def test_one_profiler_from_four_threads(rng):
    """Rows of equal batches come in any order: sums of them are the same to the bit."""
    states = [rng.standard_normal((512, 16)).astype(np.float32) for _ in range(3)]
    profiler = layerwise.Profiler()

    def feed():
        for _ in range(8):
            profiler.add(states)

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    serial = profiled(*[states] * 32)
    assert profiler.tokens == 32 * 512
    assert profiler.profile().to_dict() == serial.profile().to_dict()


def test_different_batches_from_four_threads(rng):
    """In an order that nobody knows: the same but for rounding."""
    batches = [[rng.standard_normal((100, 8)) for _ in range(3)] for _ in range(12)]
    profiler = layerwise.Profiler()
    threads = [
        threading.Thread(target=lambda mine: [profiler.add(batch) for batch in mine], args=(batches[i::4],))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert profiler.tokens % 100 == 0
    serial = profiled(*batches).profile()
    for mine, theirs in zip(profiler.profile().layers, serial.layers):
        assert mine.linearity.score == pytest.approx(theirs.linearity.score, abs=1e-12)


def test_profilers_that_merge_each_other_do_not_wait_for_each_other(stack):
    one, two = profiled(stack), profiled(stack)
    threads = [
        threading.Thread(target=lambda a, b: [a.merge(b) for _ in range(5)], args=pair) for pair in ((one, two), (two, one))
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_the_gil_is_released(rng):
    """Another thread of Python runs while this one computes."""
    states = [rng.standard_normal((3000, 384)) for _ in range(3)]
    counted, done = [], threading.Event()

    def count():
        while not done.is_set():
            counted.append(1)
            done.wait(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = len(counted)
    layerwise.profile(states)
    during = len(counted) - before
    done.set()
    thread.join()
    assert during > 5


ROUND_TRIPS = {
    "bytes": lambda profiler, _: layerwise.Profiler.from_bytes(profiler.to_bytes()),
    "pickle": lambda profiler, _: pickle.loads(pickle.dumps(profiler)),
    "a file": lambda profiler, folder: saved_and_loaded(profiler, folder / "sums"),
    "a file by name": lambda profiler, folder: saved_and_loaded(profiler, str(folder / "sums")),
}


def saved_and_loaded(profiler, path):
    profiler.save(path)
    return layerwise.Profiler.load(path)


@pytest.mark.parametrize("how", ROUND_TRIPS)
def test_a_profiler_comes_back_and_goes_on_to_the_last_bit(rng, tmp_path, how):
    states = [rng.standard_normal((1500, 9)) for _ in range(4)]
    first = profiled([layer[:600] for layer in states], final_norm="after")
    second = ROUND_TRIPS[how](first, tmp_path)
    assert second.tokens == 600 and second.profile().final_norm == "after"
    assert second.profile().to_dict() == first.profile().to_dict()
    for profiler in (first, second):
        profiler.add([layer[600:] for layer in states])
    assert second.profile().to_dict() == first.profile().to_dict() == profiled(states, final_norm="after").profile().to_dict()


def test_another_process_goes_on(stack, tmp_path):
    profiled(tokens_of(stack, 0, 50)).save(tmp_path / "sums")
    code = "import layerwise, pickle, sys; p = layerwise.Profiler.load(sys.argv[1]); sys.stdout.buffer.write(pickle.dumps(p))"
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "sums"], check=True, capture_output=True)
    there = pickle.loads(run.stdout)
    there.add(tokens_of(stack, 50, 120))
    assert there.profile().to_dict() == profiled(stack).profile().to_dict()


def test_other_bytes_are_refused(stack, tmp_path):
    whole = profiled(stack).to_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    for some in (b"", b"abc" * 20, whole[:-1], whole + b"0", bytes(broken)):
        with pytest.raises(layerwise.UnsupportedError, match="profiler_from_bytes"):
            layerwise.Profiler.from_bytes(some)
        (tmp_path / "sums").write_bytes(some)
        with pytest.raises(layerwise.UnsupportedError):
            layerwise.Profiler.load(tmp_path / "sums")
    with pytest.raises(FileNotFoundError):
        layerwise.Profiler.load(tmp_path / "nothing")
