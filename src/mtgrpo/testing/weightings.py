"""The contract of task weightings. Public as `mtgrpo.testing.WeightingContract`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mtgrpo.core.described import constructor_arguments
from mtgrpo.core.weightings.fixed import Uniform
from mtgrpo.errors import ConfigError, StateError
from mtgrpo.testing.changing import ChangeContract, check_simplex, refused
from mtgrpo.testing.signals import Values, signal_histories, update


class WeightingContract(ChangeContract):
    """What every `TaskWeighting` must hold to. Subclass it, implement `make`, run pytest.

    Class attributes:
        shift_invariant: Whether adding one number to the rewards of all tasks must
            leave the weights as they are. Set it to False for a rule that knows an
            absolute level of reward.
    """

    shift_invariant: bool = True

    # ---- the simplex -------------------------------------------------------------------------
    def test_weights_are_on_the_simplex(self) -> None:
        """After every step the weights are non-negative, sum to 1 and have the tasks' names."""
        for tasks, name, history in self._cases():
            weighting = self._bound(tasks)
            check_simplex(weighting, f"{name}, before the first update")
            for number, signals in enumerate(history):
                update(weighting, signals)
                check_simplex(weighting, f"{name}, step {number}")

    def test_weights_handed_out_do_not_change(self) -> None:
        """An array returned earlier keeps its values: an open batch still holds it."""
        for tasks, name, history in self._cases():
            weighting = self._bound(tasks)
            handed_out = [(weighting.weight_array(), weighting.weights())]
            for signals in history:
                update(weighting, signals)
                handed_out.append((weighting.weight_array(), weighting.weights()))
            for array, mapping in handed_out:
                assert array.tolist() == list(mapping.values()), (
                    f"{name}: weights changed after they were returned"
                )

    # ---- symmetries --------------------------------------------------------------------------
    def test_order_of_tasks_does_not_matter(self) -> None:
        """Bound to the same tasks in another order, every task gets the same weight."""
        for tasks, name, history in self._cases():
            forwards, backwards = self._bound(tasks), self._bound(tasks[::-1])
            for number, signals in enumerate(history):
                update(forwards, signals)
                update(backwards, signals)
                _check_close(
                    forwards.weights(),
                    backwards.weights(),
                    f"{name}, step {number}: order of tasks",
                )

    def test_a_constant_added_to_all_rewards_does_not_matter(self) -> None:
        """Weights follow differences between tasks (unless `shift_invariant` is False)."""
        if not self.shift_invariant:
            return
        for tasks, name, history in self._cases():
            plain, moved = self._bound(tasks), self._bound(tasks)
            for number, signals in enumerate(history):
                update(plain, signals)
                update(moved, signals.shifted(0.7))
                _check_close(
                    plain.weights(),
                    moved.weights(),
                    f"{name}, step {number}: rewards shifted by 0.7 (if the rule knows an "
                    "absolute level of reward, state shift_invariant = False in the test class)",
                )

    # ---- state -------------------------------------------------------------------------------
    def test_resumed_equals_uninterrupted(self) -> None:
        """A state that went through JSON gives the same future, to the last bit."""
        for tasks, name, history in self._cases():
            straight = self._bound(tasks)
            resumed = self._bound(tasks)
            for number, signals in enumerate(history):
                where = f"{name}, saved before step {number}"
                saved = json.dumps(resumed.state_dict(), allow_nan=False)
                resumed = self._bound(tasks)
                resumed.load_state_dict(json.loads(saved))
                assert resumed.weights() == straight.weights(), (
                    f"{where}: weights differ after loading"
                )
                assert json.dumps(resumed.state_dict()) == saved, (
                    f"{where}: state differs after loading"
                )
                assert resumed.metrics() == straight.metrics(), (
                    f"{where}: metrics differ after loading"
                )
                update(straight, signals)
                update(resumed, signals)
                assert resumed.weights() == straight.weights(), (
                    f"{where}: weights differ a step later"
                )

    def test_state_is_a_copy(self) -> None:
        """A state taken earlier is not changed by later updates."""
        for tasks, name, history in self._cases():
            weighting = self._bound(tasks)
            for signals in history[:3]:
                state = weighting.state_dict()
                text = json.dumps(state)
                update(weighting, signals)
                assert json.dumps(state) == text, (
                    f"{name}: an update changed a state taken before it"
                )

    def test_state_of_other_tasks_is_refused(self) -> None:
        """Other tasks, or another order, raise `StateError` with both lists."""
        tasks = ("countdown", "zebra", "arc")
        weighting = self._bound(tasks)
        for others in (
            ("countdown", "zebra", "math"),
            ("arc", "zebra", "countdown"),
            ("countdown", "zebra"),
        ):
            message = refused(
                StateError, lambda o=others: weighting.load_state_dict(self._bound(o).state_dict())
            )
            assert str(list(tasks)) in message, f"the present tasks are missing from: {message}"
            assert str(list(others)) in message, f"the saved tasks are missing from: {message}"

    def test_state_of_another_rule_is_refused(self) -> None:
        """A state saved by another class raises `StateError` with both names."""

        class SomeOtherRule(Uniform):
            pass

        weighting = self._bound(("a", "b"))
        state = SomeOtherRule().bind(("a", "b")).state_dict()
        message = refused(StateError, lambda: weighting.load_state_dict(state))
        assert "SomeOtherRule" in message, message
        assert type(weighting).__name__ in message, message

    # ---- bad input ---------------------------------------------------------------------------
    def test_unknown_task_is_refused(self) -> None:
        """A misspelt task raises `ConfigError` with a suggestion, and nothing has moved."""
        for argument in ("task_rewards", "improvements", "mean_abs_advantages"):
            message = self._refuses(argument, {"zebr": 0.5})
            assert "did you mean 'zebra'" in message, message

    def test_values_that_are_not_finite_are_refused(self) -> None:
        """NaN and infinities raise `ConfigError` that names the task, and nothing has moved."""
        for argument in ("task_rewards", "improvements", "mean_abs_advantages"):
            for value in (float("nan"), float("inf"), float("-inf")):
                message = self._refuses(argument, {"zebra": value})
                assert "zebra" in message, message

    def test_use_before_bind_is_refused(self) -> None:
        """Without tasks there are no weights, no update and no state."""
        weighting = self.make(("a", "b"))
        assert weighting.tasks == ()
        signals = signal_histories(("a", "b"))["constant"][0]
        refused(StateError, weighting.weights)
        refused(StateError, weighting.weight_array)
        refused(StateError, weighting.state_dict)
        refused(StateError, lambda: update(weighting, signals))

    def test_bind_once(self) -> None:
        """`bind` returns the weighting, and refuses a second time and bad names."""
        weighting = self.make(("a", "b"))
        assert weighting.bind(["a", "b"]) is weighting
        assert weighting.tasks == ("a", "b")
        refused(StateError, lambda: weighting.bind(["a", "b"]))
        for names in ([], ["a", "a"], ["a", ""], "ab"):
            refused(ConfigError, lambda n=names: self.make(("a", "b")).bind(n))

    # ---- how it was made -----------------------------------------------------------------
    def test_keeps_the_arguments_it_was_made_with(self) -> None:
        """They show in its repr and in a run's configuration, and make the same rule again."""
        for tasks in self.TASK_LISTS:
            weighting = self.make(tasks)
            arguments = constructor_arguments(weighting)
            again = type(weighting)(**arguments)

            assert constructor_arguments(again) == arguments, "made again, it is another rule"
            assert repr(weighting).startswith(f"{type(weighting).__name__}("), repr(weighting)
            assert " at 0x" not in repr(weighting), f"an address in {weighting!r}"

    # ---- figures -----------------------------------------------------------------------------
    def test_metrics_are_finite_numbers(self) -> None:
        """Metrics map names to finite numbers, before the first update too."""
        for tasks, name, history in self._cases():
            weighting = self._bound(tasks)
            for signals in [None, *history]:
                if signals is not None:
                    update(weighting, signals)
                for key, value in weighting.metrics().items():
                    assert np.isfinite(value), f"{name}: metric {key!r} is {value!r}"

    # ---- helpers -----------------------------------------------------------------------------
    def _refuses(self, argument: str, bad: Values) -> str:
        tasks = ("countdown", "zebra", "arc")
        weighting = self._bound(tasks)
        good: dict[str, Any] = vars(signal_histories(tasks)["constant"][0])
        weighting.update(**good)
        before = json.dumps(weighting.state_dict())
        message = refused(ConfigError, lambda: weighting.update(**{**good, argument: bad}))
        assert json.dumps(weighting.state_dict()) == before, f"a refused {argument} moved the state"
        return message


def _check_close(left: Values, right: Values, where: str) -> None:
    for task, weight in left.items():
        assert abs(weight - right[task]) <= 1e-9, (
            f"{where}: {task!r} has {weight!r} against {right[task]!r}"
        )
