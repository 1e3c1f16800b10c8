"""Steps as they are told: running accuracies, and what changed about a task, once."""

from __future__ import annotations

from collections.abc import Mapping

from mtgrpo import Group, Method, Uniform
from mtgrpo.core.report import StepReport
from mtgrpo.jobs.display import Silent, StepNews


class Heard:
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.accuracies: list[dict[str, float]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def step(
        self, step: int, metrics: Mapping[str, float], accuracies: Mapping[str, float]
    ) -> None:
        assert metrics["sampler/rounds"] >= 1
        self.accuracies.append(dict(accuracies))

    def evaluation(self, title: str, tasks: Mapping[str, Mapping[str, float]]) -> None:
        raise AssertionError("there was no evaluation")


class Noticing(Uniform):
    """Says of its tasks what it is told to say."""

    said: Mapping[str, str] = {}

    def notices(self) -> dict[str, str]:
        return dict(self.said)


def report(rewards: tuple[float, ...], notices: Mapping[str, str]) -> StepReport:
    mixer = Method(Noticing()).make_mixer(["a"], batch_size=4)
    assert isinstance(mixer.weighting, Noticing)
    mixer.weighting.said = notices
    batch = mixer.new_batch()
    while request := batch.ask():
        batch.tell(Group("a", rewards) for _ in range(request["a"]))
    mixer.update()
    assert mixer.report is not None
    return mixer.report


def test_accuracies_are_the_running_ones_and_notices_are_told_once() -> None:
    heard = Heard()
    tell = StepNews(heard)
    tell(1, report((0.0, 1.0), {}))
    second = report((1.0, 1.0, 1.0, 0.0), {"a": "stalled"})
    tell(2, second)
    tell(3, report((1.0, 0.0), {"a": "stalled"}))
    tell(4, report((1.0, 0.0), {}))
    assert heard.messages == [
        "step 2: task 'a' stalled",
        "step 4: task 'a' can be trained again",
    ]
    assert heard.accuracies[0] == {"a": 0.5}
    assert heard.accuracies[1] == second.running_scores == {"a": 0.75}


def test_a_silent_display_takes_everything() -> None:
    silent = Silent()
    silent.message("x")
    silent.evaluation("x", {})
    tell = StepNews(silent)
    tell(1, report((0.0, 1.0), {"a": "stalled"}))
