"""What the asynchronous trainer hands to TRL's."""

import pytest

pytest.importorskip("trl")

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
    handed = made(monkeypatch, tmp_path, method, **stated)
    assert (handed["args"].epsilon, handed["args"].epsilon_high) == clip


def made(monkeypatch: pytest.MonkeyPatch, tmp_path, method, **stated):
    """What a trainer hands to TRL's constructor, which is not called."""
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

    MultiTaskAsyncGRPOTrainer("a-model", make_tasks(), args, method=method)
    return handed
