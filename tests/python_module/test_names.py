"""The public functions and results of the headers have their namesakes here."""

import pathlib
import re

import layerwise
import pytest

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "include" / "layerwise"

# What is not bound, and why.
EXCLUDED = {
    "for_each_field": "of a template's type; to_dict() and rows() are made by it",
    "visit_values": "the same",
    "field_list": "the same",
    "field": "of a template's type, a list of whose is there",
    "no_fields": "what a type without fields has",
    "make_view": "what arrays are read as",
    "make_layers": "of hidden_states_view",
    "to_bytes": "Profiler.to_bytes",
    "profiler_from_bytes": "Profiler.from_bytes",
}
EXCLUDED_TYPES = {
    "layer_moments": "accumulators of single metrics; Profiler is the accumulator of Python",
    "cross_moments": "the same",
    "stack_moments": "the same",
    "scatter": "what accumulators say",
    "scatter_rounding": "the same",
    "energy_sums": "the same",
    "layer_pair": "options of stack_moments",
    "layer_pairs": "the same",
    "stack_batch": "a list of layers will do",
    "token_mask": "attention_mask=",
    "padding_side": "the same",
    "place": "members of layerwise.Error",
    "embedding_traits": "what arrays are read by",
    "strided_view": "the same",
    "hidden_states_view": "an array of three or four dimensions",
    "normalized_rows": "rms_normalized() and others give arrays",
    "field": "to_dict() and rows() are made of fields",
    "no_fields": "the same",
    "linearity_options": "keyword arguments",
    "profile_options": "the same",
    "spectrum_options": "the same",
    "norm_growth_options": "the same",
    "pairwise_cosines_options": "the same",
    "massive_activations_options": "the same",
    "intrinsic_dimension_options": "the same",
    "layer_range": "layers=(first, last)",
}
EXCLUDED_TYPES.update({
    name: "a word"
    for name in (
        "centering", "epsilon_position", "final_norm", "reduction", "scalar_type", "second_moments", "solver",
        "stop_gradient", "twonn_fit",
    )
})
EXCEPTIONS = {"error": "Error"}
OTHER_NAMES = {"layer_profiler": "Profiler"}


def public_text(header):
    """Without comments, what is in detail namespaces, and all that is deeper than the namespace."""
    text = re.sub(r"//.*", "", header.read_text())
    text = re.sub(r"\n#.*", "", text)
    out, open_braces = [], []  # of each brace: whether what is inside is public
    for piece in re.split(r"([{};])", text):
        if piece == "{":
            head = out.pop() if out else ""
            is_namespace = re.search(r"\bnamespace\b", head) is not None
            open_braces.append(is_namespace and "detail" not in head and all(open_braces))
            out += [] if is_namespace else [head, ";"]
        elif piece == "}":
            open_braces.pop()
        elif all(open_braces):
            out.append(piece)
    return "".join(out)


def headers():
    folders = ("core", "data", "statistics", "solve", "metrics", "training", "profile")
    return [header for folder in folders for header in sorted((INCLUDE / folder).glob("*.hpp"))]


def declared_functions():
    names = set()
    for header in headers():
        for statement in public_text(header).split(";"):
            statement = re.sub(r"template\s*<.*?>\s*(?=[a-zA-Z])", "", statement, count=1, flags=re.S)
            found = re.search(r"(?:^|[\s>&*])([a-z_0-9]+)\s*\((?!.*\boperator\b)", statement, flags=re.S)
            is_type = re.search(r"\b(struct|class|enum|concept|using)\b", statement.split("(")[0])
            if found and not is_type and "::" not in statement.split("(")[0].split()[-1] and found[1] != "requires":
                names.add(found[1])
    return names


def declared_types():
    names = set()
    for header in headers():
        for statement in public_text(header).split(";"):
            names.update(re.findall(r"(?:struct|class)\s+([a-z_0-9]+)\s*(?=$|:|<|\n|final)", statement))
    return names


def python_name(name):
    return OTHER_NAMES.get(name) or EXCEPTIONS.get(name) or "".join(part.title() for part in name.split("_"))


def test_the_lists_are_of_what_there_is():
    functions, types = declared_functions(), declared_types()
    assert {"linearity", "displacement", "cka_matrix", "profile", "slerp", "penalty", "fit_linear_map"} <= functions
    assert {"linearity_result", "jreg_regularizer", "layer_profiler", "shape_error", "layer_metrics"} <= types
    assert EXCLUDED.keys() <= functions, "excluded, but not there"
    assert EXCLUDED_TYPES.keys() <= types, "excluded, but not there"


@pytest.mark.parametrize("name", sorted(declared_functions() - EXCLUDED.keys()))
def test_a_function_of_the_headers_is_here(name):
    assert callable(getattr(layerwise, name))
    assert name in layerwise.__all__


@pytest.mark.parametrize("name", sorted(declared_types() - EXCLUDED_TYPES.keys()))
def test_a_type_of_the_headers_is_here(name):
    assert hasattr(layerwise, name) or isinstance(getattr(layerwise, python_name(name)), type)


def members_of(struct):
    """The names of the fields of a result, as its header lists them."""
    for header in headers():
        found = re.search(rf"fields<{struct}> =\s*field_list\((.*?)\);", header.read_text(), flags=re.S)
        if found:
            return re.findall(r'field\{"([a-z_]+)"', found[1])
    raise LookupError(struct)


def results():
    text = "".join(header.read_text() for header in headers())
    return sorted(set(re.findall(r"fields<([a-z_]+)> =", text)))


@pytest.mark.parametrize("struct", results())
def test_a_result_has_the_members_of_its_list(struct):
    kind = getattr(layerwise, python_name(struct))
    for member in members_of(struct):
        assert hasattr(kind, "lambda_" if member == "lambda" else member)
    assert kind.__doc__ and kind.__module__ == "layerwise"


def test_everything_has_a_line_of_documentation():
    for name in layerwise.__all__:
        value = getattr(layerwise, name)
        if callable(value):
            assert value.__doc__, name


def test_the_version_is_that_of_the_headers():
    text = (INCLUDE / "core" / "version.hpp").read_text()
    parts = [re.search(rf"LAYERWISE_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    assert layerwise.__version__ == ".".join(parts)
