import json
import tracemalloc

import numpy as np
import pytest

from mtgrpo.core.prompts import PromptStream
from mtgrpo.errors import ConfigError, StateError

SIZES = [1, 2, 3, 4, 5, 64, 65, 1000, 10_007]


@pytest.mark.parametrize("size", SIZES)
def test_every_epoch_is_a_permutation(size):
    stream = PromptStream("task", size)
    for _ in range(3):
        assert sorted(stream.draw_rows(size)) == list(range(size))


@pytest.mark.parametrize("size", SIZES)
def test_epochs_follow_without_a_gap(size):
    whole = PromptStream("task", size).draw_rows(2 * size + 7)
    stream, pieces, rng = PromptStream("task", size), list[int](), np.random.default_rng(0)
    while len(pieces) < 2 * size + 7:
        pieces += stream.draw_rows(int(rng.integers(0, 40)))
    assert pieces[: len(whole)] == whole


def test_epochs_seeds_and_tasks_differ():
    stream = PromptStream("task", 1000, seed=1)
    orders = [stream.draw_rows(1000), stream.draw_rows(1000)]
    orders.append(PromptStream("other", 1000, seed=1).draw_rows(1000))
    orders.append(PromptStream("task", 1000, seed=2).draw_rows(1000))
    for i, order in enumerate(orders):
        assert order != sorted(order)
        for other in orders[:i]:
            # Two random permutations of 1000 agree in one place on average.
            assert sum(a == b for a, b in zip(order, other, strict=True)) < 10


def test_the_order_is_pinned():
    # A changed order would change every resumed run: it is part of what a seed means.
    assert PromptStream("countdown", 10, seed=0).draw_rows(20) == (
        [0, 9, 7, 1, 8, 3, 5, 6, 4, 2, 9, 6, 0, 1, 8, 5, 2, 3, 7, 4]
    )


@pytest.mark.parametrize("size", [2, 3, 5, 10, 100])
def test_every_index_is_everywhere_equally_often(size):
    epochs = 3000
    stream = PromptStream("task", size, seed=7)
    orders = np.array([stream.draw_rows(size) for _ in range(epochs)])
    expected = epochs / size
    for position in (0, size // 2, size - 1):
        counts = np.bincount(orders[:, position], minlength=size)
        chi_squared = float(((counts - expected) ** 2 / expected).sum())
        assert chi_squared < (size - 1) + 6 * np.sqrt(
            2 * (size - 1)
        )  # mean and deviation of a chi-squared
    if size == 3:  # all six orders, not only their margins
        _, counts = np.unique(orders, axis=0, return_counts=True)
        assert len(counts) == 6
        assert counts.min() > 0.8 * epochs / 6
    if size > 3:  # neighbours in one epoch are unrelated
        steps = np.diff(orders, axis=1) % size
        counts = np.bincount(steps.ravel(), minlength=size)[1:]
        assert counts.min() > 0.8 * counts.mean()


def test_a_hundred_million_prompts_cost_nothing():
    tracemalloc.start()
    drawn = PromptStream("big", 10**8, seed=3).draw_rows(2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(drawn)) == 2000
    assert 0 <= min(drawn) < 10**6 < 99 * 10**6 < max(drawn) < 10**8
    assert np.mean(drawn) == pytest.approx(5e7, rel=0.05)
    assert peak < 10**6
    assert len(set(PromptStream("huge", 2**70).draw_rows(100))) == 100


@pytest.mark.parametrize("remember", [False, True])
def test_draws_that_are_put_back_come_again(remember):
    def begin():
        stream = PromptStream("task", 20, seed=5, remember=remember)
        for _ in range(
            60
        ):  # constant groups again and again: some prompts are passed over from now on
            draw = stream.draw(1)[0]
            if stream.memory is not None:
                stream.memory.note(draw, 0.0, draw.row < 4)
        return stream

    whole = begin().draw(30)
    assert any(draw.num_skipped for draw in whole) == remember
    stream = begin()
    stream.draw(7)
    stream.put_back(stream.draw(9))
    assert stream.draw(23) == whole[7:]


def test_state_through_json():
    stream = PromptStream("task", 64, seed=5)
    stream.draw_rows(100)
    resumed = PromptStream("task", 64, seed=5)
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert resumed.draw_rows(100) == stream.draw_rows(100)


@pytest.mark.parametrize(
    ("name", "size", "seed"), [("other", 64, 5), ("task", 65, 5), ("task", 64, 6)]
)
def test_state_of_another_stream_is_refused(name, size, seed):
    with pytest.raises(StateError, match="resume with the same rows and seed"):
        PromptStream("task", 64, 5).load_state_dict(PromptStream(name, size, seed).state_dict())


def test_no_prompts_are_refused():
    with pytest.raises(ConfigError, match="task 'empty': 0 training prompts"):
        PromptStream("empty", 0)


@pytest.mark.parametrize(("size", "epoch", "place"), [(20, 2, 3), (5, 2, 3), (3, 3, 0)])
def test_a_resized_stream_goes_on_at_its_place(size: int, epoch: int, place: int) -> None:
    stream, other = PromptStream("a", 10, seed=1), PromptStream("a", size, seed=1)
    stream.draw(23)
    stream.resize(size)
    assert stream.size == size

    other.draw(epoch * size + place)
    assert stream.state_dict() == other.state_dict()
    assert stream.draw_rows(3 * size) == other.draw_rows(3 * size)


def test_a_stream_of_the_same_size_is_left_alone() -> None:
    stream = PromptStream("a", 10, remember=True)
    stream.draw(13)
    before = stream.state_dict()
    stream.resize(10)
    assert stream.state_dict() == before
    with pytest.raises(ConfigError, match="0 training prompts"):
        stream.resize(0)
