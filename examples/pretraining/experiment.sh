#!/usr/bin/env bash
# The whole experiment: three seeds of every regularizer, fine-tuning, replacement of layers, and the report. About
# two hours on two cores.
#
#   bash examples/pretraining/experiment.sh [DIR]      (default: pretraining-results)
#
#   PRETRAIN=<program>         default: build/examples/pretraining/pretrain
#   SEEDS="1 2 3"  STEPS=...  FINE_TUNING_STEPS=...
#   JOBS=...                   runs at a time, of one thread each; default: one for each core
#
# It may be stopped at any time and started again: a run that has finished is not repeated, one that has not starts
# over. The report is of whatever has finished: `pretrain report DIR` makes it at any time.
#
# Two runs at a time are 1.2 times as fast as two threads for each. With one thread a run is the same to the bit
# wherever the same libtorch runs on the same kind of processor.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../../cmake/prerequisites.sh"
out=${1:-pretraining-results}
pretrain=${PRETRAIN:-$here/../../build/examples/pretraining/pretrain}
read -ra seeds <<<"${SEEDS:-1 2 3}"
steps=${STEPS:-5600} fine_tuning_steps=${FINE_TUNING_STEPS:-1400} jobs=${JOBS:-$(parallel_jobs)}
export OMP_NUM_THREADS=1

if [ ! -x "$pretrain" ]; then
  echo "experiment.sh: $pretrain is not there: build it first, with libtorch installed" >&2
  exit 1
fi
mkdir -p "$out"
if [ ! -f "$out/texts/complete" ]; then
  bash "$here/get_text.sh" "$out/texts"
  touch "$out/texts/complete"
fi
novels=(--train "$out/texts/novels.txt" --held-out "$out/texts/novels-held-out.txt")
source_code=(--train "$out/texts/source.txt" --held-out "$out/texts/source-held-out.txt")

# run <folder> <result> <command and options...>: a line of arguments for pretrain, unless the result is there.
run() {
  local folder=$out/$1 result=$2 line
  shift 2
  [ ! -f "$folder/$result" ] || return 0
  printf -v line '%q ' "$@" --threads 1 --out "$folder"
  echo "${line% }"
}

# Carries the lines out, some at a time. Fails if one of them does.
all_of_them() { xargs -r -P "$jobs" -L 1 "$pretrain"; }

# Lambda and alpha of jreg were chosen from short runs: large enough to be felt, small enough to leave the loss alone.
# The mean over L layers of half of 1 - cos makes jreg with alpha 0 and lambda 2 L mu the cosine regularizer with mu.
penalties=(
  "none"
  "cosine-0.5 --regularizer cosine --lambda 0.5"
  "mse-0.5 --regularizer mse --lambda 0.5"
  "jreg-1-0 --regularizer jreg --lambda 1 --alpha 0"
  "jreg-1-1 --regularizer jreg --lambda 1 --alpha 1"
  "jreg-4-0 --regularizer jreg --lambda 4 --alpha 0"
  "jreg-4-1 --regularizer jreg --lambda 4 --alpha 1"
  "jreg-4-inf --regularizer jreg --lambda 4 --alpha inf"
)
for seed in "${seeds[@]}"; do
  for penalty in "${penalties[@]}"; do
    read -ra words <<<"$penalty"
    run "${words[0]}-$seed" run.jsonl train "${novels[@]}" --steps "$steps" --seed "$seed" "${words[@]:1}"
  done
done | all_of_them
for seed in "${seeds[@]}"; do
  model=$out/none-$seed/model.pt
  run "fine-tuned-$seed" run.jsonl train "${source_code[@]}" --from "$model" --purpose fine-tuning \
    --steps "$fine_tuning_steps" --learning-rate 1e-3 --seed "$seed"
  run "replaced-$seed" replacement.json replace "${novels[@]}" --from "$model" --seed "$seed"
done | all_of_them
for seed in "${seeds[@]}"; do
  run "fine-tuned-$seed-on-novels" run.jsonl train "${novels[@]}" --from "$out/fine-tuned-$seed/model.pt" \
    --purpose "after fine-tuning" --steps 0 --seed "$seed"
done | all_of_them
"$pretrain" report "$out"
echo "$out/report.md"
