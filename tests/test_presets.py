"""Presets: complete, printable, and where a variant must differ, different."""

from __future__ import annotations

import pytest

from mtgrpo import presets
from mtgrpo.build import complete_sampler, complete_weighting
from mtgrpo.core.filters import released_lenient, strict
from mtgrpo.core.mixer import TaskMixer
from mtgrpo.core.rounds import NeededRounds, OversampledRounds
from mtgrpo.errors import ConfigError

ALL = [(n, v, s) for n in presets.NAMES for v in presets.VARIANTS for s in presets.SETTINGS]


@pytest.mark.parametrize(("name", "variant", "setting"), ALL)
def test_every_preset_builds_is_complete_and_prints_every_value(name: str, variant: str, setting: str) -> None:
    preset = presets.get(name, variant=variant, setting=setting)
    TaskMixer(["a", "b", "c"], batch_size=8, weighting=preset.make_weighting(), sampler=preset.make_sampler())
    assert complete_weighting(preset.weighting) == dict(preset.weighting)
    assert complete_sampler(preset.sampler) == dict(preset.sampler)
    text = str(preset)
    for key in (*preset.weighting, *preset.sampler, "epsilon_high"):
        assert f"{key}: " in text


def test_hyper_parameters_of_the_two_published_settings() -> None:
    three = presets.get("mt_grpo", variant="released", setting="three_tasks")
    nine = presets.get("mt_grpo", variant="released", setting="nine_tasks")
    assert (three.weighting["improvement_clip"], three.weighting["weight_decay"]) == (0.1, 1e-5)
    assert nine.weighting["weight_decay"] == 1e-4
    assert (three.sampler["max_resamples"], nine.sampler["max_resamples"]) == (9, 1)  # rounds, the first included
    assert (three.sampler["shares_from_step"], nine.sampler["shares_from_step"]) == (0, 10)
    assert three.sampler["rounds"]["max_inflation"] == 1.0
    assert nine.sampler["rounds"]["max_inflation"] == 5.0
    assert three.make_sampler().group_filter is strict
    assert nine.make_sampler().group_filter is released_lenient
    regularized = presets.get("mt_grpo_reg", variant="released", setting="three_tasks")
    assert regularized.sampler["shares_from_step"] == 10
    assert presets.get("mt_grpo", variant="paper", setting="three_tasks").sampler["max_resamples"] == 10


def test_clips_follow_the_method() -> None:
    clips = {name: (presets.get(name).epsilon, presets.get(name).epsilon_high) for name in presets.NAMES}
    assert {name for name, clip in clips.items() if clip == (0.2, 0.2)} == {"grpo", "sec_grpo", "seq_grpo"}
    assert {clip for name, clip in clips.items() if name not in ("grpo", "sec_grpo", "seq_grpo")} == {(0.2, 0.28)}


def test_planners_follow_the_variant() -> None:
    assert isinstance(presets.get("mt_grpo").make_sampler().rounds, NeededRounds)
    assert isinstance(presets.get("mt_grpo", variant="paper").make_sampler().rounds, OversampledRounds)
    assert presets.get("dapo").make_sampler().keep_shares is False


def test_weighting_is_bound_and_takes_overrides() -> None:
    tasks = ["a", "b", "c"]
    weighting = presets.weighting("mt_grpo", tasks, variant="released", lam=0.25, weight_lr=0.1)
    assert weighting.weights() == pytest.approx(dict.fromkeys(tasks, 1 / 3))
    minibatches = [{"a": 0.05, "b": -0.3, "c": 0.0}] * 4
    weighting.update(task_rewards={"a": 0.3, "b": 0.1, "c": 0.9}, improvements=minibatches)
    weights = weighting.weights()
    assert weights["b"] == max(weights.values())


def test_setting_follows_the_number_of_tasks() -> None:
    nine = presets.weighting("mt_grpo", [f"t{i}" for i in range(9)], variant="released", lam=1.2)
    assert nine.improvement_clip == 0.2  # type: ignore[attr-defined]
    paired = presets.weighting("mt_grpo", [f"t{i}" for i in range(9)], variant="released", lam=0.3)
    assert paired.improvement_clip == 0.1  # type: ignore[attr-defined]
    explicit = presets.weighting("mt_grpo", ["a", "b"], variant="released", improvement_clip=0.5)
    assert explicit.improvement_clip == 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: presets.get("mtgrpo"), "did you mean 'mt_grpo'"),
        (lambda: presets.get("mt_grpo", variant="papr"), "did you mean 'paper'"),
        (lambda: presets.get("mt_grpo", setting="two_tasks"), "allowed: nine_tasks, three_tasks"),
        (lambda: presets.weighting("mt_grpo", ["a"], lamb=1.0), "did you mean 'lam'"),
        (lambda: presets.weighting("mt_grpo_reg", ["a"], lam=1.0), "unknown key 'lam'"),
        (lambda: presets.weighting("mt_grpo", ["a"], lam=-1.0), "lam"),
    ],
)
def test_bad_names_and_overrides_are_refused_with_a_way_out(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        call()
