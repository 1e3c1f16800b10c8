#!/usr/bin/env bash
# One node:        examples/verl/run.sh three_tasks      (or nine_tasks, balanced)
# Changes:         examples/verl/run.sh nine_tasks +data.mtgrpo.weighting.lam=1.2 trainer.n_gpus_per_node=4
# Several nodes:   examples/verl/run_nodes.sh balanced_nodes, on every node
# A second call continues from the last checkpoint. DATA is the folder for data, CHECKPOINTS the one for checkpoints.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=${1:?usage: run.sh NAME [key=value ...], NAME.yaml beside this script}
shift
data=${DATA:-$PWD/data}/$name
checkpoints=${CHECKPOINTS:-$PWD/checkpoints}/$name

if [ ! -f "$data/tasks.json" ] || [ ! -f "$data/test.parquet" ]; then
    python "$here/prepare_data.py" "$here/$name.yaml" "$data"
fi
mkdir -p "$checkpoints"
# One file per start: verl empties an existing one.
export VERL_FILE_LOGGER_PATH=${VERL_FILE_LOGGER_PATH:-$checkpoints/metrics-$(date +%Y%m%d-%H%M%S).jsonl}
exec python -m verl.trainer.main_ppo --config-path "$here" --config-name "$name" \
    data.folder="$data" trainer.default_local_dir="$checkpoints" "$@"
