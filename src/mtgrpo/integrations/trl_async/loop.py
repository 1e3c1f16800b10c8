"""TRL's own rollout loop, whose prompts the mixer deals and whose groups become batches."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from trl.experimental.async_grpo.async_rollout_worker import (
    TurnRecord,
    _AsyncRolloutLoop,
    _chain_to_sequences,
)

from mtgrpo.core.tickets import Ticket
from mtgrpo.core.types import Cost, Group
from mtgrpo.errors import MtgrpoError, RewardError
from mtgrpo.integrations.trl_async.batches import BatchMaker
from mtgrpo.integrations.trl_async.environments import Environments, Episode
from mtgrpo.tasks.scores import Score
from mtgrpo.tasks.scoring.drop_limit import DropLimit
from mtgrpo.tasks.scoring.scorer import Item, Scorer
from mtgrpo.tasks.task_set import TaskSet

NO_ROLLOUT = ([], [], [], 0, 0, None)
"""What TRL gets of a completion that failed; its group never reaches the trainer."""

MOST_TIMED_OUT = 100
"""Groups given up in a row, whichever tasks they are of, after which the run ends; twice those that
are in flight where these are more, so that one stall of a server is not the end."""

logger = logging.getLogger("mtgrpo")


class MultiTaskRolloutLoop(_AsyncRolloutLoop):
    """Where TRL's loop takes the next row, rolls a prompt out, and scores a group.

    Args:
        batches: Deals the prompts, takes the groups.
        tasks: Have the rows.
        scorer: Scores completions.
        environments: Of the completions; by default there are none, and no tools.
        rollout_timeout: Seconds after which a completion is cancelled, and its group given up.
        loop_kwargs: TRL's.
    """

    _provides_rollout_reward = True

    def __init__(
        self,
        *,
        batches: BatchMaker,
        tasks: TaskSet,
        scorer: Scorer,
        environments: Environments | None = None,
        rollout_timeout: float | None = None,
        **loop_kwargs: Any,
    ) -> None:
        self.environments = environments or Environments()
        # TRL looks at tools for the chat template; those called are the episode's.
        super().__init__(tools=self.environments.all_tools, **loop_kwargs)
        self.batches, self.tasks, self.scorer = batches, tasks, scorer
        self.rollout_timeout = rollout_timeout
        self.drop_limit = DropLimit({task.name: task.scoring for task in tasks})
        self.reward_func_names.append("reward")  # TRL has no name for a loop's own reward
        self._tickets: dict[int, Ticket] = {}
        self._rows: dict[int, Mapping[str, Any]] = {}
        self._timed_out = 0  # groups since one came back whole
        in_flight = math.ceil(self.max_inflight_tasks / self.num_generations)
        self._most_timed_out = max(MOST_TIMED_OUT, 2 * in_flight)

    async def _run_loops(self, stop_event: asyncio.Event) -> None:
        try:
            await super()._run_loops(stop_event)
        finally:
            # Where one of its two loops fails, TRL leaves the other one to the end of its process.
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    # ---- prompts -------------------------------------------------------------------------------
    def _repeat_iterator(self) -> Iterator[tuple[int, dict[str, Any]]]:
        while True:
            ticket = self.batches.next_prompt(self.model_version)
            self._tickets[ticket.number] = ticket
            row = self._rows[ticket.number] = self.tasks[ticket.task].train[ticket.row]

            for _ in range(self.num_generations):
                yield ticket.number, {"prompt": row["prompt"]}

    # ---- completions ---------------------------------------------------------------------------
    async def _generate_one(
        self, prompt: Any, tool_dict: Any, tools: Any, group_id: int = 0
    ) -> tuple[Any, ...]:
        if not self.batches.awaits(group_id):
            return NO_ROLLOUT  # given up meanwhile

        is_text = isinstance(prompt, str)
        rollout = self._complete_text(prompt) if is_text else self._play(group_id)

        reason = "failed"
        try:
            outcome = await asyncio.wait_for(_outcome(rollout), self.rollout_timeout)
        except asyncio.TimeoutError:
            reason, outcome = "stale", f"no completion within {self.rollout_timeout:g} s"

        if not isinstance(outcome, str):
            return outcome

        if self.batches.awaits(group_id):
            ticket = self._tickets[group_id]
            logger.warning("task %r, prompt %d: given up: %s", ticket.task, ticket.row, outcome)
            self.batches.give_up(group_id, reason)
            self._count_timed_out(ticket, reason)
        return NO_ROLLOUT

    def _count_timed_out(self, ticket: Ticket, reason: str) -> None:
        if reason != "stale":
            return  # groups that fail have a limit of their own, in the ledger

        self._timed_out += 1
        if self._timed_out >= self._most_timed_out:
            raise RewardError(
                f"task {ticket.task!r}, prompt {ticket.row}: the last {self._timed_out} groups, of "
                f"all tasks, were not completed within rollout_timeout={self.rollout_timeout:g} s; "
                "raise it, or look into the environment and the server, and resume"
            )

    async def _play(self, number: int) -> tuple[Any, ...]:
        """TRL's own rollout of a chat, in an environment where there are some."""
        ticket = self._tickets[number]
        episode = await self.environments.begin(self._rows[number])

        rollout = await super()._generate_one(episode.prompt, episode.calls, episode.tools, number)
        where = f"task {ticket.task!r}, prompt {ticket.row}"
        scoring = self.tasks[ticket.task].scoring
        await self.environments.finish(episode, where, scoring.on_error)
        # In the place of TRL's reward of a rollout: what `_take` needs of it.
        return (*rollout[:-1], episode)

    async def _complete_text(self, prompt: str) -> tuple[Any, ...]:
        """What TRL's own method does with chats, for a prompt that is a text."""
        start = time.monotonic()
        prompt_ids = list(self.tokenizer(prompt)["input_ids"])
        ids, log_probs = await self._generate_one_turn(prompt_ids)

        completion = self.tokenizer.decode(ids, skip_special_tokens=True)
        sequences, tally = _chain_to_sequences(
            [TurnRecord(prompt_ids, ids, log_probs)], uuid.uuid4().hex, self._fork_threshold_tokens
        )
        self._push_rollout_metrics(
            turns=1,
            sequences=len(sequences),
            completion_ids=ids,
            tally=tally,
            loop_exhausted=False,
            duration_s=time.monotonic() - start,
        )
        return completion, ids, sequences, 0, 0, None

    # ---- groups --------------------------------------------------------------------------------
    async def _score_group(self, group: Any) -> list[Any]:
        ticket = self._tickets.pop(group.group_id)
        if self.batches.awaits(ticket.number):
            self._timed_out = 0
            await self._take(ticket, group)
        self.environments.take_back(group.rollout_rewards)
        del self._rows[ticket.number]

        if not self.batches.fill():
            return []
        await self._until_fetched()
        return [] if self._stop_event.is_set() else self.batches.make().samples

    async def _take(self, ticket: Ticket, group: Any) -> None:
        episodes: list[Episode | None] = group.rollout_rewards
        group.prompts = [
            prompt if episode is None else episode.prompt
            for prompt, episode in zip(group.prompts, episodes, strict=True)
        ]
        scores = await asyncio.to_thread(self._score, ticket, group)
        rewards = [
            score.reward + ((episode and episode.reward) or 0.0)
            for score, episode in zip(scores, episodes, strict=True)
        ]
        self.drop_limit.observe([(ticket.task, any(map(math.isnan, rewards)))], self.scorer.reason)

        samples = await super()._score_group(replace(group, rollout_rewards=rewards))  # advantages
        if len(samples) != self.num_generations:
            # A batch of another number of rows would move the borders of all later ones.
            logger.warning(
                "task %r, prompt %d: given up: TRL made %d samples of %d completions",
                ticket.task,
                ticket.row,
                len(samples),
                self.num_generations,
            )
            self.batches.give_up(ticket.number, "failed")
            return

        is_graded = any(score.accuracy is None for score in scores)
        accuracies = () if is_graded else tuple(float(score.accuracy or 0.0) for score in scores)
        cost = Cost(tokens=sum(float(sample.completion_mask.sum()) for sample in samples))
        self.batches.take(
            ticket.number,
            Group(ticket.task, tuple(rewards), accuracies, payload=samples, cost=cost),
        )

    def _score(self, ticket: Ticket, group: Any) -> list[Score]:
        row = self._rows[ticket.number]
        items: list[Item] = []
        for i, completion in enumerate(group.completions):
            columns = {**row, "prompt": group.prompts[i]}
            if self.environments.factory is not None:  # the column that rewards of TRL get
                columns["environments"] = group.rollout_rewards[i].environment

            items.append(Item(ticket.task, columns, ticket.row, completion, ticket.number))
        return self.scorer.score(items)

    async def _until_fetched(self) -> None:
        """Wait until the trainer has fetched the last batch: the next one is made no sooner."""
        while self.rollout_buffer.qsize() and not self._stop_event.is_set():
            self._heartbeat_value.value = time.time()
            await asyncio.sleep(0.01)


def cause_of(error: BaseException) -> BaseException:
    """What to raise in the trainer for an error of the loop's thread."""
    if isinstance(error, MtgrpoError):
        return error
    return RuntimeError(f"the rollout loop ended: {type(error).__name__}: {error}")


async def _outcome(rollout: Awaitable[tuple[Any, ...]]) -> tuple[Any, ...] | str:
    """A rollout, or why it failed: timeouts of servers and environments are none of ours.

    Raises:
        MtgrpoError: One of the run, which does not go on without a group.
    """
    try:
        return await rollout
    except MtgrpoError:
        raise
    except Exception as failure:
        return f"{type(failure).__name__}: {failure}"
