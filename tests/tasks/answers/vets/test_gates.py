import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.extract import MAX_LENGTH
from mtgrpo.tasks.answers.vets.gates import GATES, shown

ENTRY = {"answer": "False", "metadata": {"numbers": [6, 4, 1, 1]}}
LOGIC = {"answer": None, "metadata": {"variables": ["P", "Q"]}}
PEGS = {"answer": "", "metadata": {"num_pegs": 3}}


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
        ("simple_integration", "x* *2", False),
        ("simple_integration", "(x + 1)**5 / 5", True),
        ("simple_integration", "(9**99)**99", False),
        ("simple_integration", "sin(" * 6 + "x" + ")" * 6, False),
        ("coin_flip", "1e999999999", False),
        ("coin_flip", "half", True),  # the scorer may see it
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
        ("spell_backward", "false", True),
        ("spell_backward", "fal", True),
        ("spell_backward", "False False", False),  # upstream counts the right places
        ("rubiks_cube", "R U' F2 Bw X", True),
        ("rubiks_cube", "R999999999", False),  # upstream writes it out
        ("rubiks_cube", "1. R 2. U", False),  # upstream passes over what is no turn
        ("rubiks_cube", "R " * 600, False),
        ("tower_of_hanoi", "Move disk 1 from Peg 1 to Peg 3", True),
        ("tower_of_hanoi", "Move disk 1 from Peg 1 to Peg 4", False),  # upstream prints a line
        ("tower_of_hanoi", "So: Move disk 1 from Peg 1 to Peg 3", False),
        ("codeio", "{" * 2000, False),  # upstream takes its square in time
        ("dice", "anything", True),
    ],
)
def test_shown(dataset: str, answer: str, passes: bool):
    entry = {"propositional_logic": LOGIC, "tower_of_hanoi": PEGS}.get(dataset, ENTRY)
    assert (shown(dataset, answer, entry) is not None) == passes


@pytest.mark.parametrize(
    ("dataset", "answer", "seen"),
    [
        ("countdown", "6 x 4 x 1 / 1.", "6 * 4 * 1 / 1"),
        ("simple_integration", "0.5*x**2 + 12.25*x", "(5/10)*x**2 + (1225/100)*x"),
        ("gsm_symbolic", "$1,200", "1200"),  # upstream reads 1
        ("gsm_symbolic", "-£12.50", "-12.50"),
        ("gsm_symbolic", "1$2", "1$2"),
        ("gsm_symbolic", "72 or 73", "72 or 73"),
    ],
)
def test_what_the_scorer_sees(dataset: str, answer: str, seen: str):
    assert shown(dataset, answer, ENTRY) == seen


@given(st.text(max_size=80) | st.text(alphabet="0123456789x*+-/()[], .'", max_size=80))
def test_every_gate_is_total(answer: str):
    for dataset in GATES:
        entry = {"propositional_logic": LOGIC, "tower_of_hanoi": PEGS}.get(dataset, ENTRY)
        shown(dataset, answer, entry)


@pytest.mark.parametrize("piece", ["**2", "1 ", "x*", "(", "0.1", "R ", "Peg 1", "{", "1,000"])
def test_time_is_bounded(piece: str):
    start = time.perf_counter()
    for dataset in GATES:
        entry = {"propositional_logic": LOGIC, "tower_of_hanoi": PEGS}.get(dataset, ENTRY)
        shown(dataset, piece * (MAX_LENGTH // len(piece)) + "!", entry)
    assert time.perf_counter() - start < 2.0
