"""Whether an answer that a dataset's own scorer takes for right is right: a vet for each dataset.

Many of reasoning-gym's scorers (0.1.25) are too kind: they round, pass over what they cannot read,
take the first or the last of several answers. docs/faults.md says which, and how the vets differ.
A vet only ever refuses: it makes no wrong answer right, and no partial score another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtgrpo.tasks.answers.vets import lists, logic, moves, puzzles, values

Entry = Mapping[str, Any]
Vet = Callable[[str, Entry], bool]


def is_right(dataset: str, answer: str, entry: Entry) -> bool:
    """Whether an answer that the dataset's scorer takes for right is right.

    Args:
        dataset: reasoning-gym's name of the dataset; True for one that the table does not know.
        answer: The answer as the scorer saw it (`mtgrpo.tasks.answers.vets.gates.shown`).
        entry: The entry it answers.
    """
    vet = VETS.get(dataset)
    return vet is None or vet(answer, entry)


VETS: dict[str, Vet] = {
    "ab": values.same_text,
    "acre": values.same_text,
    "advanced_geometry": values.geometry,
    "aiw": values.same_text,
    "arc_1d": values.same_text,
    "arc_agi": lists.same_grid,
    "base_conversion": values.same_text,
    "basic_arithmetic": values.same_text,
    "bf": values.same_text,
    "binary_alternation": values.same_text,
    "binary_matrix": values.same_text,
    "bitwise_arithmetic": values.hexadecimal,
    "boxnet": moves.boxes_home,
    "caesar_cipher": values.same_text,
    "calendar_arithmetic": values.same_word_or_number,
    "chain_sum": values.same_number,
    "circuit_logic": values.same_text,
    "codeio": lists.same_data,
    "coin_flip": values.probability,
    "color_cube_rotation": values.same_words,
    "complex_arithmetic": values.complex_number,
    "count_bits": values.same_text,
    "count_primes": values.same_text,
    "countdown": puzzles.reaches_target,
    "course_schedule": values.same_text,
    "cryptarithm": puzzles.letter_digits,
    "decimal_arithmetic": values.all_digits,
    "decimal_chain_sum": values.same_number,
    "dice": values.same_words,
    "emoji_mystery": values.same_text,
    "family_relationships": values.same_words,
    "figlet_font": values.same_letters,
    "fraction_simplification": values.simplified_fraction,
    "futoshiki": lists.same_lines,
    "game_of_life": lists.same_board,
    "game_of_life_halting": values.same_words,
    "gcd": values.same_text,
    "graph_color": puzzles.coloring,
    "group_anagrams": lists.same_groups,
    "gsm_symbolic": values.same_number,
    "intermediate_integration": puzzles.unchecked,
    "isomorphic_strings": values.same_text,
    "jugs": moves.pours,
    "kakurasu": puzzles.weighted_grid,
    "knight_swap": puzzles.unchecked,
    "knights_knaves": puzzles.roles,
    "largest_island": values.same_text,
    "lcm": values.same_text,
    "leg_counting": values.same_text,
    "letter_counting": values.same_text,
    "letter_jumble": values.same_words,
    "list_functions": values.same_text,
    "mahjong_puzzle": values.same_text,
    "manipulate_matrix": lists.same_grid,
    "maze": values.same_text,
    "mini_sudoku": lists.same_lines,
    "modulo_grid": values.same_text,
    "n_queens": puzzles.one_of_the_boards,
    "needle_haystack": values.same_words,
    "number_filtering": values.same_text,
    "number_format": values.candidate,
    "number_sequence": values.same_text,
    "number_sorting": lists.same_numbers,
    "palindrome_generation": puzzles.palindrome,
    "palindrome_partitioning": lists.same_partitions,
    "path_star": values.same_words,
    "polynomial_equations": values.roots,
    "polynomial_multiplication": puzzles.unchecked,
    "pool_matrix": values.pooled,
    "power_function": values.three_digits,
    "prime_factorization": values.prime_factors,
    "products": values.same_number,
    "propositional_logic": logic.conclusion,
    "puzzle24": puzzles.reaches_target,
    "quantum_lock": moves.buttons,
    "ransom_note": values.same_text,
    "rearc": lists.same_grid,
    "rectangle_count": values.same_number,
    "rotate_matrix": values.same_text,
    "rotten_oranges": values.same_text,
    "rubiks_cube": moves.turns,
    "rush_hour": moves.cars_out,
    "self_reference": values.same_text,
    "sentence_reordering": values.same_words,
    "shortest_path": puzzles.unchecked,
    "simple_equations": values.same_text,
    "simple_geometry": values.same_text,
    "simple_integration": puzzles.unchecked,
    "sokoban": moves.keys,
    "spell_backward": values.same_words,
    "spiral_matrix": values.same_text,
    "string_insertion": values.same_text,
    "string_manipulation": values.same_text,
    "string_splitting": values.same_text,
    "string_synthesis": values.same_text,
    "sudoku": lists.same_lines,
    "survo": lists.same_grid,
    "syllogism": values.same_text,
    "time_intervals": values.duration,
    "tower_of_hanoi": moves.disks,
    "tsumego": values.same_words,
    "word_ladder": puzzles.ladder,
    "word_sequence_reversal": values.same_text,
    "word_sorting": lists.same_list,
    "zebra_puzzles": values.same_words,
}
"""Each dataset's vet. A composite's answers are vetted as those of the dataset an entry is from."""
