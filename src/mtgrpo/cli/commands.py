"""What each command does with its arguments. Heavy libraries are imported where they are needed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mtgrpo.errors import ConfigError, require
from mtgrpo.values import printable

if TYPE_CHECKING:
    from mtgrpo.config import ResolvedRun

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def train(arguments: argparse.Namespace) -> int:
    """``mtgrpo train``."""
    require("rich", "trl")
    from mtgrpo.console.training import TrainingDisplay, plan_table
    from mtgrpo.jobs.describe import describe_job

    run = _load(arguments)
    if arguments.dry_run:
        described = describe_job(run, resume=arguments.resume)
        plan_table(described.sections)
        for problem in described.problems:
            print("error:", printable(problem), file=sys.stderr)
        return EXIT_BAD_INPUT if described.problems else 0

    from mtgrpo.jobs.run import train

    with TrainingDisplay(run) as display:
        summary = train(run, resume=arguments.resume, display=display)

    display.finish(summary)

    if summary["status"] == "interrupted":
        return EXIT_INTERRUPTED
    return EXIT_FAILED if summary.get("trained_on_nothing") else 0


def evaluate(arguments: argparse.Namespace) -> int:
    """``mtgrpo eval``."""
    require("rich", "trl")
    from mtgrpo.console.training import evaluation_table
    from mtgrpo.jobs.run import evaluate
    from mtgrpo.jobs.trained import trained_model
    from mtgrpo.runlog.files import write_text

    trained = trained_model(arguments.config)
    model = arguments.model or (None if trained is None else str(trained))

    result = evaluate(_load(arguments), model=model)
    evaluation_table(result)
    if arguments.json:
        write_text(Path(arguments.json), json.dumps(result, indent=2) + "\n")
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """``mtgrpo doctor``."""
    from mtgrpo.cli.installed import examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for name, state, text in findings:
        print(f"{state:7} {name:{width}}  {text}")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """``mtgrpo report``."""
    from mtgrpo.reports.html import write_comparison, write_report
    from mtgrpo.reports.watching import keep_report

    first, *others = arguments.runs
    if arguments.watch:
        if others or first.endswith(".json"):
            raise ConfigError("report: --watch follows one run; give its directory alone")
        path = keep_report(first, arguments.out, tell=lambda path: print(printable(path)))
    elif others:
        path = write_comparison(arguments.runs, arguments.out)
    elif first.endswith(".json"):
        from mtgrpo.evidence import load_results
        from mtgrpo.reports.study import write_study_report

        results = load_results(first)
        path = write_study_report(results, arguments.out or f"runs/{results.name}")
    else:
        path = write_report(first, out=arguments.out)

    if not arguments.watch:
        print(printable(path))

    return 0


def compare(arguments: argparse.Namespace) -> int:
    """``mtgrpo compare``."""
    require("rich", "cli")
    from mtgrpo.console.compare import comparison_table
    from mtgrpo.evidence.paired import compare
    from mtgrpo.evidence.run_results import results_of
    from mtgrpo.reports.grouping import check_labels
    from mtgrpo.runlog import read_run

    runs = [read_run(path) for path in arguments.runs]
    labels = check_labels(runs, arguments.labels)
    base, *others = dict.fromkeys(labels)
    if not others:
        raise ConfigError(
            f"compare: all runs are {base!r}; give runs of another method too, or --labels"
        )

    results = results_of(runs, labels)
    of_base = [result for result in results if result.method == base]
    is_score = any(run.evaluations[-1].measure == "score" for run in runs)

    for method in others:
        of_method = [result for result in results if result.method == method]
        pair = compare(of_method, of_base, at=arguments.at)
        comparison_table(pair, of_method, of_base, "score" if is_score else "accuracy")
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """``mtgrpo runs``."""
    require("rich", "cli")
    from mtgrpo.console.runs import runs_table
    from mtgrpo.runlog import read_run
    from mtgrpo.runlog.finding import find_runs
    from mtgrpo.runlog.going_on import resume_line

    all_runs = [read_run(path) for path in find_runs(Path(arguments.folder))]
    runs_table(all_runs, [line for run in all_runs if (line := resume_line(run))])
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """``mtgrpo watch``."""
    require("rich", "cli")
    from mtgrpo.console.watch import watch
    from mtgrpo.runlog.going_on import resume_line

    run = watch(Path(arguments.run), arguments.every)
    if line := resume_line(run):
        print(printable(line))

    if run.status == "interrupted":
        return EXIT_INTERRUPTED
    return 0 if run.status == "finished" else EXIT_FAILED


def tasks(arguments: argparse.Namespace) -> int:
    """``mtgrpo tasks list``, ``show``, ``check`` and ``profile``."""
    require("rich", "cli")
    if arguments.action == "profile":
        return _profile(arguments)

    from mtgrpo.console import tasks as console
    from mtgrpo.tasks import build_tasks, kinds
    from mtgrpo.tasks.check import examine_task

    if arguments.config is None:
        console.kinds_table(kinds())
        return 0

    run = _load(arguments)
    tasks = build_tasks(run.tasks, f"{run.origin}: tasks")
    if arguments.action == "list":
        console.tasks_table(tasks)
        return 0

    chosen = [tasks[arguments.task]] if arguments.task else list(tasks)
    if arguments.action == "show":
        console.show_tasks(chosen, arguments.num)
        return 0

    findings = {task.name: examine_task(task, num_rows=arguments.num) for task in chosen}
    problems = {name: of_task.problems for name, of_task in findings.items()}
    remarks = {name: of_task.remarks for name, of_task in findings.items()}
    console.problems_table(problems, remarks)

    return EXIT_BAD_INPUT if any(problems.values()) else 0


def _profile(arguments: argparse.Namespace) -> int:
    from mtgrpo.console.output import print_line
    from mtgrpo.console.profile import profile_table
    from mtgrpo.jobs.profile import profile, profiled_run
    from mtgrpo.runlog.files import write_text

    run = profiled_run(arguments.config, arguments.set, arguments.model)
    mixture = profile(
        run, num_prompts=arguments.num, tell=lambda name: print_line(f"asking {name}")
    )
    profile_table(mixture)
    if arguments.json:
        write_text(Path(arguments.json), json.dumps(mixture.as_dict(), indent=2) + "\n")
    return 0


def simulate(arguments: argparse.Namespace) -> int:
    """``mtgrpo simulate``."""
    require("rich", "cli")
    from mtgrpo.console.simulation import simulation_table
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
        probes=arguments.probes,
    )

    simulation_table(outcome)

    if arguments.figure:
        from mtgrpo.reports.simulation import save_outcome

        print(printable(save_outcome(outcome, arguments.figure)))

    return 0


def study(arguments: argparse.Namespace) -> int:
    """``mtgrpo study``."""
    require("rich", "cli")
    from mtgrpo.console.study import StudyDisplay, study_table
    from mtgrpo.evidence import load_results
    from mtgrpo.evidence.tables import final_table
    from mtgrpo.jobs.experiment import load_experiment
    from mtgrpo.jobs.study import collect, run_study, write_results
    from mtgrpo.reports.study import write_study_report
    from mtgrpo.yaml_text import parse_assignments

    experiment = load_experiment(
        arguments.experiment,
        methods=arguments.methods,
        seeds=arguments.seeds,
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
        print(printable(arguments.results))

    print(printable(write_study_report(results, output)))
    for failure in failures:
        print(f"failed: {printable(failure, lines=True)}", file=sys.stderr)

    return EXIT_FAILED if failures else 0


def presets(arguments: argparse.Namespace) -> int:
    """``mtgrpo presets``."""
    from mtgrpo import presets

    names = [arguments.name] if arguments.name else presets.NAMES
    for name in names:
        method = presets.get(name, variant=arguments.variant, setting=arguments.setting)
        if arguments.name:
            print(f"preset {name}, variant {arguments.variant}, setting {arguments.setting}")
            print(method)
        else:
            print(f"{name:12} {method.summary}")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    "eval": evaluate,
    "report": report,
    "compare": compare,
    "runs": runs,
    "watch": watch,
    "tasks": tasks,
    "simulate": simulate,
    "study": study,
    "presets": presets,
    "doctor": doctor,
}


def _load(arguments: argparse.Namespace) -> ResolvedRun:
    from mtgrpo.config import load_config

    output = getattr(arguments, "output", None)
    return load_config(arguments.config, arguments.set, output=output)
