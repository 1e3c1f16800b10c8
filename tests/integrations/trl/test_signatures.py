"""The methods of TRL and transformers that are overridden or relied on: a change upstream must be noticed here."""

import inspect

import pytest
from transformers import Trainer
from trl import GRPOTrainer

from mtgrpo.integrations.trl import MultiTaskGRPOTrainer

EXPECTED = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_generate": ["self", "prompts"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "compute_loss": ["self", "model", "inputs", "return_outputs", "num_items_in_batch"],
    "prediction_step": ["self", "model", "inputs", "prediction_loss_only", "ignore_keys"],
    "evaluate": ["self", "eval_dataset", "ignore_keys", "metric_key_prefix"],
    "evaluation_loop": [
        "self",
        "dataloader",
        "description",
        "prediction_loss_only",
        "ignore_keys",
        "metric_key_prefix",
    ],
    "_get_eval_sampler": ["self", "eval_dataset"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
    "_load_from_checkpoint": ["self", "resume_from_checkpoint", "model"],
    "_load_best_model": ["self"],
    "_prepare_inputs": ["self", "generation_batch"],
    "_get_output_dir": ["self", "trial"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_signature(name):
    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == EXPECTED[name]


def test_log_probs_signature():
    parameters = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert parameters[:5] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]
    assert "compute_entropy" in parameters


def test_generation_signature():
    assert list(inspect.signature(GRPOTrainer._generate_single_turn).parameters)[:2] == [
        "self",
        "prompt_ids",
    ]


def test_every_override_is_pinned():
    ours = [cls for cls in MultiTaskGRPOTrainer.__mro__ if cls.__module__.startswith("mtgrpo")]
    overridden = {
        name
        for cls in ours
        for name in vars(cls)
        if hasattr(GRPOTrainer, name) and inspect.isfunction(vars(cls)[name])
    }
    elsewhere = {"_get_per_token_logps_and_entropies", "_generate_single_turn"}
    assert overridden - {"__init__"} <= {*EXPECTED, *elsewhere}


def test_constructor_arguments_are_all_offered():
    theirs = set(inspect.signature(GRPOTrainer.__init__).parameters) - {"reward_processing_classes"}
    assert theirs <= set(inspect.signature(MultiTaskGRPOTrainer.__init__).parameters)


def test_loop_calls_the_hooks_in_the_order_relied_on():
    source = inspect.getsource(
        Trainer._run_epoch if hasattr(Trainer, "_run_epoch") else Trainer._inner_training_loop
    )
    assert (
        source.index("self.optimizer.step()")
        < source.index("on_step_end")
        < source.index("_maybe_log_save_evaluate")
    )
    source = inspect.getsource(Trainer._maybe_log_save_evaluate)
    assert source.index("self.log(") < source.index("self._save_checkpoint(")
