"""``data.mtgrpo`` of a verl configuration; needs neither verl nor torch."""

from __future__ import annotations

import numpy as np
import pytest

from mtgrpo import presets
from mtgrpo.config import RunConfig
from mtgrpo.core.weightings import ImprovementAware
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.settings import (
    VerlSettings,
    make_mixer,
    read_settings,
    resolve_method,
)


def test_an_empty_section_is_the_default_method():
    settings = read_settings({})
    assert settings == VerlSettings()
    mixer = make_mixer(settings, ["a", "b"], batch_size=4, seed=1)
    assert mixer.tasks == ("a", "b")
    assert mixer.batch_size == 4
    assert type(mixer.weighting) is type(presets.get("grpo_fair").weighting)
    assert mixer.task_reward == "accuracy"


def test_preset_variant_and_changes_reach_the_mixer():
    values = {
        "preset": "mt_grpo",
        "variant": "paper",
        "setting": "nine_tasks",
        "weighting": {"lam": 1.2, "improvement": "rewards"},
        "sampler": {"max_resamples": 7},
    }
    mixer = make_mixer(read_settings(values), ["a", "b"], batch_size=4, seed=1)
    assert mixer.weighting.lam == 1.2
    assert mixer.weighting.improvement_clip == 0.2
    assert mixer.sampler.max_resamples == 7
    assert mixer.sampler.quota_rule == "multinomial"
    assert mixer.task_reward == "reward"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"presett": "dapo"}, r"data.mtgrpo: unknown key 'presett' \(did you mean 'preset'\?\)"),
        ({"correct_at": "high"}, "data.mtgrpo: correct_at: 'high' is text; a number is needed"),
        ({"poll_interval": 0}, "poll_interval=0.0.*above 0"),
        ([], r"data.mtgrpo: \[\]; a mapping of keys to values is needed"),
    ],
)
def test_wrong_settings_are_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"preset": "dappo"},
            r"data.mtgrpo: preset: unknown name 'dappo' \(did you mean 'dapo'\?\)",
        ),
        (
            {"preset": "mt_grpo", "variant": "paper"},
            r"one more forward pass.*set weighting: \{improvement: rewards\}",
        ),
        ({"preset": "mt_grpo", "weighting": {"lam": -1.0}}, "data.mtgrpo: .*lam=-1.0"),
        (
            {"preset": "mt_grpo", "sampler": {"rounds": "one"}, "loss_shares": False},
            r"data.mtgrpo: Method: OneRoundSampler .*set loss_shares=True",
        ),
        ({"sampler": {"group_filter": "loose"}}, "data.mtgrpo: .*unknown filter 'loose'"),
        (
            {"preset": "balanced", "sampler": {"max_staleness": 1}},
            r"max_staleness=1 .*sampler: \{max_staleness: 0\}",
        ),
        (
            {"preset": "balanced", "sampler": {"rounds": "one", "budget": {"tokens": 9.0}}},
            r"budget=\{'tokens': 9.0\} asks for fewer groups .*leave budget out",
        ),
        (
            {"preset": "grpo_fair", "sampler": {"probes": "auto"}},
            "data.mtgrpo: the sampler's probes='auto' need groups .*leave probes out",
        ),
    ],
)
def test_methods_that_cannot_work_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        make_mixer(read_settings(values), ["a", "b"], batch_size=4, seed=0)


@pytest.mark.parametrize("variant", presets.VARIANTS)
@pytest.mark.parametrize("name", presets.NAMES)
def test_every_preset_makes_a_mixer(name, variant):
    values = {"preset": name, "variant": variant}
    method = presets.get(name, variant=variant)
    if isinstance(method.weighting, ImprovementAware):
        values["weighting"] = {"improvement": "rewards"}
    mixer = make_mixer(read_settings(values), ["a", "b", "c"], batch_size=6, seed=0)
    assert sum(mixer.weights().values()) == pytest.approx(1.0)


def test_what_verl_cannot_do_of_a_preset_is_one_line(caplog):
    settings = read_settings({"preset": "balanced"})
    mixer = make_mixer(settings, ["a", "b"], batch_size=4, seed=0)
    assert mixer.sampler.bank.max_staleness == 0
    (line,) = caplog.messages
    assert "'balanced' without its bank of surplus groups" in line

    method = resolve_method(settings)
    assert (method.loss_shares, method.prompt_memory) == (True, True)

    caplog.clear()
    make_mixer(read_settings({"preset": "mt_grpo"}), ["a", "b"], batch_size=4, seed=0)
    quiet = {"preset": "balanced", "sampler": {"rounds": "one"}}
    make_mixer(read_settings(quiet), ["a", "b"], batch_size=4, seed=0)
    assert caplog.messages == []


def test_families_reach_the_estimates():
    families = {"a": "math", "b": "math"}
    mixer = make_mixer(VerlSettings(), ["a", "b", "c"], batch_size=4, families=families, seed=0)
    mixer.sampler.acceptance.observe(np.array([40, 0, 0]), np.array([4, 0, 0]))
    _, sibling, stranger = mixer.sampler.acceptance.rates()
    assert sibling < stranger


@pytest.mark.parametrize("values", [
    {},
    {"preset": "balanced"},
    {"preset": "balanced", "sampler": {"rounds": "one"}, "prompt_memory": False},
    {"preset": "mt_grpo", "variant": "paper", "setting": "nine_tasks", "weighting": {"lam": 1.2, "improvement": "rewards"}},
    {"preset": "dapo", "variant": "released", "task_reward": "reward", "observe": "step"},
])  # fmt: skip
def test_the_method_is_the_one_a_run_configuration_gives(values):
    run = RunConfig(tasks=(), **values).resolved()
    assert resolve_method(read_settings(values)).as_dict() == run.method.as_dict()
