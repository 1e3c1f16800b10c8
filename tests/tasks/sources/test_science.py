"""MATH and SciKnowEval from local rows: prompts, rewards, hostile answers, missing parts."""

from __future__ import annotations

import sys

import pytest

from mtgrpo.errors import MissingExtra, TaskError
from mtgrpo.tasks.sources.science import choice_reward, math_reward, math_task, sciknoweval_task

PROBLEMS = [
    {"problem": f"What is {i}/2?", "answer": rf"\frac{{{i}}}{{2}}", "level": 1} for i in range(1, 7)
]
TESTS = [{"problem": "What is 99/2?", "answer": r"\frac{99}{2}"}]
CHOICES = {"label": ["A", "B", "C", "D"], "text": ["iron", "{gold}", "lead", "tin"]}
QUESTIONS = [
    {"domain": "Chemistry", "question": f"Which is Au{i}?", "choices": CHOICES, "answerKey": "B"}
    for i in range(30)
] + [
    {"domain": "Physics", "question": "Which falls?", "choices": CHOICES, "answerKey": "C"},
    {"domain": "Chemistry", "question": "Describe gold.", "choices": None, "answerKey": None},
]


def test_a_choice_is_asked_for_and_scored():
    task = sciknoweval_task("Chemistry", rows=QUESTIONS, test_fraction=0.2)
    assert task.name == "chemistry"
    assert task.floor == 0.25
    assert len(task.train) + len(task.test) == 30  # the open question cannot be scored
    assert 0 < len(task.test) < 30
    row = task.train[0]
    assert "B) {gold}" in row["prompt"]
    assert r"\boxed{}" in row["prompt"]
    texts = [r"\boxed{B}", r"so \boxed{(b).}", r"\boxed{\text{B}}", r"\boxed{C}", "B", r"\boxed{}"]
    scores = task.score([row] * len(texts), texts)
    assert [score.reward for score in scores] == [1.0, 1.0, 1.0, 0.1, 0.0, 0.0]
    assert [score.accuracy for score in scores] == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_choices_that_look_like_the_answer_are_wrong():
    texts = [
        r"\boxed{A or B}",
        r"\boxed{AB}",
        r"\boxed{b)a}",
        "\\boxed{\u0392}",
    ]  # the last is a Greek beta
    assert choice_reward(texts, ["B"] * 4) == [0.1] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": "Alchemy", "rows": QUESTIONS}, "Alchemy.*Chemistry"),
        ({"domain": "Biology", "rows": QUESTIONS}, "no multiple-choice question.*Biology"),
        ({"domain": "Physics", "rows": [{"domain": "Physics"}]}, "no column 'question'"),
    ],
)
def test_bad_science_is_refused(arguments, message):
    with pytest.raises(TaskError, match=message):
        sciknoweval_task(**arguments)


def test_math_says_how_to_install_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingExtra, match=r"mtgrpo\[math\]"):
        math_task(train=PROBLEMS, test=TESTS)


def test_math_is_scored_by_value():
    pytest.importorskip("math_verify")
    task = math_task(train=PROBLEMS, test=TESTS)
    assert (len(task.train), len(task.test)) == (6, 1)
    row = task.train[0]
    texts = [
        r"\boxed{\frac{1}{2}}",
        r"\boxed{0.5}",
        r"\boxed{\dfrac12}",
        r"\boxed{2}",
        "1/2",
        r"\boxed{",
    ]
    assert [score.reward for score in task.score([row] * 6, texts)] == [
        1.0,
        1.0,
        1.0,
        0.1,
        0.0,
        0.0,
    ]


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        ("4210_5", ["4210_{5}", "4210"], ["4210_6", "4211_5", "4210_{15}"]),
        ("101", ["101.0", "x=101"], ["101_2", r"101\%", "100=101"]),
        ("5", [r"5^\circ", r"\$5", "= 5."], ["4=5", r"5 \text{ or } 6", r"\pm 5", "5.0000001"]),
        (r"\frac{1}{2^{98}}", ["1/2^{98}"], [r"\frac{1}{2^{99}}", "1/2^{97}", "0"]),
        (r"\frac{1}{3}", ["1/3", r"\frac26"], ["0.333333", "0.3"]),
        (r"(1,\infty)", [r"\left(1, \infty\right)", r"x \in (1,\infty)"], [r"(1,\infty]", r"[1,\infty)"]),
        ("120", ["120."], [r"120\%"]),
        ("1.2", [r"120\%", r"\frac{6}{5}"], ["12", "1.21"]),
        (r"\{1,2\}", [r"\{2,1\}", "1, 2"], ["(1,2)", "[1,2]", r"\{1,3\}"]),
        (r"\left(\frac13, 2\right)", ["(1/3, 2)"], ["(0.333333, 2)", r"(2, \frac13)"]),
        (r"|x|=-3", ["-3=|x|"], ["|x|=-4"]),
        (r"\text{Alice}", [r"\textbf{\text{Alice}}", r" Alice\ "], [r"\text{Bob}"]),
    ],
)  # fmt: skip
def test_near_misses_of_mathematics(answer: str, right: list[str], wrong: list[str]):
    pytest.importorskip("math_verify")
    texts = [rf"\boxed{{{text}}}" for text in (*right, *wrong)]
    rewards = math_reward(texts, [answer] * len(texts))
    assert dict(zip(texts, rewards, strict=True)) == dict(
        zip(texts, [1.0] * len(right) + [0.1] * len(wrong), strict=True)
    )


def test_hostile_mathematics_ends_and_the_next_answer_is_scored(monkeypatch, tmp_path):
    pytest.importorskip("math_verify")
    monkeypatch.chdir(tmp_path)
    texts = [
        r"\boxed{9^{9^{9^{9}}}}",  # in C, out of reach of signal handlers: the process is killed
        r"\boxed{0.5}",
        r"\boxed{" + "(" * 90 + "1" + ")" * 90 + "}",
        r"\boxed{__import__('pathlib').Path('here').touch()}",
        r"\boxed{" + "9" * 5000 + "}",
        r"\boxed{0.5, 0.6}",
        r"\boxed{x \in \mathbb{R}}",
        r"\boxed{\text{\u2028}\n$}",
        r"\boxed{0.5}",
    ]
    rewards = math_reward(texts, [r"\frac{1}{2}"] * len(texts))
    assert rewards == [0.1, 1.0, 0.1, 0.1, 0.0, 0.1, 0.1, 0.1, 1.0]
    assert not list(tmp_path.iterdir())


def test_math_needs_both_splits():
    pytest.importorskip("math_verify")
    with pytest.raises(TaskError, match="both train and test"):
        math_task(train=PROBLEMS)
    with pytest.raises(TaskError, match="no column 'answer'"):
        math_task(train=[{"problem": "x"}], test=TESTS)


def chat(text):
    return [{"role": "assistant", "content": text}]


def test_rewards_take_chat_completions():
    assert choice_reward([chat(r"\boxed{b}"), chat("b")], ["B", "B"]) == [1.0, 0.0]
    assert math_reward([chat(r"\boxed{17}"), chat("17")], ["17", "17"]) == [1.0, 0.0]


def test_references_without_one_meaning_are_refused_at_the_start():
    pytest.importorskip("math_verify")
    rows = [{"problem": "half of 1?", "answer": 0.5}]
    with pytest.raises(TaskError, match=r"^task 'math': answer: 0\.5 is a float; a text is needed"):
        math_task(train=rows, test=TESTS)


def test_a_reference_may_be_a_json_number():
    assert math_reward([r"\boxed{17}"], [17]) == [1.0]
    with pytest.raises(TaskError, match=r"^math_reward: answer: 0\.5 is a float; a text is needed"):
        math_reward(["no answer"], [0.5])
