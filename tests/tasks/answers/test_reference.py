import pytest

from mtgrpo.tasks.answers.reference import reference_answer


def test_where_a_dataset_keeps_it():
    assert reference_answer("countdown", {"answer": 3}) == "3"
    assert reference_answer("ab", {"answer": ""}) == ""
    assert reference_answer("rush_hour", {"answer": None, "metadata": {}}) is None
    coloring = {"answer": None, "metadata": {"possible_answer": {0: 1}}}
    assert reference_answer("graph_color", coloring) == '{"0": 1}'


def test_premises_follow_where_no_conclusion_was_found():
    metadata = {"example_answer": "P", "premises": ["Q", "(P ∨ Q)"]}
    entry = {"answer": None, "metadata": metadata}
    assert reference_answer("propositional_logic", entry) == "Q ∧ (P ∨ Q)"


def test_a_cube_without_a_solution_has_no_reference():
    for solution, reference in (("", None), ("R U", "R U")):
        entry = {"answer": None, "metadata": {"example_correct_answer": solution}}
        assert reference_answer("rubiks_cube", entry) == reference


def test_an_integral_that_was_left_as_one_is_solved():
    pytest.importorskip("sympy")
    metadata = {"integrand": "6*x**2", "variable": "x"}
    entry = {"answer": "6*Integral(x**2, x) + C", "metadata": metadata}
    assert reference_answer("intermediate_integration", entry) == "2*x**3 + C"
