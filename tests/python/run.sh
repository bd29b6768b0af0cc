#!/usr/bin/env bash
# Tests of examples/python, on tiny models with random weights, and of layerwise-profile, where it is built, on files
# that numpy, ml_dtypes, safetensors and torch write.
#
#   bash tests/python/run.sh [arguments of python -m unittest discover...]
#
# The packages they need go to a virtual environment, build/python-venv. LAYERWISE_PYTHON names an interpreter
# that has them already, for example with the small torch of examples/python/README.md; LAYERWISE_PROFILE the program,
# by default build/examples/layerwise_profile/layerwise-profile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=${LAYERWISE_PYTHON:-build/python-venv/bin/python}
if [ -z "${LAYERWISE_PYTHON:-}" ] && ! { [ -x "$python" ] && "$python" tests/python/can_run.py; }; then
  python3 -m venv build/python-venv
  "$python" -m pip install --disable-pip-version-check --quiet -r examples/python/requirements.txt safetensors ml_dtypes
fi

export OMP_NUM_THREADS=1  # more would only be in each other's way on such small models
exec "$python" -m unittest discover -s tests/python "$@"
