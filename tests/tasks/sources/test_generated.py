import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import GeneratedRows
from mtgrpo.tasks.sources.generated import Cached, check_count


def test_is_a_sequence():
    rows = GeneratedRows(5, lambda i: {"prompt": str(i)})
    assert len(rows) == 5
    assert [row["prompt"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[-1] == {"prompt": "4"}
    assert [row["prompt"] for row in rows[1:4:2]] == ["1", "3"]
    for outside in (5, -6):
        with pytest.raises(IndexError):
            rows[outside]


def test_makes_a_row_when_it_is_looked_at_and_keeps_the_last():
    made: list[int] = []
    rows = GeneratedRows(1_000_000, lambda i: made.append(i) or {"prompt": str(i)}, cache_size=2)
    assert made == []
    for i in (3, 3, 4, 3, 5, 3, 4):
        rows[i]
    assert made == [3, 4, 5, 4]  # 4 was the one used longest ago when 5 came


def test_cached_counts_keys_apart():
    double = Cached(lambda i: 2 * i, 10)
    assert [double(i) for i in (1, 2, 1)] == [2, 4, 2]


@pytest.mark.parametrize("bad", [-1, 1.5, "3", None, True])
def test_counts_are_whole(bad: object):
    with pytest.raises(TaskError, match="whole number"):
        check_count("num_train", bad)
