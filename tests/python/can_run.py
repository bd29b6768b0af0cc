"""Exits with 0 where this interpreter has what examples/python/requirements.txt asks for."""

import importlib.metadata
import os
import sys

REQUIREMENTS = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "requirements.txt")


def satisfied(line):
    import packaging.requirements  # comes with transformers

    requirement = packaging.requirements.Requirement(line)
    return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)


try:
    with open(REQUIREMENTS, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith("#")]
    sys.exit(0 if sys.version_info >= (3, 10) and all(map(satisfied, lines)) else 1)
except ImportError:  # PackageNotFoundError is one
    sys.exit(1)
