"""What `VerifiersRollouts` refuses. Episodes are played in tests/vllm/test_server.py."""

from types import SimpleNamespace

import pytest

from mtgrpo.errors import ConfigError, RewardError
from mtgrpo.integrations.trl import verifiers_rollouts
from mtgrpo.integrations.trl.verifiers_rollouts import VerifiersRollouts

SERVER = {"use_vllm": True, "vllm_mode": "server", "top_k": 0, "min_p": None}


@pytest.fixture
def rollouts(monkeypatch):
    monkeypatch.setattr(verifiers_rollouts, "import_verifiers", lambda where: None)
    rows = [SimpleNamespace(data=SimpleNamespace(prompt_text=f"{i}+1=")) for i in range(4)]
    return VerifiersRollouts({"sums": SimpleNamespace(taskset=rows)}, "model")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"use_vllm": False}, "use_vllm=True, vllm_mode='server' are needed"),
        ({"vllm_mode": "colocate"}, "use_vllm=True, vllm_mode='server' are needed"),
        ({"top_k": 20}, "top_k=20; episodes are sampled with temperature, top_p and"),
    ],
)
def test_where_no_episode_can_be_played_a_line_says_so(rollouts, changes, line) -> None:
    args = SimpleNamespace(**{**SERVER, **changes})
    with pytest.raises(ConfigError, match=f"^VerifiersRollouts: .*{line}") as caught:
        rollouts(["a prompt"], SimpleNamespace(args=args))
    assert "\n" not in str(caught.value)


def test_its_tasks_without_its_rollouts_are_refused(rollouts) -> None:
    """As in a trainer that was given none, or takes none: the asynchronous one."""
    (task,) = rollouts.tasks(num_train=4, correct_at=1.0)
    with pytest.raises(
        RewardError, match=r"no episode was played; .* rollout_func=rollouts"
    ) as caught:
        task.score([task.train[0]], ["a completion"])
    assert "\n" not in str(caught.value)
