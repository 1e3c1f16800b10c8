#!/usr/bin/env bash
# The same command on every node, for example: srun --nodes 4 --ntasks-per-node 1 examples/verl/run_nodes.sh nine_tasks
# TRAIN_NODES (all of them by default) is for balanced_separate, whose other nodes roll out.
# HEAD (host name or address of the first node), NODES and RANK are taken from SLURM when they are not set.
# DATA and CHECKPOINTS (see run.sh) must be folders that all nodes see.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
nodes=${NODES:-${SLURM_NNODES:?set NODES, the number of nodes}}
rank=${RANK:-${SLURM_NODEID:?set RANK, the number of this node from 0 on}}
head=${HEAD:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
port=${PORT:-6379}
gpus=${GPUS_PER_NODE:-8}

if [ "$rank" -ne 0 ]; then
    until ray start --address "$head:$port" --num-gpus "$gpus" --block; do
        sleep 5 # the head node is not up yet; --block returns 0 when the cluster is stopped
    done
    exit 0
fi

ray start --head --port "$port" --num-gpus "$gpus"
trap 'ray stop' EXIT
until [ "$(python -c 'import ray; ray.init(address="auto", logging_level="ERROR"); print(len([n for n in ray.nodes() if n["Alive"]]))')" -ge "$nodes" ]; do
    sleep 5
done
# Without exec, so that the trap stops the cluster, and with it the other nodes.
RAY_ADDRESS="$head:$port" "$here/run.sh" "$@" trainer.nnodes="${TRAIN_NODES:-$nodes}" trainer.n_gpus_per_node="$gpus"
