"""Vets of answers to reasoning-gym: what its scorers may see, and which of their full scores stand.

* `gates.shown`: the answer as a dataset's scorer may see it; keeps code and bombs away from it.
* `table.is_right`: whether an answer that the scorer takes for right is right. The table names a
  vet for every dataset; the vets stand in `values`, `lists`, `puzzles` and `moves`.

Nothing is evaluated, every text is bounded in length, and every vet answers for any text.
"""
