"""Which method, and which lambda, before paying for a GPU: a toy policy under the library's own mixer.

python examples/simulate.py            # seconds on one core; writes three figures
"""

from mtgrpo.reports.simulation import comparison_figure, curves_figure, tradeoff_figure
from mtgrpo.simulation import World, simulate, sweep


def main() -> None:
    world = World.three_tasks()

    runs = [
        simulate(world, name, steps=360, batch_size=32, group_size=16)
        for name in ("grpo", "dapo", "mt_grpo")
    ]
    for run in runs:
        end = run.summary()
        print(
            f"{run.method:8} worst {end['worst_accuracy']:.3f}  mean {end['mean_accuracy']:.3f}  "
            f"{end['rollouts']:>9,} rollouts  worst task at 20 % after {run.steps_to(0.2)} steps"
        )

    lams = [0.05, 0.2, 0.8, 3.2]
    table = sweep(world, "mt_grpo", "lam", lams, seeds=range(3), steps=360, variant="released")
    for row in table.rows():
        worst, mean = row["worst_accuracy"], row["mean_accuracy"]
        print(f"lam {row['lam']:<5} worst {worst:.3f}  mean {mean:.3f}")

    curves_figure(runs[-1]).savefig("simulate_mt_grpo.png", dpi=150)
    comparison_figure(runs).savefig("simulate_methods.png", dpi=150)
    tradeoff_figure(table).savefig("simulate_lam.png", dpi=150)


if __name__ == "__main__":
    main()
