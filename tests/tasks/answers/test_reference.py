import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.reference import (
    MAX_LENGTH,
    as_completion,
    extract_answer,
    reference_answer,
    vetted,
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>5</answer>", "5"),
        ("<answer>4</answer> no, <answer> 5\n</answer>", "5"),
        (r"\boxed{5}", "5"),
        (r"<answer>\boxed{5}</answer>", "5"),
        (r"\boxed{4} so <answer>5</answer>", "5"),
        (r"<answer>4</answer> so \boxed{5}", "5"),
        ("<answer>{[(</answer>", "{[("),
        ("<answer>5", None),
        ("5</answer>", None),
        ("<answer> </answer>", None),
        (r"<answer>\boxed{</answer>", None),
        ("", None),
        (f"<answer>{'x' * (MAX_LENGTH + 1)}</answer>", None),
    ],
)
def test_what_stands_last_counts(text: str, answer: str | None):
    assert extract_answer(text) == answer


@given(st.text(alphabet="{}()\\ab<>/", min_size=1, max_size=20).filter(str.strip))
def test_as_completion_holds_any_answer(answer: str):
    if "answer>" not in answer and "\\boxed" not in answer:
        assert extract_answer(f"so {as_completion(answer)}") == answer.strip()


ENTRY = {"answer": "False", "metadata": {"numbers": [6, 4, 1, 1]}}
COIN = {"answer": "0.5", "metadata": {}}
SORTED = {"answer": "['-24.0', '8.5']", "metadata": {}}
LOGIC = {"answer": None, "metadata": {"variables": ["P", "Q"]}}


@pytest.mark.parametrize(
    ("dataset", "answer", "passes"),
    [
        ("countdown", "6*4*1/1", True),
        ("countdown", r"6 \times 4 \times 1 \div 1", True),
        ("countdown", "6*4*1", False),
        ("countdown", "9**9**9**9", False),
        ("puzzle24", "6*4*1*1", True),
        ("puzzle24", "6*4*2/2", False),  # upstream takes any four numbers in range
        ("puzzle24", "6*4+1/(1+1)", False),  # and cuts 24.5 down to 24
        ("n_queens", "_ Q\nQ _", True),
        ("n_queens", "[['_', 'Q'], ['Q', '_']]", True),
        ("n_queens", "__import__('os').system('true')", False),
        ("spiral_matrix", "1 2 3", True),
        ("spiral_matrix", "[0] * 10**10", False),
        ("binary_matrix", "[0 for a in [1] for b in [2]]", False),
        ("string_insertion", "(" * 5000, False),
        ("simple_integration", "x**3/3 + 2*x**(1/2) - sin(x)*exp(2*x) + C", True),
        ("simple_integration", "9**9**9", False),
        ("simple_integration", "(x + 1)**5 / 5", True),
        ("simple_integration", "(9**99)**99", False),
        ("simple_integration", "sin(" * 6 + "x" + ")" * 6, False),
        ("coin_flip", "1e999999999", False),
        ("coin_flip", "1/2", True),
        ("coin_flip", "0.49999", True),
        ("coin_flip", "0", False),  # upstream: 0.5 begins like it
        ("coin_flip", "0.55", False),
        ("coin_flip", "half", False),
        ("complex_arithmetic", "nan", False),
        ("complex_arithmetic", "-1.5 + 2e3i", True),
        ("propositional_logic", "¬(P ∧ Q)", True),
        ("propositional_logic", "((P) → ¬¬Q) ∨\n(Q ↔ P)", True),
        ("propositional_logic", "P ∧ " * 200, False),
        ("propositional_logic", "P ∧ yes", False),  # upstream takes any text for a variable
        ("propositional_logic", "P ∧ R", False),
        ("propositional_logic", "P Q", False),
        ("propositional_logic", "(P ∧ Q", False),
        ("propositional_logic", "P) ∧ (Q", False),
        ("propositional_logic", "P ¬ Q", False),
        ("propositional_logic", "P ∧ ∨ Q", False),
        ("propositional_logic", "()", False),
        ("propositional_logic", "¬", False),
        ("rush_hour", "F+1 K-12", True),
        ("rush_hour", "F+99999999999", False),
        ("simple_integration", "((9**99)**99)**99", False),
        ("simple_integration", "9**(9**9)", False),
        ("simple_integration", "Integral(x, x)", False),  # upstream takes it as solved
        ("simple_integration", "x.__class__", False),
        ("simple_integration", "exit()", False),
        ("polynomial_multiplication", "189*x**2 + 1281*x + 1638", True),
        ("polynomial_multiplication", "x" * 600, False),
        ("game_of_life_halting", "false", True),
        ("game_of_life_halting", "True", False),  # upstream: bool("True") == bool("False")
        ("caesar_cipher", "anything(at) all", True),
        ("number_sorting", "['-24.0', '8.5']", True),
        ("number_sorting", "[-24, 8.50]", True),
        ("number_sorting", "['-25.0', '8.5']", False),  # upstream: off by 1 is right
        ("number_sorting", "-24.0 8.5", False),
        ("number_sorting", "[" * 5000, False),
        ("number_sorting", "[1e999, {}]", False),
        ("spell_backward", "false", True),
        ("spell_backward", "fal", True),
        ("spell_backward", "False False", False),  # upstream counts the right places
    ],
)
def test_vetted(dataset: str, answer: str, passes: bool):
    entry = {"coin_flip": COIN, "number_sorting": SORTED, "propositional_logic": LOGIC}.get(
        dataset, ENTRY
    )
    assert (vetted(dataset, answer, entry) is not None) == passes


@given(st.text(max_size=80) | st.text(alphabet="0123456789x*+-/()[], .'", max_size=80))
def test_vetted_is_total(answer: str):
    for dataset in ("countdown", "n_queens", "simple_integration"):
        vetted(dataset, answer, ENTRY)


@pytest.mark.parametrize(
    "piece", ["<answer>", "</answer>", "\\boxed{", "<answer>\\boxed{", "**2", "1 ", "x*"]
)
def test_time_is_bounded(piece: str):
    start = time.perf_counter()
    extract_answer(piece * (500_000 // len(piece)))
    for dataset in ("countdown", "n_queens", "simple_integration"):
        vetted(dataset, piece * (MAX_LENGTH // len(piece)) + "!", ENTRY)
    assert time.perf_counter() - start < 2.0


def test_reference_answer():
    assert reference_answer("countdown", {"answer": 3}) == "3"
    assert reference_answer("rush_hour", {"answer": None, "metadata": {}}) is None
    assert (
        reference_answer("graph_color", {"answer": None, "metadata": {"possible_answer": {0: 1}}})
        == '{"0": 1}'
    )
