"""The generators: the same every time, disjoint, right, and as hard to guess as they say."""

import hashlib
import itertools
import json
import subprocess
import sys

import pytest

from mtgrpo.errors import ConfigError
from mtgrpo.tasks import TaskSet, check_task
from mtgrpo.tasks.tiny import arc, countdown, zebra
from mtgrpo.tasks.tiny.catalogue import problem
from mtgrpo.tasks.tiny.problem import split_of
from mtgrpo.tiny import FAMILIES, LEVELS, tiny_task, tiny_tasks
from mtgrpo.tiny.corruption import clean_share, demonstration

NINE = [(family, level) for family in FAMILIES for level in LEVELS]
FIRST = {
    ("countdown", "medium"): "countdown:9,9,4,7=20?",
    ("zebra", "medium"): "zebra:ant=Cid;bee=Dot;cat=3;cat!Cid;dog=Ann;dog!Dot;cat?",
    ("arc", "medium"): "arc:..b..yy>..g..yy;rrr.ggg>?",
}


@pytest.mark.parametrize(("where", "prompt"), FIRST.items())
def test_a_problem_is_fixed_by_its_seed_and_index(where, prompt):
    assert problem(*where, "train", 0, 0).prompt == prompt


def test_rows_are_those_the_model_was_made_for():
    """The embedded model, its profile and the recorded studies belong to exactly these rows."""
    rows = [
        [list(task.train), list(task.test)]
        for task in [*tiny_tasks(num_train=60, num_test=30), *tiny_tasks(num_train=20, seed=7)]
    ]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert digest == "e09c1a691659ac58b38646701a2fcf16facf5a8517631fa169f1b3511c7f1e9f"


@pytest.mark.parametrize(("family", "level"), NINE)
def test_rows_do_not_depend_on_the_order_they_are_read_in(family, level):
    one, two = tiny_task(family, level, num_train=50), tiny_task(family, level, num_train=50)
    assert [two.train[i] for i in reversed(range(50))] == list(one.train)[::-1]
    assert list(tiny_task(family, level, num_train=50, seed=1).train) != list(one.train)
    assert one.train[-1] == one.train[49]
    assert list(one.train[10:12]) == [one.train[10], one.train[11]]
    with pytest.raises(IndexError):
        one.train[50]


@pytest.mark.parametrize(("family", "level"), NINE)
def test_train_and_test_are_disjoint_for_every_pair_of_seeds(family, level):
    train = {problem(family, level, "train", seed, i).key for seed in (0, 7) for i in range(150)}
    test = {problem(family, level, "test", seed, i).key for seed in (0, 7) for i in range(150)}
    assert not train & test
    assert all(split_of(key) == "test" for key in test)


@pytest.mark.parametrize(("family", "level"), NINE)
def test_the_oracle_is_right_and_other_answers_are_graded(family, level):
    task = tiny_task(family, level, num_train=100, num_test=100)
    for rows in (task.train, task.test):
        assert [s.reward for s in task.score(rows, [task.oracle(row) for row in rows])] == [
            1.0
        ] * 100
    row = task.test[0]
    assert task.score([row], [r"\boxed{?}"])[0] == (0.1, 0.0)
    assert task.score([row], [row["answer"]])[0] == (0.0, 0.0)
    assert check_task(task) == []


def test_names_and_fields():
    tasks = TaskSet(*tiny_tasks(num_train=20, num_test=20))
    assert tasks.names[:4] == ("countdown-easy", "zebra-easy", "arc-easy", "countdown-medium")
    assert tasks["zebra-hard"].floor == pytest.approx(1 / 5)
    assert (tasks["arc-medium"].family, tasks["arc-medium"].level) == ("arc", "medium")
    tasks.check_disjoint()
    assert [task.name for task in tiny_tasks(["arc"], ["hard"])] == ["arc-hard"]


def test_wrong_names_and_numbers_say_what_is_allowed():
    with pytest.raises(ConfigError, match="did you mean 'zebra'"):
        tiny_task("zebr", "easy")
    with pytest.raises(ConfigError, match="easy, hard, medium"):
        tiny_task("zebra", "fiendish")
    with pytest.raises(ConfigError, match="num_test=-1"):
        tiny_task("zebra", "easy", num_test=-1)


@pytest.mark.parametrize("level", LEVELS)
def test_zebra_clues_leave_one_answer(level):
    """Every world is tried, by other code than the generator's."""
    size = zebra.SIZES[level]
    houses = [str(house) for house in range(1, size + 1)]
    for index in range(5 if level == "hard" else 40):
        made = problem("zebra", level, "train", 3, index)
        *clues, query = made.prompt.removeprefix("zebra:").removesuffix("?").split(";")
        assert len(clues) == zebra.CLUES[level]
        answers = set()
        for homes, dens in itertools.product(itertools.permutations(houses), repeat=2):
            place = dict(
                zip(
                    houses + list(zebra.PEOPLE[:size] + zebra.ANIMALS[:size]),
                    houses + list(homes + dens),
                    strict=True,
                )
            )
            if all(_holds(clue, place) for clue in clues):
                answers.add(next(who for who in zebra.PEOPLE[:size] if place[who] == place[query]))
        assert answers == {made.answer}


def _holds(clue, place):
    sign = "=" if "=" in clue else "!"
    first, second = (place[thing] for thing in clue.split(sign))
    return (first == second) == (sign == "=")


def test_arc_rules_by_hand():
    assert arc.shift("rg...", 1) == ".rg.."
    assert arc.shift("rg...", -1) == "g...r"
    assert arc.gravity("r..g.", right=True) == "...rg"
    assert arc.gravity("r..g.", right=False) == "rg..."
    assert arc.mirror("rg...") == "...gr"
    assert arc.fill(".r..g") == ".rrrg"
    assert arc.hollow("rrgg.") == "r..g."
    assert arc.denoise("rr.gb") == "rr..."
    assert arc.recolour("r.g..", "b") == "b.b.."
    assert arc.swap("rgb..", "rb") == "bgr.."
    assert arc.fill(".....") == "....."


@pytest.mark.parametrize("level", LEVELS)
def test_arc_answers_are_the_only_ones_and_never_a_copy(level):
    for index in range(200):
        made = problem("arc", level, "train", 5, index)
        shown, seen, asked = (
            made.prompt.removeprefix("arc:").removesuffix(">?").replace(";", ">").split(">")
        )
        answers = {rule(asked) for rule in arc.RULES.values() if rule(shown) == seen}
        assert answers == {made.answer}
        assert len(asked) == arc.LENGTHS[level]
        assert made.answer != asked


@pytest.mark.parametrize("level", LEVELS)
def test_countdown_numbers_are_in_range(level):
    for index in range(100):
        made = problem("countdown", level, "train", 5, index)
        assert len(made.numbers) == countdown.NUMBERS[level]
        assert max(made.numbers) <= countdown.LARGEST_NUMBER
        assert 1 <= made.target <= countdown.LARGEST_TARGET


@pytest.mark.parametrize(("family", "level"), NINE)
def test_demonstrations_are_right_about_as_often_as_stated(family, level):
    import random

    task = tiny_task(family, level, num_train=600)
    made = [problem(family, level, "train", 0, i) for i in range(600)]
    texts = [demonstration(family, level, p, random.Random(i)) for i, p in enumerate(made)]
    right = sum(s.accuracy for s in task.score(list(task.train), texts)) / 600
    stated = sum(clean_share(family, level, p.kind) for p in made) / 600
    assert stated - 0.07 < right < stated + 0.13  # a corruption can happen to be right as well


def test_importing_the_tasks_loads_no_torch():
    code = "import sys, mtgrpo.tiny as t; t.tiny_task('arc', 'easy').train[0]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
