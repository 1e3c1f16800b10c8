"""The command line. Each command parses, calls one public function, prints."""

from __future__ import annotations

import argparse
import errno
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtgrpo import __version__
from mtgrpo.errors import MtgrpoError, RewardError, ShortfallError, require

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 (a run failed), 2 (bad input), 130 (interrupted)."""
    arguments = _parser().parse_args(argv)
    # Deprecations inside the engines are news for us, not for whoever types a command.
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(transformers|trl|torch|accelerate)\."
    )
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except (RewardError, ShortfallError) as error:
        return _refuse(error, EXIT_FAILED)
    except MtgrpoError as error:
        return _refuse(error, EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `mtgrpo ... | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # from inside an engine; anything else of its kind may be a bug and keeps its traceback
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        problem = f"{where}{error.strerror}; check that the place is yours and has free space"
        print("error:", problem, file=sys.stderr)
        return EXIT_BAD_INPUT


def _refuse(error: MtgrpoError, code: int) -> int:
    # On one line, though a quoted error (of a user's reward, say) may have several.
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mtgrpo", description="Multi-task GRPO post-training that leaves no task behind."
    )
    parser.add_argument("--version", action="version", version=f"mtgrpo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train", help="train a model on several tasks", description="Train a model."
    )
    _config_arguments(train)
    train.add_argument("--dry-run", action="store_true", help="print the resolved plan and stop")
    train.add_argument(
        "--resume", action="store_true", help="continue the run in the output directory"
    )
    train.set_defaults(run=_train)

    evaluate = commands.add_parser(
        "eval", help="measure test accuracy per task", description="Evaluate a model."
    )
    _config_arguments(evaluate)
    evaluate.add_argument(
        "--model", help="directory or hub name to evaluate instead of the configuration's"
    )
    evaluate.add_argument("--json", metavar="FILE", help="also write the result here")
    evaluate.set_defaults(run=_eval)

    report = commands.add_parser(
        "report", help="write the HTML report of a run, compare several, or show a study"
    )
    report.add_argument(
        "runs", nargs="+", metavar="RUN", help="run directory; several are compared; a study's JSON"
    )
    report.add_argument("--out", help="HTML file to write; of a study, the folder")
    report.set_defaults(run=_report)

    tasks = commands.add_parser("tasks", help="list, show and check tasks")
    actions = tasks.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser(
        "list", help="tasks of a configuration; without one, every kind there is"
    )
    listed.add_argument("config", nargs="?", help="configuration file or shipped name")
    shown = actions.add_parser("show", help="print prompts with their oracle answers")
    checked = actions.add_parser("check", help="check rows, splits and rewards before a run does")
    for action in (shown, checked):
        action.add_argument("config", help="configuration file or shipped name")
        action.add_argument("--task", help="only this task")
        action.add_argument(
            "--num", type=int, default=3 if action is shown else 20, help="rows per task"
        )
    for action in (listed, shown, checked):
        action.add_argument(
            "--set", action="append", default=[], metavar="A.B=C", help="change a key"
        )
        action.set_defaults(run=_tasks)

    simulate = commands.add_parser("simulate", help="run a method on a toy policy, in seconds")
    simulate.add_argument(
        "world", nargs="?", default="three_tasks", help="three_tasks, nine_tasks or a world's YAML"
    )
    simulate.add_argument("--fit", metavar="RUN", help="fit the world to a finished run instead")
    floor = (
        "accuracy of a guess, for --fit; repeatable (default: what the run's own tasks say, or 0)"
    )
    simulate.add_argument(
        "--floor", action="append", default=[], metavar="TASK=ACCURACY", help=floor
    )
    simulate.add_argument("--preset", action="append", help="method; repeatable (default mt_grpo)")
    simulate.add_argument("--variant", default="default")
    simulate.add_argument("--steps", type=int, default=720)
    simulate.add_argument(
        "--batch-size", type=int, help="groups per step (default 32, or the fitted run's)"
    )
    simulate.add_argument(
        "--group-size", type=int, help="completions per group (default 8, or the fitted run's)"
    )
    simulate.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1")
    simulate.add_argument(
        "--sweep", metavar="NAME=A,B,C", help="vary an argument of the weighting, such as lam"
    )
    simulate.add_argument(
        "--figure", metavar="FILE", help="write the curves or the trade-off here (PNG, SVG or PDF)"
    )
    simulate.set_defaults(run=_simulate)

    study = commands.add_parser("study", help="many methods x seeds of one experiment, resumable")
    study.add_argument(
        "experiment", help="experiment file or shipped name (three_tasks, nine_tasks)"
    )
    study.add_argument("--output", help="directory of the runs (default runs/<experiment>)")
    study.add_argument("--methods", help="only these, separated by commas")
    study.add_argument("--seeds", help="instead of the experiment's, separated by commas")
    study.add_argument("--jobs", type=int, default=2, help="processes at a time, one thread each")
    study.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a key of `base`"
    )
    study.add_argument(
        "--results", metavar="FILE", help="write all results as JSON here, besides the runs"
    )
    study.add_argument(
        "--no-train", action="store_true", help="only collect the runs that are finished"
    )
    study.set_defaults(run=_study)

    presets = commands.add_parser("presets", help="list the named methods, or print one in full")
    presets.add_argument("name", nargs="?")
    presets.add_argument("--variant", default="default")
    presets.add_argument("--setting", default="three_tasks")
    presets.set_defaults(run=_presets)
    return parser


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", help="configuration file, run directory, or shipped name (demo, ...)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change a key; repeatable"
    )
    parser.add_argument("--output", help="run directory, instead of the configuration's")


def _load(arguments: argparse.Namespace) -> Any:
    from mtgrpo.config import load_config

    output = getattr(arguments, "output", None)
    return load_config(
        arguments.config, [*arguments.set, *([f"output={output}"] if output else [])]
    )


def _train(arguments: argparse.Namespace) -> int:
    require("rich", "cli")
    from mtgrpo.console import TrainingDisplay, plan_table

    config = _load(arguments)
    if arguments.dry_run:
        from mtgrpo.jobs.setup import describe_job

        plan_table(describe_job(config))
        return 0
    from mtgrpo.jobs.run import train

    with TrainingDisplay(config) as display:
        summary = train(config, resume=arguments.resume, display=display)
    display.finish(summary)
    return EXIT_INTERRUPTED if summary["status"] == "interrupted" else 0


def _eval(arguments: argparse.Namespace) -> int:
    require("rich", "cli")
    from mtgrpo.console import evaluation_table
    from mtgrpo.jobs.run import evaluate

    result = evaluate(_load(arguments), model=arguments.model)
    evaluation_table(result)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from mtgrpo.reports.html import write_comparison, write_report

    if len(arguments.runs) == 1 and arguments.runs[0].endswith(".json"):
        from mtgrpo.evidence import load_results
        from mtgrpo.reports.study import write_study_report

        results = load_results(arguments.runs[0])
        path = write_study_report(results, arguments.out or f"runs/{results.name}")
    elif len(arguments.runs) == 1:
        path = write_report(arguments.runs[0], out=arguments.out)
    else:
        path = write_comparison(arguments.runs, arguments.out or "comparison.html")
    print(path)
    return 0


def _tasks(arguments: argparse.Namespace) -> int:
    require("rich", "cli")
    from mtgrpo import console
    from mtgrpo.tasks import build_tasks, check_task, kinds

    if arguments.config is None:
        console.kinds_table(kinds())
        return 0
    tasks = build_tasks(_load(arguments).tasks, arguments.config + ": tasks")
    if arguments.action == "list":
        console.tasks_table(tasks)
        return 0
    chosen = [tasks[arguments.task]] if arguments.task else list(tasks)
    if arguments.action == "show":
        console.show_tasks(chosen, arguments.num)
        return 0
    problems = {task.name: check_task(task, num_rows=arguments.num) for task in chosen}
    console.problems_table(problems)
    return EXIT_BAD_INPUT if any(problems.values()) else 0


def _simulate(arguments: argparse.Namespace) -> int:
    require("rich", "cli")
    from mtgrpo.console import simulation_table
    from mtgrpo.simulation.command import run_simulation

    outcome = run_simulation(
        world=arguments.world,
        fit_to=arguments.fit,
        floors=arguments.floor,
        presets=arguments.preset or ["mt_grpo"],
        variant=arguments.variant,
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        group_size=arguments.group_size,
        num_seeds=arguments.seeds,
        sweep_over=arguments.sweep,
    )
    simulation_table(outcome)
    if arguments.figure:
        from mtgrpo.reports.simulation import save_outcome

        print(save_outcome(outcome, arguments.figure))
    return 0


def _study(arguments: argparse.Namespace) -> int:
    require("rich", "cli")
    from mtgrpo.console import StudyDisplay, study_table
    from mtgrpo.evidence import load_results
    from mtgrpo.evidence.tables import final_table
    from mtgrpo.jobs.study import collect, load_experiment, run_study, write_results
    from mtgrpo.reports.study import write_study_report
    from mtgrpo.yaml_text import parse_assignments

    experiment = load_experiment(
        arguments.experiment,
        methods=arguments.methods.split(",") if arguments.methods else (),
        seeds=[int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else (),
        overrides=parse_assignments(arguments.set),
    )
    output = Path(arguments.output or f"runs/{experiment.name}")
    failures: list[str] = []
    if not arguments.no_train:
        with StudyDisplay(experiment, output) as display:
            failures = run_study(experiment, output, jobs=arguments.jobs, on_event=display.event)
    collected = collect(experiment, output)
    results = load_results(collected)
    study_table(final_table(results))
    if arguments.results:
        write_results(collected, Path(arguments.results))
        print(arguments.results)
    print(write_study_report(results, output))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return EXIT_FAILED if failures else 0


def _presets(arguments: argparse.Namespace) -> int:
    from mtgrpo import presets

    for name in [arguments.name] if arguments.name else presets.NAMES:
        method = presets.get(name, variant=arguments.variant, setting=arguments.setting)
        print(method if arguments.name else f"{name:12} {method.summary}")
    return 0
