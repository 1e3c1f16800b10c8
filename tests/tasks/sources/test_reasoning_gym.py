import decimal
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mtgrpo.errors import TaskError
from mtgrpo.tasks import check_task, reasoning_gym_task
from mtgrpo.tasks.sources.reasoning_gym import Source, dataset_names, dataset_parameters

pytest.importorskip("reasoning_gym")

# Upstream (0.1.25) brings no right answer for these, so there is nothing to score as one.
WITHOUT_ORACLE = {"boxnet", "rush_hour"}
COMPOSITE = {"datasets": [{"name": "countdown", "weight": 1.0, "config": {}}]}


def countdown(**options: Any):
    sizes = {"min_numbers": 3, "max_numbers": 3, "num_train": 30, "num_test": 10}
    return reasoning_gym_task("countdown", **(sizes | options))


def test_rows_are_a_function_of_seed_and_index():
    assert [dict(r) for r in countdown().train] == [dict(r) for r in countdown().train]
    assert countdown().test[3]["prompt"] != countdown(seed=1).test[3]["prompt"]
    # reasoning-gym's own seeds 0 and 1 would share all rows but one.
    prompts = [{row["prompt"] for row in countdown(seed=seed).train} for seed in (0, 1)]
    assert not prompts[0] & prompts[1]


def test_check_task_is_content():
    assert check_task(countdown(), num_rows=5) == []


def test_partial_reward_is_passed_on_and_no_answer_is_worth_nothing():
    task = countdown()
    row = task.test[0]
    assert task.score([row] * 2, ["", "no idea"]) == [(0.0, 0.0)] * 2
    task = reasoning_gym_task("sentence_reordering", num_train=1, num_test=1)
    (score,) = task.score([task.test[0]], ["<answer>what is this</answer>"])
    assert 0.0 < score.reward < 1.0
    assert score.accuracy == 0.0


def test_template_and_chat():
    task = countdown(template="Q: {question} A {brace}:", chat=True)
    (message,) = task.test[0]["prompt"]
    assert message["role"] == "user"
    assert message["content"].startswith("Q: ")
    assert message["content"].endswith("A {brace}:")
    with pytest.raises(TaskError, match=r"template has no \{question\}"):
        countdown(template="Q")


def test_no_test_prompt_is_trained_on():
    """A family of few prompts: every collision is re-drawn, and the same way each time."""

    def row_of(entry: Any, index: int) -> dict[str, Any]:
        return {"prompt": str(int(entry["answer"]) % 50), "index": index}

    def source() -> Source:
        return Source("chain_sum", 0, 200, 20, row_of, {})

    first, second = source(), source()
    rows = list(first.train)
    assert not {row["prompt"] for row in rows} & {row["prompt"] for row in first.test}
    assert sum(row["index"] >= 220 for row in rows) > 20  # the re-drawn ones
    assert rows == [second.train[i] for i in reversed(range(200))][::-1]


def test_a_dataset_with_too_few_prompts_says_so():
    source = Source("coin_flip", 0, 5, 5, lambda entry, i: {"prompt": "always the same"}, {})
    with pytest.raises(
        TaskError, match=r"train row 0 all gave prompts of the test split.*num_test"
    ):
        source.train[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("countdwn", {}),
            r"unknown dataset 'countdwn' \(did you mean 'countdown'\?\).*106 in all",
        ),
        (
            ("countdown", {"min_number": 3}),
            r"unknown parameter 'min_number' \(did you mean 'min_numbers'\?\); allowed: max",
        ),
        (("countdown", {"size": 3}), "num_train and num_test"),
        (("countdown", {"min_numbers": 9}), "refuses min_numbers=9: max_numbers must be >="),
        (("countdown", {"min_numbers": "x"}), "refuses min_numbers='x'"),
        (("composite", {}), "refuses its defaults"),
        (("countdown", {"num_train": -1}), "num_train: found -1"),
        (("countdown", {"seed": "a"}), "seed: found 'a'"),
        (("countdown", {"num_train": 0, "num_test": 0}), "no rows"),
    ],
)
def test_mistakes_are_one_clear_line(arguments: tuple[str, dict[str, Any]], message: str):
    dataset, options = arguments
    with pytest.raises(TaskError, match=message) as caught:
        reasoning_gym_task(dataset, **options)
    assert "\n" not in str(caught.value)


def test_parameters_are_listed_with_defaults():
    assert dataset_parameters("zebra_puzzles") == {"num_people": 4, "num_characteristics": 4}


def test_the_precision_of_decimals_is_left_alone():
    """decimal_arithmetic sets it to 12 digits, for every reward that computes with decimals."""
    before = decimal.getcontext().prec
    task = reasoning_gym_task("decimal_arithmetic", num_train=2, num_test=1)
    assert task.oracle is not None
    task.oracle(task.train[0])
    assert decimal.getcontext().prec == before

    task = reasoning_gym_task("power_function", num_train=2, num_test=1)
    with decimal.localcontext(decimal.Context(prec=2)):
        assert task.oracle is not None
        assert task.score([task.train[0]], [task.oracle(task.train[0])]) == [(1.0, 1.0)]


def test_global_random_numbers_are_left_alone():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    for dataset in ("pool_matrix", "list_functions"):
        task = reasoning_gym_task(dataset, num_train=2, num_test=2)
        assert task.oracle is not None
        task.score([task.train[0]], [task.oracle(task.train[0])])
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_a_scorer_that_fails_on_the_answer_gives_zero_and_on_everything_raises(
    monkeypatch: pytest.MonkeyPatch,
):
    source = Source("countdown", 0, 1, 1, lambda entry, i: {"prompt": entry["question"]}, {})

    def picky(answer: str, entry: Any) -> float:
        return 1.0 if answer == entry["answer"] else float(answer)

    entry = source.entry(0)
    numbers = "+".join(map(str, entry["metadata"]["numbers"]))
    monkeypatch.setattr(source._dataset, "score_answer", picky)
    assert source.score(f"\\boxed{{{numbers}}}", 0) == 0.0

    def broken(answer: str, entry: Any) -> float:
        raise RuntimeError("broken scorer")

    monkeypatch.setattr(source._dataset, "score_answer", broken)
    with pytest.raises(RuntimeError, match="broken scorer"):
        source.score(f"\\boxed{{{numbers}}}", 0)


def test_rows_that_depend_on_the_hash_seed_are_announced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.warns(UserWarning, match="PYTHONHASHSEED=0"):
        reasoning_gym_task("ransom_note", num_train=1, num_test=1)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    reasoning_gym_task("ransom_note", num_train=1, num_test=1)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("dataset", dataset_names())
def test_every_dataset_loads_and_its_oracle_scores_one(
    dataset: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(
        "PYTHONHASHSEED", "0"
    )  # silences the warning; the rows of one process are consistent anyway
    options = COMPOSITE if dataset == "composite" else {}

    def make():
        return reasoning_gym_task(dataset, num_train=2, num_test=1, **options)

    task = make()
    row, again = task.test[0], make()
    assert dict(again.test[0]) == dict(row)
    assert task.train[0]["prompt"] != row["prompt"]
    hostile = [
        "",
        "\\boxed{",
        "\\boxed{9**9**9**9}",
        "<answer>[[1], {}]</answer>",
        "<answer>\x00(((</answer>",
    ]
    assert all(score.accuracy == 0.0 for score in task.score([row] * len(hostile), hostile))
    if dataset in WITHOUT_ORACLE:
        assert task.oracle is None
        return
    assert task.oracle is not None
    (score,) = task.score([row], [task.oracle(row)])
    assert score == (1.0, 1.0)
    # Scoring leaves the entry as it was: the second time gives the same.
    assert task.score([row], [task.oracle(row)]) == [score]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("dataset", sorted(set(dataset_names()) - WITHOUT_ORACLE))
def test_twenty_right_answers_score_one(dataset: str, monkeypatch: pytest.MonkeyPatch):
    """Also past the vets, with the datasets' own answers as they write them."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    options = COMPOSITE if dataset == "composite" else {}
    task = reasoning_gym_task(dataset, num_train=0, num_test=20, seed=7, **options)
    assert task.oracle is not None
    answers = [task.oracle(row) for row in task.test]
    scores = task.score(list(task.test), answers)
    wrong = [answer for answer, score in zip(answers, scores, strict=True) if score != (1.0, 1.0)]
    assert not wrong


def test_an_empty_answer_is_right_where_the_entry_has_one(monkeypatch: pytest.MonkeyPatch):
    source = Source("ab", 0, 0, 2, lambda entry, i: {"prompt": entry["question"]}, {})
    monkeypatch.setitem(source.entry(0), "answer", "")  # type: ignore[arg-type]
    assert source.oracle(0) == "<answer></answer>"
    assert source.score("<answer> </answer>", 0) == 1.0
    assert source.score("<answer></answer>", 1) == 0.0
    assert source.score(r"\boxed{}", 0) == 0.0
    assert source.score("", 0) == 0.0


@pytest.mark.parametrize(
    ("dataset", "wrong"),
    [
        ("gsm_symbolic", "-{right}"),
        ("gsm_symbolic", "{right} or 73"),
        ("decimal_arithmetic", "{right}0009"),
        ("letter_jumble", "{right} more words"),
        ("number_format", "{right}9"),
        ("knights_knaves", "It is false that {right}"),
    ],
)
def test_what_the_datasets_own_scorers_take_for_right_is_refused(
    dataset: str, wrong: str, monkeypatch: pytest.MonkeyPatch
):
    def row_of(entry: Any, index: int) -> dict[str, Any]:
        return {"prompt": entry["question"]}

    source = Source(dataset, 3, 0, 10, row_of, {})
    texts = [f"<answer>{wrong.format(right=source.entry(i)['answer'])}</answer>" for i in range(10)]
    assert [source.score(text, i) for i, text in enumerate(texts)] == [0.0] * 10

    monkeypatch.setattr("mtgrpo.tasks.sources.reasoning_gym.is_right", lambda *arguments: True)
    assert max(source.score(text, i) for i, text in enumerate(texts)) == 1.0


def test_partial_credit_stays():
    source = Source(
        "letter_jumble", 3, 0, 5, lambda entry, i: {"prompt": entry["question"]}, {"min_words": 5}
    )
    right = source.entry(0)["answer"].split()
    half = source.score(f"<answer>{' '.join([*right[:-1], 'x'])}</answer>", 0)
    assert half == pytest.approx(1 - 1 / len(right))


@pytest.mark.slow
def test_rows_do_not_depend_on_the_process():
    """All but the announced datasets give the same rows whatever the hash seed (a sample of them)."""
    code = (
        "from mtgrpo.tasks import reasoning_gym_task as t\n"
        "for d in ('countdown', 'zebra_puzzles', 'word_ladder', 'list_functions', 'pool_matrix'):\n"
        "    print([r['prompt'] for r in t(d, num_train=1, num_test=3).test])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""
