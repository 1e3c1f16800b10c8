"""The example configurations, composed by hydra over verl's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.utils.config import validate_config
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.import_utils import load_extern_object

from mtgrpo import presets
from mtgrpo.integrations.verl import MultiTaskDataset, MultiTaskReplayBuffer
from mtgrpo.integrations.verl.checks import check_mode, check_training
from mtgrpo.integrations.verl.rows import compute_score
from mtgrpo.integrations.verl.settings import make_mixer, read_settings, resolve_method
from mtgrpo.tasks import build_tasks

EXAMPLES = Path(__file__).parents[2] / "examples" / "verl"
# Published: prompts per step, completions per prompt, prompts per policy update (SPEC of the paper, section 6).
PUBLISHED = {"three_tasks": (32, 72, 8), "nine_tasks": (256, 8, 64)}


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(EXAMPLES), version_base=None):
        return compose(name, ["data.folder=/data", *overrides])


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_numbers(name):
    config = composed(name)
    batch_size, group_size, minibatch = PUBLISHED[name]
    assert config.data.train_batch_size == batch_size
    assert config.actor_rollout_ref.rollout.n == group_size
    actor = config.actor_rollout_ref.actor
    assert actor.ppo_mini_batch_size == minibatch
    assert actor.ppo_epochs == 1
    assert (actor.optim.lr, actor.optim.weight_decay, actor.grad_clip) == (1e-6, 0.01, 1.0)
    assert not actor.use_kl_loss
    assert config.algorithm.adv_estimator == "grpo"
    assert config.algorithm.norm_adv_by_std_in_grpo
    assert (config.data.max_prompt_length, config.data.max_response_length) == (1024, 4096)
    assert (config.trainer.total_training_steps, config.trainer.test_freq) == (720, 10)
    rollout = config.actor_rollout_ref.rollout
    assert (
        rollout.temperature,
        rollout.top_p,
        rollout.val_kwargs.n,
        rollout.val_kwargs.temperature,
    ) == (1, 1, 8, 1)
    assert rollout.val_kwargs.do_sample
    assert config.actor_rollout_ref.model.path == "Qwen/Qwen2.5-3B"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_method_is_the_papers_with_the_improvement_from_rewards(name):
    config = composed(name)
    settings = read_settings(OmegaConf.to_container(config.data.mtgrpo, resolve=True))
    names = build_tasks(OmegaConf.to_container(config.tasks), "tasks").names
    mixer = make_mixer(settings, names, batch_size=config.data.train_batch_size, seed=0)
    preset = presets.get("mt_grpo", variant="paper", setting=name)
    want = preset.sampler
    for key in ("quota_rule", "max_resamples", "group_filter", "shares_from_step"):
        assert getattr(mixer.sampler, key) == getattr(want, key)
    assert vars(mixer.sampler.planner) == vars(want.planner)
    assert mixer.weighting.lam == preset.weighting.lam
    assert mixer.weighting.improvement == "rewards"
    actor = config.actor_rollout_ref.actor
    assert (actor.clip_ratio_low, actor.clip_ratio_high) == preset.clip
    assert len(names) == {"three_tasks": 3, "nine_tasks": 9}[name]


NODES = {"three_tasks": 1, "nine_tasks": 1, "balanced": 1, "balanced_nodes": 4}


@pytest.mark.parametrize("name", NODES)
def test_the_nodes_they_are_for(name):
    config = composed(name)
    assert config.trainer.nnodes == NODES[name]
    is_async = NODES[name] > 1
    assert config.trainer.v1.trainer_mode == ("colocate_async" if is_async else "sync")


def test_nodes_that_train_and_nodes_that_roll_out():
    config = composed("balanced_separate")
    rollout = config.actor_rollout_ref.rollout
    assert (config.trainer.nnodes, rollout.nnodes, rollout.n_gpus_per_node) == (2, 2, 8)
    assert not config.actor_rollout_ref.hybrid_engine
    # What verl's trainer of this mode asserts:
    syncs = config.trainer.v1.separate_async.parameter_sync_step
    minibatch = config.actor_rollout_ref.actor.ppo_mini_batch_size
    assert config.data.train_batch_size == syncs * minibatch
    assert rollout.checkpoint_engine.backend != "naive"


@pytest.mark.parametrize("name", ["balanced", "balanced_nodes", "balanced_separate"])
def test_balanced_is_the_preset_but_for_the_bank(name):
    config = composed(name)
    settings = read_settings(OmegaConf.to_container(config.data.mtgrpo, resolve=True))
    assert resolve_method(settings).as_dict() == presets.get("balanced").as_dict()
    names = build_tasks(OmegaConf.to_container(config.tasks), "tasks").names
    mixer = make_mixer(settings, names, batch_size=config.data.train_batch_size, seed=0)
    assert mixer.sampler.bank.max_staleness == 0
    assert len(names) == (3 if name == "balanced" else 9)


@pytest.mark.parametrize("name", [*NODES, "balanced_separate"])
def test_what_the_buffer_checks_holds(name):
    config = composed(name)
    mode = config.trainer.v1.trainer_mode
    sampler = config.trainer.v1.sampler
    check_mode(mode, config.trainer.v1[mode], sampler.get("sampler_kwargs"))
    settings = read_settings(OmegaConf.to_container(config.data.mtgrpo, resolve=True))
    check_training(config, loss_shares=resolve_method(settings).loss_shares)


@pytest.mark.parametrize("name", [*NODES, "balanced_separate"])
def test_verl_accepts_them_and_loads_our_classes(name):
    config = composed(name)
    validate_config(config, use_reference_policy=False, use_critic=False)
    OmegaConf.resolve(config)
    assert get_dataset_class(config.data) is MultiTaskDataset
    sampler = config.trainer.v1.sampler.custom_sampler
    assert load_extern_object(sampler.path, sampler.name) is MultiTaskReplayBuffer
    reward = config.reward.custom_reward_function
    assert load_extern_object(reward.path, reward.name) is compute_score
    assert reward.reward_kwargs.tasks == "/data"
    assert config.data.train_files == "/data/train.parquet"


def test_a_prompt_reaches_the_model_as_it_is():
    from transformers import AutoTokenizer

    from mtgrpo import tiny

    tokenizer = AutoTokenizer.from_pretrained(tiny.model_path())
    messages = [{"role": "user", "content": "What is {1 + 2}?\nAssistant: Let me"}]
    template = composed("three_tasks").actor_rollout_ref.model.custom_chat_template
    text = tokenizer.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=True, tokenize=False
    )
    assert text == messages[0]["content"]


def test_the_lines_that_docs_show_are_the_examples():
    page = (EXAMPLES.parents[1] / "docs" / "verl.md").read_text(encoding="utf-8")
    block = next(
        b for b in re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL) if "custom_cls" in b
    )
    overrides = [word for word in block.replace("\\\n", " ").split() if "=" in word]
    with initialize_config_dir(str(EXAMPLES), version_base=None):
        config = compose("three_tasks", ["data.folder=/data"])
    with initialize_config_dir(
        str(Path(load_extern_object.__code__.co_filename).parents[1] / "trainer/config"),
        version_base=None,
    ):
        plain = compose("ppo_trainer", [o.strip("'\"") for o in overrides])
    assert plain.data.custom_cls == config.data.custom_cls
    assert plain.trainer.v1.sampler.custom_sampler == config.trainer.v1.sampler.custom_sampler
    assert (plain.data.gen_batch_size, plain.data.dataloader_num_workers) == (1, 0)
    read_settings(OmegaConf.to_container(plain.data.mtgrpo, resolve=True))


def test_the_commands_that_docs_show_change_what_they_say():
    page = (EXAMPLES.parents[1] / "docs" / "verl.md").read_text(encoding="utf-8")
    lines = re.findall(r"run(?:_nodes)?\.sh (\w+)([^#\n]*)", page)
    assert {name for name, _ in lines} == {*NODES, "balanced_separate"}
    changed = [(name, overrides.split()) for name, overrides in lines if overrides.split()]
    assert changed
    for name, overrides in changed:
        section = OmegaConf.to_container(composed(name, *overrides).data.mtgrpo, resolve=True)
        mixer = make_mixer(read_settings(section), ["a", "b"], batch_size=8, seed=0)
        assert (mixer.weighting.lam, mixer.weighting.improvement) == (1.2, "rewards")
