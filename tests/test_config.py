"""The configuration: everything wrong is one clear line, everything right is complete."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from mtgrpo import presets
from mtgrpo.config import RunConfig, load_config, parse_config, shipped_configs
from mtgrpo.errors import ConfigError
from mtgrpo.jobs.experiment import load_experiment, shipped_experiments
from mtgrpo.plan import make_plan
from mtgrpo.runlog import RunLog
from mtgrpo.yaml_text import parse_yaml

MINIMAL = {"tasks": [{"tiny": "zebra", "level": "easy"}]}


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_every_shipped_configuration_parses_and_plans(name: str) -> None:
    config = load_config(name)
    plan = make_plan(config, world_size=8 if config.model != "tiny" else 1)
    assert (
        plan.micro_batch_size * plan.gradient_accumulation_steps * plan.world_size
        == plan.rows_per_update
    )
    assert plan.rows_per_update * config.updates_per_step == plan.rows_per_step


def test_resolving_is_idempotent_and_survives_yaml(tmp_path: Path) -> None:
    config = load_config(
        "demo", ["preset=mt_grpo_reg", "weighting.eta=0.01", "sampler.planner.confidence=0.8"]
    )
    plain = config.as_dict()
    assert plain["weighting"]["eta"] == 0.01
    assert plain["sampler"]["planner"] == {
        "kind": "needed",
        "confidence": 0.8,
        "max_inflation": 5.0,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(plain), encoding="utf-8")
    assert load_config(str(path)).as_dict() == plain
    # A run directory stands for its own configuration.
    assert load_config(str(tmp_path)).as_dict() == plain


def test_another_rule_does_not_inherit_the_presets_arguments() -> None:
    config = load_config("demo", ["weighting={rule: sec, alpha: 0.3}"])
    assert config.as_dict()["weighting"] == {"rule": "sec", "alpha": 0.3, "temperature": 0.2}


@pytest.mark.parametrize("key", ["loss_shares", "prompt_memory"])
def test_what_the_paper_lacks_is_off_unless_stated(key: str) -> None:
    assert getattr(load_config("demo").method, key) is False
    assert getattr(load_config("demo", ["preset=dapo", f"{key}=true"]).method, key) is True
    published = [
        presets.get(n, variant=v)
        for n in presets.NAMES
        if n not in ("grpo_fair", "balanced")
        for v in presets.VARIANTS
    ]
    assert not any(getattr(preset, key) for preset in published)
    assert f"  {key}: false\n" in str(published[0])


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("stps=3", ["unknown key 'stps'", "did you mean 'steps'"]),
        ("steps=many", ["steps", "'many' is text", "whole number"]),
        ("steps=0", ["steps: 0", "at least 1"]),
        ("steps=true", ["steps", "whole number"]),
        ('learning_rate="0.1"', ["learning_rate", "is text", "no quotes"]),
        ("learning_rate=-1.0", ["learning_rate", "above 0"]),
        ("group_size=1", ["group_size: 1", "at least 2"]),
        ("loss_shares=4", ["loss_shares", "true or false"]),
        ("prompt_memory=4", ["prompt_memory", "true or false"]),
        ("preset=mtgrpo", ["unknown name 'mtgrpo'", "did you mean 'mt_grpo'"]),
        ("variant=original", ["unknown variant", "paper"]),
        ("weighting.lamb=0.2", ["weighting", "did you mean 'lam'"]),
        ("weighting.rule=impro", ["weighting", "unknown rule 'impro'"]),
        ("sampler.group_filter=strct", ["unknown filter 'strct'", "did you mean 'strict'"]),
        ("sampler.quota_rule=exact", ["unknown quota_rule 'exact'"]),
        ("sampler.planner.kind=big", ["unknown kind 'big'"]),
        ("sampler.planner.confidence=0.3", ["confidence=0.3", "[0.5, 1)"]),
        ("evaluation.often=3", ["evaluation", "unknown key 'often'"]),
        ("evaluation=3", ["evaluation", "a mapping"]),
        ("tasks=zebra", ["tasks", "a list"]),
        ("tasks.0=zebra", ["tasks", "a list of mappings"]),
        ("nonsense", ["not of the form a.b=value"]),
        ("output.x=1", ["output", "is not a mapping"]),
    ],
)
def test_bad_values_are_one_line_with_the_way_out(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_config("demmo")
    broken = tmp_path / "broken.yaml"
    broken.write_text("tasks: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not valid YAML"):
        load_config(str(broken))
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(str(broken))
    broken.write_text("- 1", encoding="utf-8")
    with pytest.raises(ConfigError, match="mapping of keys"):
        load_config(str(broken))
    broken.write_text("steps: 3", encoding="utf-8")
    with pytest.raises(ConfigError, match="'tasks' is missing"):
        load_config(str(broken))


@pytest.mark.parametrize(
    ("changes", "world_size", "message"),
    [
        ({"batch_size": 15, "updates_per_step": 4}, 1, "try batch_size: 16"),
        ({"batch_size": 16, "updates_per_step": 4}, 3, "multiple of 12"),
        ({"batch_size": 16, "group_size": 8, "micro_batch_size": 48}, 1, "nearest that does is 32"),
        ({"batch_size": 3, "group_size": 8, "micro_batch_size": 7}, 1, "nearest that does is 6"),
        (
            {"batch_size": 15, "group_size": 15, "micro_batch_size": 14},
            1,
            "nearest that does is 15",
        ),
        ({"batch_size": 10**9}, 1, "a step's first round may have 1e.09"),
        (
            {
                "preset": "mt_grpo",
                "sampler": {"planner": {"kind": "oversampled", "oversampling": 1e308}},
            },
            1,
            "oversampled",
        ),
        (
            {"preset": "mt_grpo", "sampler": {"planner": {"max_inflation": 1e308}}},
            1,
            "up to inf times in all",
        ),
    ],
)
def test_batches_that_do_not_divide_say_what_would(
    changes: dict[str, int], world_size: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(parse_config({**MINIMAL, **changes}, "test"), world_size=world_size)


def test_plan_of_the_papers_three_task_setting() -> None:
    plan = make_plan(load_config("qwen_three_tasks"), world_size=8)
    assert plan.rows_per_step == 32 * 72
    assert plan.optimizer_steps == 720 * 4
    assert plan.steps_per_generation == 4 * plan.gradient_accumulation_steps
    assert plan.min_rollouts == 3 * 32 * 72  # the paper's first round: three times the batch
    assert plan.max_rollouts == 11 * 3 * 32 * 72


def test_plan_of_rounds_sized_by_need() -> None:
    values = {**MINIMAL, "preset": "mt_grpo", "batch_size": 16, "group_size": 8}
    plan = make_plan(parse_config(values, "test"))
    assert plan.min_rollouts == 16 * 8  # the first round asks for what is missing
    assert plan.max_rollouts == 11 * 5 * 16 * 8  # each of 11 rounds for five times that


def test_steps_of_one_round_have_a_planned_cost_and_are_read_again() -> None:
    values = {**MINIMAL, "preset": "balanced", "batch_size": 16, "group_size": 8}
    run = parse_config({**values, "sampler": {"rounds": "one"}}, "test")
    plan = make_plan(run)
    assert plan.min_rollouts == plan.max_rollouts == 16 * 8

    again = parse_config(parse_yaml(yaml.safe_dump(run.as_dict()), "again"), "again")
    assert again.as_dict() == run.as_dict()
    with pytest.raises(ConfigError, match="set loss_shares=True"):
        parse_config({**values, "sampler": {"rounds": "one"}, "loss_shares": False}, "test")


def test_budgets_of_one_round_are_planned_and_read_again() -> None:
    values = {**MINIMAL, "preset": "balanced", "batch_size": 16, "group_size": 8}
    expected = {"groups": (12 * 8, 12 * 8), "tokens": (8, 16 * 8)}
    for unit, bounds in expected.items():
        sampler = {"rounds": "one", "budget": {unit: 12}, "spreads": {"a": 2.0}}
        run = parse_config({**values, "sampler": sampler}, "test")
        plan = make_plan(run)
        assert (plan.min_rollouts, plan.max_rollouts) == bounds

        again = parse_config(parse_yaml(yaml.safe_dump(run.as_dict()), "again"), "again")
        assert again.as_dict()["sampler"]["budget"] == {unit: 12}
        assert again.as_dict()["sampler"]["spreads"] == {"a": 2.0}

    with pytest.raises(ConfigError, match="unknown unit 'token'"):
        parse_config({**values, "sampler": {"rounds": "one", "budget": {"token": 9}}}, "test")


@pytest.mark.parametrize("probes", ["auto", {"size": 8, "chance": 0.25}])
def test_probes_of_a_configuration(probes: object) -> None:
    run = parse_config({**MINIMAL, "preset": "grpo_fair", "sampler": {"probes": probes}}, "test")
    assert run.as_dict()["sampler"]["probes"] == probes

    large = {"preset": "grpo_fair", "batch_size": 16, "group_size": 32}
    plan = make_plan(parse_config({**MINIMAL, **large, "sampler": {"probes": probes}}, "test"))
    smallest = 4 if probes == "auto" else 8
    assert (plan.min_rollouts, plan.max_rollouts) == (16 * smallest, 16 * 32)

    with pytest.raises(ConfigError, match=r"with rounds=refill; .*add rounds: one"):
        parse_config({**MINIMAL, "preset": "balanced", "sampler": {"probes": probes}}, "test")


@pytest.mark.parametrize("name", sorted(shipped_experiments()))
def test_every_run_of_every_shipped_experiment_parses(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(name)
    assert experiment.baseline in experiment.methods
    for method in experiment.methods:
        make_plan(experiment.run(method, 0, tmp_path))


def test_another_lambda_brings_its_published_clip() -> None:
    nine = {**MINIMAL, "preset": "mt_grpo", "setting": "nine_tasks"}
    clips = {
        lam: parse_config({**nine, "weighting": {"lam": lam}}, "test").as_dict()["weighting"]
        for lam in (0.1, 0.3, 0.9, 1.2)
    }
    clips = {lam: weighting["improvement_clip"] for lam, weighting in clips.items()}
    assert clips == {0.1: 0.2, 0.3: 0.1, 0.9: 0.2, 1.2: 0.2}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-5", 1e-5), ("2E+3", 2000.0), ("-.5e1", -5.0), ("3", 3), ("1e", "1e")]
)
def test_numbers_are_read_as_people_write_them(text: str, value: object) -> None:
    assert parse_yaml(f"a: {text}", "here") == {"a": value}
    assert type(parse_yaml(text, "here")) is type(value)


def test_infinity_survives_the_run_directory(tmp_path: Path) -> None:
    run = load_config("demo", ["weighting.improvement_clip=.inf"], output=str(tmp_path / "run"))
    with RunLog.create(tmp_path / "run", ["a"]) as log:
        log.write_config(run.as_dict())
    assert load_config(str(tmp_path / "run")).as_dict() == run.as_dict()


@pytest.mark.parametrize("name", presets.NAMES)
@pytest.mark.parametrize("variant", presets.VARIANTS)
@pytest.mark.parametrize("setting", presets.SETTINGS)
def test_every_method_resolves_to_itself_when_its_run_is_read_again(
    name: str, variant: str, setting: str
) -> None:
    values = {**MINIMAL, "preset": name, "variant": variant, "setting": setting}
    run = parse_config(values, "test")
    method = presets.get(name, variant=variant, setting=setting)
    assert run.method.as_dict() == method.as_dict()
    written = yaml.safe_dump(run.as_dict())
    again = parse_config(parse_yaml(written, "again"), "again")
    assert again.as_dict() == run.as_dict()
    assert str(again.method) == str(run.method)


def test_an_unknown_key_is_answered_with_all_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("demo", ["minibatch=3"])
    names = [field.name for field in dataclasses.fields(RunConfig)]
    assert str(caught.value).endswith(f"allowed: {', '.join(sorted(names))}")
