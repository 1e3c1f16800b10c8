"""What the asynchronous trainer hands to TRL's."""

import pytest

pytest.importorskip("trl")
pytest.importorskip("trl.experimental.async_grpo", reason="older TRLs need aiohttp to import it")

from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from mtgrpo import Method

from ..trl.toy import make_tasks
from .test_seam import installed_has_it

pytestmark = pytest.mark.skipif(
    not installed_has_it(), reason="written for another TRL than the installed one"
)


@pytest.mark.parametrize(
    ("method", "stated", "clip"),
    [
        (Method(clip=(0.2, 0.28)), {}, (0.2, 0.28)),
        (Method(clip=(0.2, 0.28)), {"epsilon": 0.1}, (0.1, None)),
        (None, {}, (0.2, None)),
    ],
)
def test_the_clip_is_the_methods_where_arguments_leave_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path, method, stated, clip
):
    _, handed = made(monkeypatch, tmp_path, method, **stated)
    assert (handed["args"].epsilon, handed["args"].epsilon_high) == clip


def test_each_training_has_names_of_its_own_for_its_adapters(monkeypatch, tmp_path):
    """vLLM refuses a name that it has, and a server outlives a training that is cut off."""
    trainer, _ = made(monkeypatch, tmp_path, None)
    monkeypatch.setattr(
        AsyncGRPOTrainer, "_load_optimizer_and_scheduler", lambda self, checkpoint: None
    )
    names = set()
    for _ in range(2):
        trainer._load_optimizer_and_scheduler(None)
        names.add(trainer._lora_name)
    assert len(names) == 2


def made(monkeypatch: pytest.MonkeyPatch, tmp_path, method, **stated):
    """A trainer, and what it hands to TRL's constructor, which is not called."""
    from mtgrpo.integrations.trl_async.trainer import MultiTaskAsyncGRPOTrainer

    handed = {}
    monkeypatch.setattr(
        AsyncGRPOTrainer, "__init__", lambda self, model, **given: handed.update(given)
    )
    args = AsyncGRPOConfig(
        str(tmp_path),
        max_steps=1,
        num_generations=2,
        per_device_train_batch_size=4,
        report_to="none",
        use_cpu=True,
        bf16=False,
        **stated,
    )

    trainer = MultiTaskAsyncGRPOTrainer("a-model", make_tasks(), args, method=method)
    return trainer, handed
