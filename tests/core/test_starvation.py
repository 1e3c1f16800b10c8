import pytest

from mtgrpo.core.starvation import StarvationWatch
from mtgrpo.errors import ConfigError


def test_a_task_starves_from_so_many_lost_prompts_in_a_row_on_and_says_so_once():
    watch = StarvationWatch(["a", "b"], patience=3)
    assert [watch.given_up("a") for _ in range(4)] == [False, False, True, False]
    assert watch.starving == ["a"]


def test_one_group_that_comes_back_ends_it():
    watch = StarvationWatch(["a", "b"], patience=2)
    watch.given_up("a")
    watch.came_back("a")
    assert not watch.given_up("a")
    watch.given_up("a")
    watch.came_back("a")
    assert watch.starving == []


def test_a_patience_below_one_is_refused():
    with pytest.raises(ConfigError, match="patience=0"):
        StarvationWatch(["a"], patience=0)
