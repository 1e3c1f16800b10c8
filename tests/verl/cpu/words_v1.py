"""Two tasks for the model of thirty words, as a taskset of verifiers."""

import verifiers.v1 as vf

__all__ = ["Words"]


class Question(vf.TaskData):
    kind: str
    digit: str


class Word(vf.Task[Question]):
    @vf.reward
    async def said(self, trace) -> float:
        words = trace.last_reply.split()
        if self.data.kind == "copy":
            return float(self.data.digit in words)
        return float(any(word.isdigit() for word in words[:2]))


class WordsConfig(vf.TasksetConfig):
    kind: str = "copy"


class Words(vf.Taskset[Word, WordsConfig]):
    def load(self):
        for letter in "abcd":
            for digit in map(str, range(10)):
                prompt = f"{self.config.kind} {digit} {letter}"
                yield Word(Question(prompt=prompt, kind=self.config.kind, digit=digit))
