"""The limit on dropped groups, over a window, with its state."""

import pytest

from mtgrpo.errors import RewardError
from mtgrpo.tasks import Scoring
from mtgrpo.tasks.scoring.drop_limit import WINDOW, DropLimit


def test_the_share_of_dropped_groups_is_limited_over_the_last_hundred():
    limit = DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.03), "b": Scoring()})
    limit.observe([("b", True)] * 50, str)  # its policy is not to drop: nothing to watch
    limit.observe(
        [("a", False)] * 500 + [("a", True)] * 3 + [("a", False)] * WINDOW + [("a", True)] * 3, str
    )
    saved = limit.state_dict()
    with pytest.raises(
        RewardError, match=r"task 'a': 4 of its last 100 .*allows 3 of 100.*last: why a"
    ):
        limit.observe([("a", True)], lambda name: f"why {name}")
    again = DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.03)})
    again.load_state_dict(saved)
    again.observe([("a", False)] * (WINDOW - 3) + [("a", True)], str)
    with pytest.raises(RewardError):
        again.observe([("a", True)] * 3, str)


def test_no_failure_is_allowed_at_rate_zero():
    with pytest.raises(RewardError, match="1 of its last 1 group could"):
        DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.0)}).observe([("a", True)], str)


def test_rounding_does_not_end_a_run():
    limit = DropLimit({"a": Scoring(on_error="drop", max_dropped_rate=0.29)})
    limit.observe([("a", True)] * 29 + [("a", False)] * 71, str)  # 0.29 * 100 < 29
    with pytest.raises(RewardError, match="allows 29 of 100"):
        limit.observe([("a", False)] * 29 + [("a", True)] * 30, str)
