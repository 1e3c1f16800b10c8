"""Which prompts are not worth asking again soon, in one byte for each.

A prompt whose last group was all right or all wrong will often give such a group again,
which moves nothing. Each time the stream comes to such a prompt it is asked with a
chance below 1, else passed over. How small the chance is follows from what happens when
such prompts *are* asked: half as many informative groups as from other prompts, half
the chance. Where one constant group says little (few completions, a policy that moves
fast), little is passed over.

What is asked is then no fair sample of a task's prompts any more. `Draw` carries what
it takes to see the task as a whole all the same: `fair_mean` of what `Draw.corrected`
returns.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from dataclasses import dataclass

from mtgrpo.core.types import Draw, State
from mtgrpo.errors import StateError, counted

# 4 MB a task. Of more prompts than this a run will not see one twice.
MOST_PROMPTS = 2**22
# A prompt is asked with a chance of at least 1/8 each time: a change of the policy is noticed.
LEAST_CHANCE = 1 / 8
# Constant groups in a row that are told apart.
MOST_IN_A_ROW = 3
# Groups after which a count has forgotten two thirds.
WINDOW = 256


def fair_mean(asked_sum: float, num_asked: float, num_skipped: float, num_right: float) -> float:
    """The mean over all prompts that the stream came to, asked or passed over; unbiased.

    How many are asked is fixed and how many are passed over on the way is not, so n of
    N asked is no fair share: ``(n - 1) / (N - 1)`` is, as the last one is always asked.

    Args:
        asked_sum: Sum over the prompts asked, each as `Draw.corrected` returns it.
        num_asked: How many these are, at least 1.
        num_skipped: Prompts passed over before them.
        num_right: Prompts among those that were predicted right: their value is 1, that of
            the others 0.

    Source: inverse sampling, Haldane, Biometrika 1945.
    """
    asked = asked_sum / num_asked
    if num_skipped == 0:
        return asked

    share = (num_asked - 1) / (num_asked + num_skipped - 1)
    return share * asked + (1 - share) * num_right / num_skipped


@dataclass(slots=True)
class MemoryTally:
    """What the memory did since it was last asked.

    Attributes:
        asked: Prompts asked.
        skipped: Prompts passed over.
        probes: Prompts asked whose last group was constant.
        informative: Informative groups among those asked.
        expected: Informative groups that asking every prompt would have given,
            estimated without bias.
    """

    asked: int = 0
    skipped: int = 0
    probes: int = 0
    informative: int = 0
    expected: float = 0.0

    @property
    def acceptance_unskipped(self) -> float:
        """The acceptance rate as it would be without the memory; 0 when there were no groups."""
        if not self.asked:
            return 0.0
        return min(1.0, fair_mean(self.expected, self.asked, self.skipped, 0))

    @property
    def skipped_rate(self) -> float:
        """Prompts passed over, of those the stream came to; 0 when there were none."""
        return self.skipped / max(1, self.asked + self.skipped)


class PromptMemory:
    """The last groups of one task's prompts: how many in a row were all wrong, or all right.

    Args:
        size: Number of prompts. Those from `MOST_PROMPTS` on are not remembered.
    """

    def __init__(self, size: int) -> None:
        # 0: nothing known, or informative; 1 to 3: so often all wrong; 4 to 6: so often
        # (less 3) all right.
        self._codes = bytearray(min(size, MOST_PROMPTS))

        # Optimistic: at first all are asked.
        num_codes = 1 + 2 * MOST_IN_A_ROW
        self._asked, self._informative = [1.0] * num_codes, [1.0] * num_codes
        self._tally = MemoryTally()

    def resize(self, size: int) -> None:
        """Go on with more or fewer prompts; nothing is known of those added at the end."""
        num_known = min(size, MOST_PROMPTS)
        kept = self._codes[:num_known]
        self._codes = kept + bytearray(num_known - len(kept))

    def chance(self, row: int) -> float:
        """The probability with which the prompt should be asked when its turn comes."""
        code = self._code(row)
        if code == 0:
            return 1.0

        rate = self._informative[code] / self._asked[code]
        usual = self._informative[0] / self._asked[0]
        return min(1.0, max(LEAST_CHANCE, rate / usual))

    def predicted(self, row: int) -> float | None:
        """The accuracy to expect of the prompt's next group, 0 or 1; None where it is not known."""
        code = self._code(row)
        return None if code == 0 else float(code > MOST_IN_A_ROW)

    def note(self, draw: Draw, accuracy: float, is_informative: bool) -> None:
        """Take note of a group.

        Args:
            draw: How its prompt was drawn.
            accuracy: Mean accuracy of its completions; NaN, when none could be scored,
                says nothing of the prompt.
            is_informative: Whether it passes the filter; without one, whether it would pass the
                default.
        """
        tally = self._tally
        tally.asked += 1
        tally.skipped += draw.num_skipped
        tally.probes += draw.predicted is not None
        tally.informative += is_informative
        tally.expected += is_informative / draw.chance

        if math.isnan(accuracy) or draw.row >= len(self._codes):
            return

        code = self._codes[draw.row]
        self._asked[code] += 1 - self._asked[code] / WINDOW
        self._informative[code] += is_informative - self._informative[code] / WINDOW
        self._codes[draw.row] = _next_code(code, accuracy, is_informative)

    def end_step(self) -> MemoryTally:
        """What happened since the last call."""
        tally, self._tally = self._tally, MemoryTally()
        return tally

    def _code(self, row: int) -> int:
        return self._codes[row] if row < len(self._codes) else 0

    def state_dict(self) -> State:
        """Everything but the tally of an unfinished step; 1 to 3 KB for 10,000 prompts."""
        return {
            "codes": base64.b64encode(zlib.compress(bytes(self._codes))).decode("ascii"),
            "asked": list(self._asked),
            "informative": list(self._informative),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore what `state_dict` returned.

        Raises:
            StateError: Saved for another number of prompts, or damaged.
        """
        try:
            codes = zlib.decompress(base64.b64decode(state["codes"], validate=True))
        except (binascii.Error, zlib.error) as error:
            raise StateError(
                f"prompt memory: the state is damaged ({error}); use another checkpoint"
            ) from error

        if len(codes) != len(self._codes):
            raise StateError(
                f"prompt memory: saved for {counted(len(codes), 'prompt')}, now "
                f"{len(self._codes)}; "
                "resume with the same rows"
            )

        self._codes = bytearray(codes)
        self._asked, self._informative = list(state["asked"]), list(state["informative"])
        self._tally = MemoryTally()


def _next_code(code: int, accuracy: float, is_informative: bool) -> int:
    """What is known of a prompt after a group, from what was known before."""
    if is_informative:
        return 0

    first = 1 + MOST_IN_A_ROW * (accuracy >= 0.5)
    last = first + MOST_IN_A_ROW - 1
    return min(code + 1, last) if first <= code <= last else first
