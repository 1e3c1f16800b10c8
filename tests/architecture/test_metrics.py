"""Every metric and every reason for dropping a group has its line in docs/metrics.md, and every line is true."""

from __future__ import annotations

import ast
import re

from mtgrpo.core.filters import FILTERS
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.types import Group, Probed
from mtgrpo.core.weightings import ImprovementAware
from tests.core.driver import RATES, SETUPS, TASKS, Dice, fill

from .source import NAMES, ROOT, room, tree

PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def documented(heading: str) -> set[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \| \S.*\.[^|]* \|$", section, flags=re.MULTILINE))


def emitted_by_the_mixer() -> set[str]:
    found = set[str]()
    for setup in SETUPS.values():
        mixer, dice = setup(0), Dice(RATES)
        for _ in range(4):
            fill(mixer.new_batch(), dice)
            mixer.update([dict.fromkeys(TASKS, 0.1)])
            for key in mixer.metrics():
                for task in TASKS:
                    key = key.replace(f"task/{task}/", "task/<name>/")
                found.add(re.sub("/dropped/.*", "/dropped/<reason>", key))
    return found | emitted_for_graded_tasks() | emitted_with_probes()


def emitted_for_graded_tasks() -> set[str]:
    mixer = TaskMixer(["essay"], batch_size=1)
    batch = mixer.new_batch()
    batch.ask()
    batch.tell([Group("essay", (0.2, 0.7))])
    assert batch.ask() == {}
    mixer.update()

    names = {key.replace("task/essay/", "task/<name>/") for key in mixer.metrics()}
    return {name for name in names if name.endswith("score")}


def emitted_with_probes() -> set[str]:
    sampler = OneRoundSampler(probes={"size": 2, "chance": 0.5})
    mixer = TaskMixer(["arc"], batch_size=1, sampler=sampler)
    batch = mixer.new_batch()
    batch.ask()
    assert batch.probes.of("arc", 4).size == 2
    batch.tell([Group.verified("arc", (0.0, 0.0), probe=Probed(2, 0))])
    assert batch.ask() == {}
    mixer.update()

    names = {key.replace("task/arc/", "task/<name>/") for key in mixer.metrics()}
    return {name for name in names if "/probe_" in name or name == "sampler/completions"}


def test_every_metric_of_the_mixer_has_its_line_and_every_line_its_metric():
    assert emitted_by_the_mixer() == documented("From the mixer")
    assert ImprovementAware().bind(["a"]).metrics().keys() == {"task/a/improvement"}


def test_every_reason_has_its_line_and_every_line_its_reason():
    values = [0.0, 0.1, 0.5, 1.0, float("nan")]
    groups = [
        Group("a", (r, s), (0.5, 0.5) if r == r and s == s else ()) for r in values for s in values
    ]
    groups += [Group.verified("a", (r, s)) for r in values for s in values]
    groups.append(Group("a", (0.5, 0.5), (0.0, 1.0)))
    reasons = {keep(group).reason for keep in FILTERS.values() for group in groups} - {""}
    assert reasons == documented("Reasons")


def test_every_metric_an_engine_adds_has_its_line():
    known = documented("From the mixer") | documented("From the TRL trainer")
    known |= documented("From the asynchronous TRL trainer") | documented("From verl")
    known |= {metric.removeprefix("eval/") for metric in known}
    for name in NAMES:
        if room(name) not in ("integrations", "runlog"):
            continue
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(p.value) if isinstance(p, ast.Constant) else "<name>" for p in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if re.fullmatch(r"(eval/)?(task/<name>|tasks|sampler)/[a-z_/]+[a-z]", text):
                assert text in known, (
                    f"{name}:{node.lineno}: metric {text!r} has no line in docs/metrics.md"
                )
