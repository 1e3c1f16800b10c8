"""What the asynchronous trainer hands to TRL's."""

import pytest

pytest.importorskip("trl")

from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer

from mtgrpo import Method
from mtgrpo.errors import ConfigError

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


def test_presets_and_the_default_go_without_their_prompt_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog
):
    trainer, _ = made(monkeypatch, tmp_path, None)
    assert trainer.method.name == "grpo_fair"
    assert not trainer.method.prompt_memory
    assert not caplog.messages

    trainer, _ = made(monkeypatch, tmp_path, "grpo_fair")
    assert not trainer.method.prompt_memory
    assert "preset 'grpo_fair' without its prompt memory" in caplog.text

    with pytest.raises(ConfigError, match="set prompt_memory=False"):
        made(monkeypatch, tmp_path, Method(prompt_memory=True))


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
