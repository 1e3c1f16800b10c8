"""Each vet on answers that the dataset's own scorer takes for right: the wrong ones are refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.answers.vets.table import VETS, is_right


def entry(answer: Any = None, question: str = "", **metadata: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "metadata": metadata}


def picked(*candidates: str) -> dict[str, Any]:
    values = [float(text.replace(",", "")) for text in candidates]
    best = max(values)
    return entry(str(best), candidates=values, formatted_candidates=candidates, solution=best)


BOXES = {"0.5_0.5": ["box_red"], "0.5_1.5": [], "0.5_2.5": ["target_red", "target_blue"]}
MOVE = '{"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}'
ON = '{"Agent[0.5, 1.5]": "move(box_red, square[0.5, 2.5])"}'
HOME = '{"Agent[0.5, 2.5]": "move(box_red, target_red)"}'
PUZZLE = {"vertices": [0, 1], "edges": [(0, 1)], "color_options": [1, 2]}
SUM = {"words_letters": ["AB", "AB"], "result_letters": "CA", "allow_leading_zero": False}
CUBE = entry(None)
KNIGHTS = entry("Ava is a knight, and Bo is a knave.")
ARITHMETIC = entry(
    "6.67", "Please solve this problem to a maximum of 3 significant digits.\n(10.0/1.5) = ?"
)

CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    # dataset, entry, right answers, wrong ones
    ("dice", entry("1/60"), ["1/60", " 1/60 "], ["1/6\n0", "1/60 or 1/50"]),
    ("zebra_puzzles", entry("alice"), ["Alice"], ["alice bob", "not alice", "al ice"]),
    ("figlet_font", entry("FOUTER"), ["fouter", "F O U T E R"], ["FOUTERFOUTER", "FOUTE"]),
    ("spell_backward", entry("abc"), ["abc", "ABC"], ["abc abc", "ab"]),
    ("letter_jumble", entry("The end"), ["the end"], ["The end now", "end The"]),
    ("calendar_arithmetic", entry("-1"), ["-1"], ["3", "1", "-1 or 2"]),
    ("calendar_arithmetic", entry("Friday"), ["Friday"], ["Monday", "Friday or Monday"]),
    ("chain_sum", entry("12"), ["12", "+12.0", "012"], ["1,2", "-12", "1_2", "12 or 13"]),
    ("chain_sum", entry("1200"), ["1,200"], ["12,00", "1.200"]),
    ("bitwise_arithmetic", entry("0x1f"), ["0x1f", "0X1F", "31"], ["0x1e", "0x1_f", "-0x1f", "1f"]),
    ("gsm_symbolic", entry("72"), ["72", "72.0"], ["-72", "72 or 73", "72 73", "not 72", "72%"]),
    ("number_format", picked("1,234.5", "1.2345060000000e+03"), ["1234.506"], ["1234.5", "1234.51"]),
    ("coin_flip", entry("0.2461", rational={"numerator": 63, "denominator": 256}),
     ["63/256", "0.2461", "0.24609375", "0.246094"], ["0.2460", "0.246", "0.24619", "62/256", "1"]),
    ("power_function", entry("9.36e-18", base=688.8437, exponent=-6),
     ["9.36e-18", "9.360e-18", "9.3600001383e-18"], ["9.364e-18", "9.35e-18", "-9.36e-18", "9.4e-18"]),
    ("power_function", entry("40480500.78", base=200.2, exponent=3), ["8024024.008", "8020000", "8.02e6"],
     ["8030000", "8024000.5", "8021000"]),
    ("decimal_arithmetic", ARITHMETIC, ["6.67", "6.667", "6.670"], ["6.66", "6.668", "6.7", "-6.67"]),
    ("complex_arithmetic", entry(result=(48, -36)), ["48 - 36i", "(48.0-36.0j)"],
     ["48 + 36i", "-48 - 36i", "48 - 36.0000001i", "48", "4 8 - 36i", "48 - 36"]),
    ("complex_arithmetic", entry(result=(0, 12)), ["12i", "0 + 12i"], ["1 2i", "12", "-12i"]),
    ("complex_arithmetic", entry(result=(0, 1)), ["i", "+i"], ["-i", "1"]),
    ("fraction_simplification", entry("$1/2$", simplified_numerator=1, simplified_denominator=2),
     ["1/2", "$1/2$", r"\frac{1}{2}", r"$\dfrac{ 1 }{ 2 }$"], [r"\frac{1}{2} or \frac{1}{3}", "1/2/1", "2/1", "-1/2"]),
    ("prime_factorization", entry("2 × 433", factors=[2, 433]), ["433×2"], ["2 × 433 ×", "2 × 43_3", "2 433", "866"]),
    ("polynomial_equations", entry("-0.5, 1.25"), ["1.25, -0.5"], ["-0.5, 1.25, x", "-0.5", "0.5, 1.25", "-0.5, -0.5"]),
    ("time_intervals", entry("5 days"), ["5 days", "5"], ["5 or 6 days", "5 hours", "-5 days"]),
    ("time_intervals", entry("02:06:11.020"), ["02:06:11.020", "2:06:11.020"], ["02:06:11.02", "02:06:11.020:99"]),
    ("time_intervals", entry("1 days, 15:19:00"), ["1 day, 15:19"], ["0 days, 39:19:00", "1 days, 15:19:00, or 2"]),
    ("advanced_geometry", entry("85.24°", task_type="angle_measure", angle_ABC_degrees=85.23635830927383),
     ["85.24°", "85.24", "85.236°"], ["85.239°", "85.2", "-85.24", "85.24 or 95°"]),
    ("advanced_geometry", entry("(6.979, 2.906)", task_type="orthocenter", orthocenter_approx=(6.97931, 2.9058)),
     ["(6.979, 2.906)", "6.9793, 2.9058"], ["(6.979, 2.906, 1)", "(2.906, 6.979)", "(6.9794, 2.906)", "(7, 3)"]),
    ("pool_matrix", entry("3.17 5.0\n1.0 2.0", solution=[[19 / 6, 5.0], [1.0, 2.0]]), ["3.17 5\n1 2.00", "3.1667 5\n1 2"],
     ["3.18 5\n1 2", "3.2 5\n1 2", "3.17 5 1 2", "3.17 1\n5 2", "3.17 5\n1 2\n0 0", "3.17 5\x0b1 2"]),
    ("arc_agi", entry("1 2\n3 4"), ["1 2\n3  4 "], ["1 2\n3 4\nShape: 2x2", "1 2 3 4", "1 2\n3 5"]),
    ("sudoku", entry("1 2\n2 1"), ["1 2 \n2 1"], ["1 2\n2 1\n", "2 1\n1 2"][1:]),
    ("word_sorting", entry("a, b"), ["a,b"], ["a, b, c", "b, a"]),
    ("number_sorting", entry("['-24.0', '8.5']"), ["[-24, 8.50]", '["-24.0", "8.5"]'],
     ["['-24.0', '9.4']", "[-24, 8.5, 9]", "[true, 8.5]", "-24 8.5", "['8.5', '-24.0']"]),
    ("game_of_life", entry("[[0,1],[0,0]]"), ["[[0, 1], [0, 0]]"],
     ["[[0,1],[0,0],[1,1]]", "[[0,1,1],[0,0]]", "[[false,true],[false,false]]"]),
    ("codeio", entry('{"n": 1}'), ['{"n":1}'], ['{"n": true}', '{"n": 2, "n": 1}', '{"n": 1, "m": 2}']),
    ("group_anagrams", entry(solution=[["tea", "eat"], ["tan"]]), ['[["tan"], ["eat", "tea"]]'],
     ['[{"eat": 1, "tea": 1}, ["tan"]]', '[["eat"], ["tea"], ["tan"]]', '[["eat", "tea"], ["tan"], ["tan"]]']),
    ("palindrome_partitioning", entry(solution=[["a", "a"], ["aa"]]), ['[["aa"], ["a", "a"]]'],
     ['["aa", ["aa"]]', '[["aa"]]', '[["aa"], ["a", "a"], ["aa"]]']),
    ("countdown", entry(numbers=[3, 4], target=12), ["3*4"], ["3*4*1", "4*4", "3+4"]),
    ("puzzle24", entry(numbers=[6, 4, 1, 1]), ["6*4*1*1"], ["6*4*1*2", "6*4+1/(1+1)"]),
    ("graph_color", entry(puzzle=PUZZLE), ['{"0": 1, "1": 2}'],
     ['{"0": 1, "1": 1}', '{"0": true, "1": 2}', '{"0": 1, "1": 2, "2": 1}', '{"0": 2, "0": 1, "1": 2}', "[1, 2]"]),
    ("cryptarithm", entry(**SUM), ["A=4,B=2,C=8"], ["A=3,A=4,B=2,C=8", "A=4,B=2,C=8,D=1", "A=4,B=+2,C=8", "A=4,C=8"]),
    ("kakurasu", entry(row_sums=[1, 2], col_sums=[1, 2], n_rows=2, n_cols=2), ["1 0\n0 1", "[1, 0]\n[0, 1]", "10\n01"],
     ["1 0\n0 1 ok", "1 2 0\n0 1", "0 1\n1 0", "1 0 0 1"]),
    ("knights_knaves", KNIGHTS, ["Ava is a knight and Bo is a knave", "(Bo, knave), (Ava, knight)"],
     ["It is false that Ava is a knight, and Bo is a knave", "Ava is a knight, and Bo is not a knave",
      "Ava is a knight and a knave, and Bo is a knave", "Ava is a knave, and Bo is a knight", "Ava is a knight"]),
    ("word_ladder", entry(start_word="PEG", end_word="BEE"), ["peg,beg,bee"], ["peg,bee", "peg, beg or bee"]),
    ("palindrome_generation", entry(letters=["a", "b", "a"]), ["aba"], ["aab", "ababa"]),
    ("n_queens", entry(valid_answers=["_ Q\nQ _"]), ["_ Q\nQ _"], ["Q _\n_ Q"]),
    ("propositional_logic", entry(premises=["P", "(P → Q)"], variables=["P", "Q"]), ["Q", "P ∧ Q", "¬¬Q ∨ P"],
     ["¬Q", "P ∨ ¬P", "Q → ¬P", "R", "yes ∨ Q"]),
    ("jugs", entry(), ['["fill A", "pour A->B"]'], ['["fill A now"]', '{"fill A": 1}', '["drink A"]', "fill A"]),
    ("sokoban", entry(), ["LDUR", "L, D"], ["LDUR or so", "left LD"]),
    ("quantum_lock", entry(), ["A → B", "a b", "A,B"], ["A or B", "press A → B", "AB!"]),
    ("tower_of_hanoi", entry(), ["Move disk 1 from Peg 1 to Peg 2"], ["then Move disk 1 from Peg 1 to Peg 2"]),
    ("rubiks_cube", CUBE, ["R U' F2 X"], ["R U or F", "1. R"]),
    ("rush_hour", entry(board_config="o" * 12 + "AAoooo" + "o" * 18), ["A+4", "A+2 A-1 A+3"],
     ["A+5", "A+9", "A+4 B+1", "A+3", "A+4, then rest"]),
    ("rush_hour", entry(board_config="o" * 12 + "AAoooB" + "oooooB" + "o" * 12), ["B+1 A+4"], ["A+4", "A+3", "B-9 A+4"]),
    ("boxnet", entry(initial_state=BOXES), [f"[{MOVE}, {ON}, {HOME}]"],
     [f"[{MOVE}, {ON}]", f"[{MOVE}, {HOME}]", f"[{HOME}]", f"{MOVE}",
      f"[{MOVE}, {ON}, {HOME.replace('target_red', 'target_blue')}]",
      f"[{MOVE[:-1]}, {ON[1:-1]}, {HOME[1:]}]",  # three moves of one box in one step
      '[{"Agent[0.5, 2.5]": "move(target_red, square[0.5, 1.5])"}]']),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "row", "right", "wrong"), CASES)
def test_right_answers_pass_and_wrong_ones_do_not(
    dataset: str, row: dict[str, Any], right: list[str], wrong: list[str]
):
    assert {answer: is_right(dataset, answer, row) for answer in right} == dict.fromkeys(
        right, True
    )
    assert {answer: is_right(dataset, answer, row) for answer in wrong} == dict.fromkeys(
        wrong, False
    )


def test_arrows_must_follow_whichever_binds_first():
    row = entry(premises=["¬P"], variables=["P", "Q", "R"])
    assert is_right("propositional_logic", "P → (Q → R)", row)
    assert not is_right("propositional_logic", "(P → Q) → R", row)
    assert not is_right("propositional_logic", "P → Q → R", row)


def test_an_unknown_dataset_has_no_vet():
    assert is_right("of_a_later_version", "anything", entry("x"))


def test_every_dataset_has_a_vet():
    pytest.importorskip("reasoning_gym")
    from mtgrpo.tasks.sources.reasoning_gym import dataset_names

    assert set(VETS) == set(dataset_names()) - {"composite"}


ROWS = {dataset: row for dataset, row, _, _ in CASES}
PIECES = [
    "1",
    "-",
    ",",
    " ",
    "[",
    "{",
    '"a": 1',
    "A",
    "is",
    "→",
    "(",
    "0 ",
    "\n",
    "e9",
    ".",
    "move(",
]


@pytest.mark.parametrize("dataset", ROWS)
@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_every_vet_is_total(dataset: str, answer: str):
    assert is_right(dataset, answer, ROWS[dataset]) in (True, False)


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_bounded(piece: str):
    start = time.perf_counter()
    for dataset, row in ROWS.items():
        is_right(dataset, piece * (10_000 // len(piece)), row)
    assert time.perf_counter() - start < 2.0
