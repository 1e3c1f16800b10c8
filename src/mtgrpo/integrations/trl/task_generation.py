"""Tasks that are sampled in their own way: their rows generated apart, their logits scaled apart.

TRL has one temperature, one top-p and one length for all rows. Rows of equal settings are generated
in one call of TRL's own method, with these in the place of the run's. The log-probabilities of a
row are those at its own temperature wherever TRL computes some: in the loss, of the policy that
generated, and of the reference model. TRL divides all logits by the run's temperature T; the hidden
states of a row with temperature T_k are multiplied by T / T_k before the head, which is linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from mtgrpo.errors import ConfigError
from mtgrpo.integrations.trl.prompt_sharing import without_wrapper
from mtgrpo.integrations.trl.rollouts import task_of
from mtgrpo.tasks.generation import AS_THE_RUN, Generation
from mtgrpo.tasks.task import Task
from mtgrpo.tasks.task_set import TaskSet

TEMPERATURES = "mtgrpo_temperatures"
"""Key of each row's temperature in a batch, shape (rows,), where tasks have their own."""
PROBE_SCALE = 16.0  # a power of two, so that a linear head gives its multiple bit for bit


class Settings(NamedTuple):
    """How a row is sampled."""

    temperature: float
    top_p: float
    length: int


class TaskGeneration:
    """Samples rows as their tasks ask for, and scales their logits likewise.

    Args:
        tasks: With their settings; none by default.
        check: Refuses settings that the engine cannot give a task.

    Attributes:
        by_task: The settings of the tasks that have some of their own.
    """

    def __init__(
        self, tasks: Iterable[Task] = (), check: Callable[[Any], None] = lambda _: None
    ) -> None:
        check(tasks)
        self.by_task = {task.name: task.generation for task in tasks if task.generation}
        self._check = check
        self._of_rows: list[Generation] | None = None  # of the rows that TRL works on now
        self._temperatures: torch.Tensor | None = None  # likewise, where they differ from TRL's

    def __repr__(self) -> str:
        return f"TaskGeneration({self.by_task})"

    def with_tasks(self, tasks: TaskSet, trainer: Any) -> TaskGeneration:
        """The same for other tasks.

        Raises:
            ConfigError: As for those that the trainer began with.
        """
        other = TaskGeneration(tasks, self._check)
        other.check_model(trainer)
        return other

    def check_model(self, trainer: Any) -> None:
        """Refuse a model whose rows cannot be told apart.

        Args:
            trainer: TRL's, complete.

        Raises:
            ConfigError: It reads images, is sharded or replicated, or its head is not linear and a
                temperature differs.
        """
        if not self.by_task:
            return

        switches = {
            "the model reads images": trainer._is_vlm,
            # Launchers say it as well as TRL's arguments.
            "the model is sharded": trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled,
            "the model is replicated within a process": trainer.args.n_gpu > 1,
        }
        reason = next((reason for reason, is_so in switches.items() if is_so), "")
        if reason:
            name, settings = next(iter(self.by_task.items()))
            raise ConfigError(
                f"task {name!r}: generation: {settings.in_words()}; a task has no settings of its "
                f"own here, because {reason}; take generation out of the task"
            )

        for name, temperature in self._own_temperatures(trainer).items():
            model = without_wrapper(trainer.accelerator.unwrap_model(trainer.model))
            if reason := why_no_own_temperature(model):
                raise ConfigError(
                    f"task {name!r}: generation.temperature: {temperature:g}; a task has no "
                    f"temperature of its own here, because {reason}; take temperature out of the "
                    "task's generation"
                )

    def _own_temperatures(self, trainer: Any) -> dict[str, float]:
        own = {name: settings.temperature for name, settings in self.by_task.items()}
        return {
            name: value
            for name, value in own.items()
            if value is not None and value != trainer.temperature
        }

    # ---- which rows TRL works on ---------------------------------------------------------------
    @contextmanager
    def of_rows(self, rows: Sequence[Mapping[str, Any]], trainer: Any) -> Iterator[None]:
        """While TRL works on rows of tasks, one after the other as they are here."""
        if not self.by_task:
            yield
            return

        self._of_rows = [self.by_task.get(task_of(row), AS_THE_RUN) for row in rows]
        try:
            with self._at(self._temperatures_of(self._of_rows, trainer)):
                yield
        finally:
            self._of_rows = None

    @contextmanager
    def of_inputs(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        """While a loss is computed, or a pass repeated, of inputs that `mark` has marked."""
        with self._at(inputs.get(TEMPERATURES)):
            yield

    @contextmanager
    def _at(self, temperatures: torch.Tensor | None) -> Iterator[None]:
        before, self._temperatures = self._temperatures, temperatures
        try:
            yield
        finally:
            self._temperatures = before

    def _temperatures_of(self, settings: Sequence[Generation], trainer: Any) -> torch.Tensor | None:
        if not self._own_temperatures(trainer):
            return None
        own = [trainer.temperature if s.temperature is None else s.temperature for s in settings]
        return torch.tensor(own, dtype=torch.float32, device=trainer.accelerator.device)  # (rows,)

    def mark(self, output: dict[str, Any], rows: Sequence[Mapping[str, Any]], trainer: Any) -> None:
        """Add each row's temperature to what TRL made of the rows, where tasks have their own."""
        settings = [self.by_task.get(task_of(row), AS_THE_RUN) for row in rows]
        temperatures = self._temperatures_of(settings, trainer)
        if temperatures is not None:
            output[TEMPERATURES] = temperatures

    # ---- generation ----------------------------------------------------------------------------
    def generate(
        self,
        trainer: Any,
        method: Callable[..., tuple[Any, Any]],
        prompt_ids: Sequence[Any],
        *others: Any,
        **named: Any,
    ) -> tuple[Any, Any]:
        """Completions and their log-probabilities, one per prompt.

        Args:
            trainer: TRL's.
            method: TRL's own ``_generate_single_turn``.
            prompt_ids: Token ids of each row.
            others: The method's other arguments.
            named: The same, by name.
        """

        def alike(prompts: Sequence[Any]) -> tuple[Any, Any]:
            sharing = trainer.sharing
            if sharing.on and trainer.generation_config.top_p in (None, 1.0):
                model = trainer.accelerator.unwrap_model(trainer.model)
                return sharing.generate(model, prompts, trainer.generation_config), None
            return method(prompts, *others, **named)

        run = Settings(trainer.temperature, trainer.top_p, trainer.max_completion_length)
        wanted = [_resolved(settings, run) for settings in self._of_rows or ()]
        if all(settings == run for settings in wanted):
            return alike(prompt_ids)

        ids: list[Any] = [None] * len(prompt_ids)
        log_probs: list[Any] = [None] * len(prompt_ids)
        for settings, places in _runs(wanted, by_length=trainer.use_vllm).items():
            with _sampling(trainer, settings):
                new, scores = alike([prompt_ids[i] for i in places])

            for n, i in enumerate(places):
                length = wanted[i].length
                ids[i] = new[n][:length]
                log_probs[i] = None if scores is None else scores[n][:length]

        return ids, None if log_probs[0] is None else log_probs

    # ---- log-probabilities ---------------------------------------------------------------------
    @contextmanager
    def scaled(self, model: Any, trainer: Any) -> Iterator[None]:
        """While TRL computes log-probabilities of the rows, in passes of some of them in turn.

        Args:
            model: Whose they are; wrapped or not.
            trainer: TRL's.
        """
        temperatures = self._temperatures
        if temperatures is None or bool((temperatures == trainer.temperature).all()):
            yield
            return

        factors = trainer.temperature / temperatures  # (rows,)
        backbone = without_wrapper(trainer.accelerator.unwrap_model(model)).base_model
        start = 0

        def scale(module: Any, given: Any, output: Any) -> Any:
            nonlocal start
            hidden = output.last_hidden_state  # (rows of this pass, tokens, size)
            part = factors[start : start + len(hidden)]
            start += len(hidden)
            output.last_hidden_state = _times(hidden, part)
            return output

        handle = backbone.register_forward_hook(scale)
        try:
            yield
        finally:
            handle.remove()


def _times(hidden: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Hidden states, shape (rows, tokens, size), times a number a row; rounded once."""
    return (hidden.float() * factors.view(-1, 1, 1)).to(hidden.dtype)


def _resolved(settings: Generation, run: Settings) -> Settings:
    return Settings(
        run.temperature if settings.temperature is None else float(settings.temperature),
        run.top_p if settings.top_p is None else float(settings.top_p),
        settings.max_completion_length or run.length,
    )


def _runs(wanted: Sequence[Settings], *, by_length: bool) -> dict[Settings, list[int]]:
    """The rows of each call, in order.

    vLLM schedules rows by themselves, so that each should stop at its own length. ``generate()``
    takes as long as the longest of a call: lengths are made by cutting, and need no calls.
    """
    if by_length:
        lengths = [settings.length for settings in wanted]
    else:
        longest: dict[tuple[float, float], int] = {}
        for settings in wanted:
            longest[settings[:2]] = max(longest.get(settings[:2], 0), settings.length)
        lengths = [longest[settings[:2]] for settings in wanted]

    runs: dict[Settings, list[int]] = {}
    for i, (settings, length) in enumerate(zip(wanted, lengths, strict=True)):
        runs.setdefault(settings._replace(length=length), []).append(i)
    return runs


@contextmanager
def _sampling(trainer: Any, settings: Settings) -> Iterator[None]:
    """While TRL generates with these settings in the place of the run's."""
    if trainer.use_vllm:
        names = ("temperature", "top_p", "max_completion_length")
        with _changed(trainer.vllm_generation, dict(zip(names, settings, strict=True))):
            yield
        return

    changes = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": settings.length,
    }
    given = {**trainer.generation_kwargs, **changes}
    with (
        _changed(trainer.generation_config, changes),
        _changed(trainer, {"generation_kwargs": given}),
    ):
        yield


@contextmanager
def _changed(owner: Any, values: Mapping[str, Any]) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def why_no_own_temperature(model: Any) -> str:
    """What keeps logits from being scaled by way of the hidden states; empty if nothing does.

    Args:
        model: Unwrapped.
    """
    if hasattr(model, "get_base_model"):  # peft's wrapper, which others are unwrapped from
        return "the adapter adds tokens to the prompt"
    if getattr(model.config.get_text_config(), "final_logit_softcapping", None):
        return "the model caps its logits"
    if not has_linear_head(model):
        return "the logits of the model are not proportional to its hidden states (a bias, say)"
    return ""


@torch.no_grad()
def has_linear_head(model: Any) -> bool:
    """Whether hidden states times a number give logits times that number; by trying it."""
    ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)  # (rows, tokens)

    def multiply(module: Any, given: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state * PROBE_SCALE
        return output

    was_training = model.training
    model.eval()
    try:
        plain = model(input_ids=ids).logits.float()  # (1, 1, vocabulary)
        handle = model.base_model.register_forward_hook(multiply)
        try:
            scaled = model(input_ids=ids).logits.float()
        finally:
            handle.remove()
    finally:
        model.train(was_training)

    most = float(plain.abs().max()) * PROBE_SCALE
    return bool((scaled - plain * PROBE_SCALE).abs().max() <= 1e-3 * most)
