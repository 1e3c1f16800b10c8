"""The arguments of every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mtgrpo.cli.installed import versions
from mtgrpo.errors import require, unknown


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line; ``command`` says which command was given."""
    parser = argparse.ArgumentParser(
        prog="mtgrpo", description="Multi-task GRPO post-training that leaves no task behind."
    )
    parser.add_argument(
        "--version", action=_Version, help="print the versions of mtgrpo, torch, TRL, transformers"
    )
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        metavar="SHELL",
        help="print what makes bash, zsh, fish or tcsh complete commands and options",
    )

    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_eval(commands)
    _add_report(commands)
    _add_compare(commands)
    _add_runs(commands)
    _add_watch(commands)
    _add_tasks(commands)
    _add_simulate(commands)
    _add_study(commands)
    _add_presets(commands)
    commands.add_parser("doctor", help="what is installed here, and what the tests ran with")
    return parser


class _Version(argparse.Action):
    """Prints versions; reads those of other packages only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        sys.stdout.write(versions() + "\n")
        parser.exit()


class _Completion(argparse.Action):
    """Prints a shell's completion script."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, values: Any, *args: Any
    ) -> None:
        shtab = require("shtab", "cli")
        if values not in shtab.SUPPORTED_SHELLS:
            parser.error(unknown("--print-completion", "shell", values, shtab.SUPPORTED_SHELLS))
        sys.stdout.write(shtab.complete(parser, values) + "\n")
        parser.exit()


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train", help="train a model on several tasks", description="Train a model."
    )
    _add_config(train)
    train.add_argument("--dry-run", action="store_true", help="print the resolved plan and stop")
    train.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in the output directory; start one if there is none",
    )


def _add_eval(commands: Any) -> None:
    evaluate = commands.add_parser(
        "eval", help="measure test accuracy per task", description="Evaluate a model."
    )
    _add_config(evaluate)
    evaluate.add_argument(
        "--model",
        help="directory or hub name to evaluate; by default a run directory's final model or "
        "newest checkpoint, else the configuration's model",
    )
    evaluate.add_argument("--json", metavar="FILE", help="also write the result here")


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report", help="write the HTML report of a run, compare several, or show a study"
    )
    report.add_argument(
        "runs", nargs="+", metavar="RUN", help="run directory; several are compared; a study's JSON"
    )
    report.add_argument(
        "--out",
        help="HTML file to write (default: report.html in the run directory; of several runs "
        "comparison.html beside them); of a study, the folder",
    )
    report.add_argument(
        "--watch", action="store_true", help="of one run: write it again until the run ends"
    )


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare", help="compare methods task by task, paired by seed and test prompt"
    )
    compare.add_argument(
        "runs", nargs="+", metavar="RUN", help="run directories; the first one's method is the base"
    )
    compare.add_argument(
        "--at", choices=("steps", "rollouts"), default="steps", help="equal what (default steps)"
    )
    compare.add_argument(
        "--labels", type=_names, help="method of each run, separated by commas (default: presets)"
    )


def _add_runs(commands: Any) -> None:
    runs = commands.add_parser("runs", help="list runs with status, scores and time left")
    runs.add_argument(
        "folder", nargs="?", default="runs", help="a run, or a folder with runs (default runs)"
    )


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser("watch", help="follow a run that another process carries out")
    watch.add_argument("run", help="run directory; it may not exist yet")
    watch.add_argument(
        "--every", type=_positive, default=2, metavar="SECONDS", help="between looks (default 2)"
    )


def _add_tasks(commands: Any) -> None:
    tasks = commands.add_parser("tasks", help="list, show, check and profile tasks")
    actions = tasks.add_subparsers(dest="action", required=True, metavar="ACTION")

    listed = actions.add_parser(
        "list", help="tasks of a configuration; without one, every kind there is"
    )
    listed.add_argument("config", nargs="?", help="configuration file or shipped name")

    shown = actions.add_parser("show", help="print prompts with their oracle answers")
    _add_rows(shown, default=3)
    checked = actions.add_parser("check", help="check rows, splits and rewards before a run does")
    _add_rows(checked, default=20)

    profiled = actions.add_parser(
        "profile", help="accuracy, acceptance, length and cost of each task before any training"
    )
    profiled.add_argument(
        "config",
        help="configuration file or shipped name, or a model that has tasks of its own: tiny, "
        "smollm2, smollm2-warm",
    )
    profiled.add_argument("--model", help="instead of the configuration's")
    profiled.add_argument("--num", type=_positive, default=32, help="prompts per task (default 32)")
    profiled.add_argument("--json", metavar="FILE", help="also write the result here")

    for action in (listed, shown, checked, profiled):
        action.add_argument(
            "--set", action="append", default=[], metavar="A.B=C", help="change a key"
        )


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser("simulate", help="run a method on a toy policy, in seconds")
    simulate.add_argument(
        "world", nargs="?", default="three_tasks", help="three_tasks, nine_tasks or a world's YAML"
    )
    simulate.add_argument("--fit", metavar="RUN", help="fit the world to a finished run instead")
    simulate.add_argument(
        "--floor",
        action="append",
        default=[],
        metavar="TASK=ACCURACY",
        help="accuracy of a guess, for --fit; repeatable (default: what the run's own tasks say, "
        "or 0)",
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
        "--probes",
        action="store_true",
        help="generate groups of 16 and more in parts (methods of one round, as grpo_fair)",
    )

    simulate.add_argument(
        "--sweep", metavar="NAME=A,B,C", help="vary an argument of the weighting, such as lam"
    )
    simulate.add_argument(
        "--figure", metavar="FILE", help="write the curves or the trade-off here (PNG, SVG or PDF)"
    )


def _add_study(commands: Any) -> None:
    study = commands.add_parser("study", help="many methods x seeds of one experiment, resumable")
    study.add_argument(
        "experiment", help="experiment file or shipped name (three_tasks, nine_tasks)"
    )
    study.add_argument("--output", help="directory of the runs (default runs/<experiment>)")
    study.add_argument("--methods", type=_names, default=[], help="only these, separated by commas")
    study.add_argument(
        "--seeds",
        type=_numbers,
        default=[],
        help="instead of the experiment's, separated by commas",
    )
    study.add_argument(
        "--jobs", type=_positive, default=2, help="processes at a time, one thread each"
    )
    study.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a key of `base`"
    )
    study.add_argument(
        "--results", metavar="FILE", help="write all results as JSON here, besides the runs"
    )
    study.add_argument(
        "--no-train", action="store_true", help="only collect the runs that are finished"
    )


def _add_presets(commands: Any) -> None:
    presets = commands.add_parser("presets", help="list the named methods, or print one in full")
    presets.add_argument("name", nargs="?")
    presets.add_argument("--variant", default="default")
    presets.add_argument("--setting", default="three_tasks")


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", help="configuration file, run directory, or shipped name (demo, ...)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change a key; repeatable"
    )
    parser.add_argument("--output", help="run directory, instead of the configuration's")


def _add_rows(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument("config", help="configuration file or shipped name")
    parser.add_argument("--task", help="only this task")
    parser.add_argument("--num", type=_positive, default=default, help="rows per task")


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; a whole number of at least 1 is needed")
    return number


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _numbers(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(
            f"{text!r}; whole numbers separated by commas are needed, such as 0,1,2"
        )
    return [int(part) for part in text.split(",")]
