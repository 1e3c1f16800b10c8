"""What of verl's configuration cannot work, said before anything is rolled out."""

from __future__ import annotations

from typing import Any

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.verl.settings import WHERE

MODES = ("sync", "colocate_async", "separate_async")
ESTIMATOR = "mtgrpo"  # the name under which verl finds our advantages


def check_mode(trainer_mode: str, section: Any, sampler_kwargs: Any) -> None:
    """Refuse modes in which a step is not one batch, and arguments that would be ignored.

    Args:
        trainer_mode: verl's ``trainer.v1.trainer_mode``.
        section: The section of that mode.
        sampler_kwargs: verl's ``trainer.v1.sampler.sampler_kwargs``.

    Raises:
        ConfigError: One of them.
    """
    if trainer_mode not in MODES:
        raise ConfigError(
            f"trainer.v1.trainer_mode={trainer_mode}; MultiTaskReplayBuffer works with: "
            f"{', '.join(MODES)}"
        )
    if sampler_kwargs:
        raise ConfigError(
            f"trainer.v1.sampler.sampler_kwargs={sampler_kwargs}; settings belong into {WHERE}"
        )
    if trainer_mode != "separate_async":
        return

    where = "trainer.v1.separate_async"
    syncs = section.get("parameter_sync_step", 1)
    if syncs != 1:
        raise ConfigError(
            f"{where}.parameter_sync_step={syncs} cuts a step into so many batches, but shares "
            "hold for one; set it to 1, and data.train_batch_size to "
            "actor_rollout_ref.actor.ppo_mini_batch_size"
        )
    if (section.get("hybrid_rollout") or {}).get("enable_switch"):
        raise ConfigError(
            f"{where}.hybrid_rollout.enable_switch=True waits for any groups, whatever their "
            "tasks; set it to False"
        )


def check_training(config: Any, *, loss_shares: bool) -> None:
    """Refuse settings under which batches would not be the mixer's.

    Args:
        config: verl's whole configuration.
        loss_shares: Whether the method makes the tasks' shares in the loss.

    Raises:
        ConfigError: One of them.
    """
    reward_model = config.reward.reward_model
    if reward_model.enable and not reward_model.enable_resource_pool:
        raise ConfigError(
            "reward.reward_model: colocated, so rewards come after sampling, but the mixer needs "
            "them before; use rule rewards, or set "
            "reward.reward_model.enable_resource_pool=True"
        )
    if config.algorithm.filter_groups.enable:
        raise ConfigError(
            "algorithm.filter_groups.enable=True would be ignored, as the mixer filters groups; "
            f"set it to False and choose {WHERE}.sampler.group_filter"
        )
    if loss_shares:
        _check_loss_shares(config.algorithm)


def _check_loss_shares(algorithm: Any) -> None:
    if algorithm.adv_estimator != ESTIMATOR:
        raise ConfigError(
            f"algorithm.adv_estimator={algorithm.adv_estimator}; the method makes the tasks' "
            f"shares in the loss, which takes algorithm.adv_estimator={ESTIMATOR} (verl's grpo "
            f"times a factor for each task); or set {WHERE}.loss_shares=false"
        )

    correction = algorithm.get("rollout_correction") or {}
    rejection = correction.get("rollout_rs")
    if rejection is not None:
        raise ConfigError(
            f"algorithm.rollout_correction.rollout_rs={rejection} drops rows after the tasks' "
            f"shares of the loss are set; set it to null, or {WHERE}.loss_shares=false"
        )
