"""Tasks that are sampled in their own way: what is generated, and at which temperature it is judged."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from mtgrpo import ImprovementAware, RatioPreservingSampler
from mtgrpo.core.one_round import OneRoundSampler
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.old_log_probs import OLD
from mtgrpo.integrations.trl.task_generation import TEMPERATURES, TaskGeneration, has_linear_head
from mtgrpo.tasks import Generation, TaskSet

from .conftest import around, history, same_parameters, uniform
from .test_groups_in_parts import PROBES
from .test_vllm import FakeVLLM, use_stand_in
from .toy import make_tasks

COLD, HOT = Generation(temperature=0.5), Generation(temperature=2.0, max_completion_length=3)


def tasks_with(**settings: Generation) -> TaskSet:
    return TaskSet(
        *(replace(t, generation=settings.get(t.name, t.generation)) for t in make_tasks())
    )


def batches(trainer) -> list[dict]:
    """What TRL makes of the rows that are trained on, one batch a step."""
    made = []

    def replay(method, rows):
        made.append((rows, output := method(rows)))
        return output

    around(trainer.engine, "replay", replay)
    return made


def log_probs_by_hand(trainer, part: dict, temperature: float, places: list[int]):
    """Those of a run at one temperature: plain logits, divided by it; shape (rows, tokens)."""
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], 1)[places]
    mask = torch.cat([part["prompt_mask"], part["completion_mask"]], 1)[places]
    num = part["completion_ids"].shape[1]
    with torch.no_grad():
        logits = trainer.model(input_ids=ids, attention_mask=mask).logits[:, -num - 1 : -1]
    scores = (logits / temperature).log_softmax(-1)
    values = scores.gather(-1, part["completion_ids"][places][..., None])[..., 0]
    return values * part["completion_mask"][places]


# ---- log-probabilities -------------------------------------------------------------------------
@pytest.mark.parametrize("share_prompts", [False, True])
def test_rows_are_judged_at_the_temperature_of_their_task(lab, share_prompts):
    reused = {"num_iterations": 2, "beta": 0.1, "max_steps": 2, "learning_rate": 0.0}
    trainer = lab.trainer(
        tasks_with(easy=COLD, hard=HOT),
        arguments={**uniform(), "share_prompts": share_prompts},
        temperature=0.8,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=2,
        **reused,
    )
    of_the_loss = []

    def log_probs(method, *args, **kwargs):
        result = method(*args, **kwargs)
        if kwargs.get("compute_entropy"):
            of_the_loss.append(result[0].detach())
        return result

    def loss(method, model, inputs, *args, **kwargs):
        given = dict(inputs)
        value = method(model, inputs, *args, **kwargs)
        at = dict(zip(("easy", "medium", "hard"), (0.5, 0.8, 2.0), strict=True))
        temperatures = given[TEMPERATURES].tolist()
        for temperature in at.values():
            places = [i for i, t in enumerate(temperatures) if t == pytest.approx(temperature)]
            if not places:
                continue
            seen.add(temperature)
            expected = log_probs_by_hand(trainer, given, temperature, places)
            mask = given["completion_mask"][places].bool()
            for values in (of_the_loss[-1], given[OLD], given["ref_per_token_logps"]):
                torch.testing.assert_close(values[places][mask], expected[mask])
        return value

    seen: set[float] = set()
    around(trainer, "_get_per_token_logps_and_entropies", log_probs)
    around(trainer, "compute_loss", loss)
    trainer.train()

    assert seen == {0.5, 0.8, 2.0}
    ratios = [entry["clip_ratio/region_mean"] for entry in history(trainer)]
    assert ratios == [0.0, 0.0]  # the policy stood still: another temperature would show as a ratio


def test_a_task_alone_has_the_same_log_probabilities_at_that_temperature_of_the_run(lab):
    """The whole of TRL at temperature 0.5 on the rows of one task, against its rows among others."""
    mixed = lab.trainer(tasks_with(easy=COLD), arguments=uniform(), max_steps=1)
    made = batches(mixed)
    mixed.train()
    rows, part = made[0]
    places = [i for i, row in enumerate(rows) if row.inputs["mtgrpo_task"] == "easy"]
    assert 0 < len(places) < len(rows)

    alone = lab.trainer(
        TaskSet(make_tasks()["easy"]), arguments=uniform(), temperature=0.5, max_steps=1
    )
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], 1)
    mask = torch.cat([part["prompt_mask"], part["completion_mask"]], 1)
    num = part["completion_ids"].shape[1]
    given = (alone.model, ids[places], mask[places], num)
    expected, entropy, *_ = alone._get_per_token_logps_and_entropies(*given, compute_entropy=True)

    mixed.model.load_state_dict(alone.model.state_dict())
    with mixed.sampling.of_inputs(part):
        given = (mixed.model, ids, mask, num)
        # In passes of three rows each, as TRL does where no more fit.
        found, others, *_ = mixed._get_per_token_logps_and_entropies(
            *given, batch_size=3, compute_entropy=True
        )
    counted = part["completion_mask"][places].bool()
    torch.testing.assert_close(found[places][counted], expected[counted])
    torch.testing.assert_close(others[places][counted], entropy[counted])


def test_improvements_and_banked_groups_are_measured_at_the_temperature_too(lab):
    """A policy that stands still has the ratio 1 to itself, and has not improved."""
    trainer = lab.trainer(
        tasks_with(easy=COLD, medium=HOT),
        arguments={
            "weighting": ImprovementAware(improvement="surrogate"),
            "sampler": RatioPreservingSampler(
                max_staleness=2, planner=OversampledRounds(oversampling=2.0), max_resamples=1
            ),
        },
        learning_rate=0.0,
        max_steps=2,
    )
    banked, improvements = [], []

    def loss(method, model, inputs, *args, **kwargs):
        banked.append(OLD in inputs)
        return method(model, inputs, *args, **kwargs)

    def measure(method):
        improvements.append(method())
        return improvements[-1]

    around(trainer, "compute_loss", loss)
    around(trainer.engine, "measure_improvements", measure)
    trainer.train()

    assert any(banked)
    assert all(abs(value) < 1e-6 for step in improvements for value in step.values())
    for entry in history(trainer):
        assert entry["clip_ratio/region_mean"] == 0.0


def test_groups_that_are_begun_with_a_few_completions_have_it_too(lab):
    """Probes: the rest of a group is generated, or not, in a call of its own."""
    cold, hot = Generation(temperature=1e-4), Generation(temperature=2.0, max_completion_length=3)
    trainer = lab.trainer(
        tasks_with(easy=cold, hard=hot),
        arguments={"sampler": OneRoundSampler(probes=PROBES), "loss_shares": True},
        learning_rate=0.0,
        num_iterations=2,
        max_steps=2,
    )
    made = batches(trainer)
    trainer.train()
    for rows, _ in made:
        for row in rows:
            limit = 3 if row.inputs["mtgrpo_task"] == "hard" else 6
            assert len(row.generation[1].value) <= limit
    assert [entry["clip_ratio/region_mean"] for entry in history(trainer)] == [0.0, 0.0]


# ---- generation --------------------------------------------------------------------------------
@pytest.mark.parametrize("share_prompts", [False, True])
def test_rows_are_generated_as_their_task_asks_for(lab, share_prompts):
    scored: dict[str, list[str]] = {}
    tasks = []
    for task in tasks_with(
        easy=Generation(max_completion_length=2),
        medium=Generation(temperature=1e-4),
        hard=Generation(top_p=1e-6, max_completion_length=4),
    ):

        def reward(prompts, completions, reward=task.reward, name=task.name, **columns):
            scored.setdefault(name, []).extend(completions)
            return reward(prompts=prompts, completions=completions, **columns)

        tasks.append(replace(task, reward=reward))

    trainer = lab.trainer(
        TaskSet(*tasks),
        arguments={**uniform(), "share_prompts": share_prompts},
        mask_truncated_completions=True,
        max_steps=1,
    )
    made = batches(trainer)
    trainer.train()
    rows, part = made[0]

    lengths: dict[str, list[int]] = {"easy": [], "medium": [], "hard": []}
    completions: dict[str, dict[int, set[tuple[int, ...]]]] = {name: {} for name in lengths}
    for i, row in enumerate(rows):
        name, tokens = row.inputs["mtgrpo_task"], row.generation[1].value
        lengths[name].append(len(tokens))
        completions[name].setdefault(row.inputs["mtgrpo_row"], set()).add(tuple(tokens))
        is_cut = tokens[-1] != trainer.processing_class.eos_token_id
        assert int(part["completion_mask"][i].sum()) == (0 if is_cut else len(tokens))

    assert max(lengths["easy"]) == 2
    assert max(lengths["hard"]) == 4
    assert max(lengths["medium"]) == 6
    # Hardly any chance is left: all completions of a prompt are the likeliest one.
    assert all(len(texts) == 1 for texts in completions["medium"].values())
    assert all(len(texts) == 1 for texts in completions["hard"].values())
    assert any(len(texts) > 1 for texts in completions["easy"].values())
    trained = [row.generation[1].value for row in rows if row.inputs["mtgrpo_task"] == "easy"]
    texts = trainer.processing_class.batch_decode(trained, skip_special_tokens=True)
    assert sorted(scored["easy"]) == sorted(texts)  # rewards see what is trained on


def test_evaluations_sample_as_training_does(lab):
    trainer = lab.trainer(
        tasks_with(easy=Generation(max_completion_length=1)), per_device_eval_batch_size=4
    )
    seen = []

    def generated(method, prompts):
        result = method(prompts)
        seen.extend((p, len(ids)) for p, ids in zip(prompts, result[1], strict=True))
        return result

    around(trainer, "_generate", generated)
    trainer.evaluate()
    assert {length for prompt, length in seen if prompt.startswith("easy")} == {1}
    assert max(length for _, length in seen) == 6


def test_settings_equal_to_the_runs_change_nothing(lab):
    own = Generation(temperature=1.0, top_p=1.0, max_completion_length=6)
    trainers = []
    for tasks in (make_tasks(), tasks_with(easy=own, medium=own)):
        trainers.append(lab.trainer(tasks, arguments=uniform(), max_steps=2))
        trainers[-1].train()
    plain, stated = trainers
    assert same_parameters(plain, stated)
    assert history(plain) == history(stated)


def test_vllm_is_called_once_for_each_setting(lab, monkeypatch):
    use_stand_in(monkeypatch)
    trainer = lab.trainer(
        tasks_with(easy=COLD, hard=HOT), arguments=uniform(), use_vllm=True, max_steps=1
    )
    engine = trainer.vllm_generation
    engine.temperature, engine.top_p, engine.max_completion_length = 1.0, 1.0, 6
    calls = []

    def generate(method, prompts, **others):
        names = ("temperature", "top_p", "max_completion_length")
        calls.append((*(getattr(engine, name) for name in names), len(prompts)))
        return FakeVLLM.generate(engine, prompts, **others)

    around(engine, "generate", generate)
    trainer.train()
    assert sorted(call[:3] for call in calls) == [(0.5, 1.0, 6), (1.0, 1.0, 6), (2.0, 1.0, 3)]
    assert sum(call[3] for call in calls) == 32
    assert (engine.temperature, engine.max_completion_length) == (1.0, 6)


# ---- resuming ----------------------------------------------------------------------------------
def test_resume_is_exact(lab):
    def build():
        return lab.trainer(
            tasks_with(easy=COLD, hard=HOT),
            arguments=uniform(),
            num_iterations=2,
            max_steps=3,
            save_strategy="steps",
            save_steps=1,  # in the middle of a generation batch
        )

    whole, resumed = build(), build()
    whole.train()
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-1")
    assert same_parameters(whole, resumed)
    assert history(whole, after=1) == history(resumed, after=1) != []


# ---- what cannot be ----------------------------------------------------------------------------
def test_a_length_beyond_the_runs_is_refused_before_a_model_is_loaded(lab, monkeypatch):
    monkeypatch.setattr(lab, "model", lambda: "no model of this name")
    with pytest.raises(
        ConfigError, match=r"'easy': generation.max_completion_length: 7.* is 6; at"
    ):
        lab.trainer(tasks_with(easy=Generation(max_completion_length=7)))


def test_a_model_whose_logits_are_not_proportional_is_refused(lab, monkeypatch):
    trainer = lab.trainer(max_steps=1)
    assert has_linear_head(trainer.model)
    head = torch.nn.Linear(32, trainer.model.config.vocab_size)
    monkeypatch.setattr(trainer.model, "lm_head", head)
    assert not has_linear_head(trainer.model)
    line = r"^task 'hard': generation.temperature: 0.5; .*not proportional.*; take temperature out"
    with pytest.raises(ConfigError, match=line):  # the task of the temperature, not the first
        trainer.change_tasks(tasks_with(easy=Generation(max_completion_length=3), hard=COLD))
    trainer.change_tasks(tasks_with(easy=Generation(top_p=0.9)))  # needs no scaling


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_is_vlm": True}, "reads images"),
        ({"is_fsdp_enabled": True}, "is sharded"),  # by a launcher, which no argument of TRL shows
        ({"args": SimpleNamespace(n_gpu=2)}, "is replicated within a process"),
    ],
)
def test_a_model_whose_rows_cannot_be_told_apart_is_refused(changes, reason):
    plain = {"_is_vlm": False, "is_fsdp_enabled": False, "is_deepspeed_enabled": False}
    trainer = SimpleNamespace(**{**plain, "args": SimpleNamespace(n_gpu=1), **changes})
    with pytest.raises(ConfigError, match=rf"^task 'easy': generation: top-p 0.9; .*{reason}"):
        TaskGeneration(tasks_with(easy=Generation(top_p=0.9))).check_model(trainer)


def test_tasks_may_change_to_ones_with_settings(lab):
    trainer = lab.trainer(max_steps=1)
    trainer.train()
    trainer.change_tasks(tasks_with(easy=COLD))
    assert trainer.sampling.by_task == {"easy": COLD}
