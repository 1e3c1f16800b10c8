"""Log-probabilities of earlier policies without a model: computed, put in place, filled in."""

from types import SimpleNamespace

import torch

from mtgrpo import RatioPreservingSampler, Uniform
from mtgrpo.core.method import Method
from mtgrpo.core.planners import OversampledRounds
from mtgrpo.integrations.trl.banked import BankedGroups
from mtgrpo.integrations.trl.old_log_probs import OLD, completion_log_probs, with_recorded
from mtgrpo.integrations.trl.rollouts import RecordedRow, split_generation

from .engine import Dice, Processes, make_step
from .toy import make_tasks

NAN = float("nan")


def banking_step(max_staleness: int = 2, **others):
    planner = OversampledRounds(oversampling=1.5, max_inflation=1)
    sampler = RatioPreservingSampler(max_staleness=max_staleness, planner=planner)
    return make_step(Dice(make_tasks()), Method(Uniform(), sampler), **others)


def test_surplus_groups_are_asked_for_their_log_probabilities_only_if_they_are_kept():
    for staleness in (2, 0):
        step = banking_step(staleness)
        step.choose_groups()
        surplus = step.mixer.batch.surplus
        assert surplus
        rows = [row for group in surplus for row in group.payload]
        if staleness:
            assert step.engine.asked == [len(rows)]
            assert [float(row.old_log_probs[0]) for row in rows] == list(range(len(rows)))
        else:
            assert step.engine.asked == []
            assert all(row.old_log_probs is None for row in rows)


def test_owners_of_waiting_groups_alone_are_remembered():
    step = banking_step()
    for _ in range(3):
        step.choose_groups()
        step.end_policy_update()
    waiting = {group.uid for group in step.banked.waiting()}
    assert waiting
    step.banked.begin_step()
    assert step.banked.owners.keys() == waiting
    assert step.banked.state_dict() == {"bank_owners": [[uid, 0] for uid in step.banked.owners]}


def rows_of(*lengths: int) -> list[RecordedRow]:
    prompts = [[9] * (i + 1) for i in range(len(lengths))]
    completions = [list(range(1, n + 1)) for n in lengths]
    return [
        RecordedRow({}, generation, ())
        for generation in split_generation((prompts, completions), len(lengths))
    ]


def test_rows_are_padded_as_trl_pads_them_and_cut_again():
    seen = {}

    def forward(model, ids, mask, num_completion, batch_size):
        seen.update(ids=ids.tolist(), mask=mask.tolist(), batch_size=batch_size)
        return -ids[:, -num_completion:].float(), None, None

    model = SimpleNamespace(is_gradient_checkpointing=False)
    trainer = SimpleNamespace(
        accelerator=Processes(),
        model=model,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, per_device_train_batch_size=7),
        _get_per_token_logps_and_entropies=forward,
    )
    short, long = completion_log_probs(rows_of(1, 3), trainer)
    assert seen == {
        "ids": [[0, 9, 1, 0, 0], [9, 9, 1, 2, 3]],
        "mask": [[0, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
        "batch_size": 7,
    }
    assert (short.tolist(), long.tolist()) == ([-1], [-1, -2, -3])


def test_recorded_rows_get_theirs_and_fresh_ones_nan_where_trl_has_none():
    output = {"completion_ids": torch.ones(2, 3, dtype=torch.int64)}
    assert OLD not in with_recorded(dict(output), [None, None])
    old = with_recorded(dict(output), [None, torch.tensor([-1.0, -2.0])])[OLD]
    assert old[0].isnan().all()
    assert old[1].tolist() == [-1, -2, 0]

    mine = torch.full((2, 3), -5.0)
    old = with_recorded({**output, OLD: mine}, [None, torch.tensor([-1.0, -2.0])])[OLD]
    assert old.tolist() == [[-5, -5, -5], [-1, -2, 0]]
    assert (mine == -5).all(), "TRL's own tensor was changed"


def banked() -> BankedGroups:
    return banking_step().banked


def test_fresh_rows_have_the_ratio_one():
    part = banked()
    inputs = {OLD: torch.tensor([[NAN, NAN], [-1.0, -2.0]])}
    now = torch.tensor([[-3.0, -4.0], [-5.0, -6.0]], requires_grad=True)
    with part.ratios(inputs) as filled:
        part.fill(now)
        assert filled[OLD].tolist() == [[-3, -4], [-1, -2]]
        assert not filled[OLD].requires_grad
    assert inputs[OLD][0].isnan().all(), "the buffered batch was changed"

    part.fill(now)  # outside nothing happens
    with part.ratios({"advantages": 1}) as same:
        assert same == {"advantages": 1}


def test_vllm_is_compared_with_the_policy_it_sampled_from_once():
    part = banked()
    now = torch.tensor([[-3.0, -4.0], [-5.0, -6.0]])
    rows = [RecordedRow({}, (), ()), RecordedRow({}, (), (), old_log_probs=torch.tensor([-1.0]))]
    assert part.of_the_sampler(now) is now
    with part.recorded(rows) as recorded:
        assert recorded[0] is None
        assert part.of_the_sampler(now).tolist() == [[-3, -4], [-1, 0]]
        assert part.of_the_sampler(now) is now
