"""Prompts in the trainer: what TRL cannot take is refused with task and row, and all else reaches the model."""

from collections.abc import Sequence

import pytest

from mtgrpo.errors import TaskError
from mtgrpo.integrations.trl import MultiTaskGRPOTrainer
from mtgrpo.tasks import Task, TaskSet

from .toy import make_tasks, rows

CHAT = [{"role": "user", "content": "say e"}]


def vowels(*train, test: Sequence = ()) -> TaskSet:
    return TaskSet(
        Task("vowels", [{"prompt": p} for p in train], test, make_tasks()["medium"].reward)
    )


class Generated(Sequence):
    """Rows that are made when they are asked for; one of them is wrong."""

    def __init__(self, wrong: int, prompt):
        self.wrong, self.prompt = wrong, prompt

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return {"prompt": self.prompt} if i == self.wrong else rows("medium", 40)[i]


def test_all_rows_in_memory_are_checked_before_a_model_is_loaded(lab):
    tasks = vowels(*["say e"] * 400, CHAT)
    with pytest.raises(TaskError, match=r"^task 'vowels', train row 400: .* this one is chat"):
        MultiTaskGRPOTrainer("no/such-model", tasks=tasks, args=lab.config())
    tasks = vowels("say e", test=[{"prompt": "x"}, {"prompt": ""}])
    with pytest.raises(TaskError, match=r"^task 'vowels', test row 1: the prompt is empty"):
        MultiTaskGRPOTrainer("no/such-model", tasks=tasks, args=lab.config())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (CHAT, "this one is chat messages"),
        ("", "the prompt is empty"),
        ("\ud83d", "is half of a pair"),
    ],
)
def test_generated_rows_are_checked_as_they_come(lab, prompt, message):
    medium = make_tasks()["medium"]
    tasks = TaskSet(Task("vowels", Generated(17, prompt), [], medium.reward))
    trainer = lab.trainer(tasks, max_steps=20)
    with pytest.raises(TaskError, match=rf"^task 'vowels', train row 17: .*{message}"):
        trainer.train()

    tasks = TaskSet(Task("vowels", [], Generated(17, prompt), medium.reward))
    trainer = lab.trainer(tasks)
    with pytest.raises(TaskError, match=rf"^task 'vowels', test row 17: .*{message}"):
        trainer.evaluate()


def chatting(lab, template: str, *train) -> MultiTaskGRPOTrainer:
    tokenizer = lab.tokenizer()
    tokenizer.chat_template = template
    return MultiTaskGRPOTrainer(
        lab.model(),
        tasks=vowels(*train),
        args=lab.config(max_steps=1),
        processing_class=tokenizer,
    )


def test_images_for_a_model_that_reads_none_are_refused(lab):
    content = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    pictured = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image"}]}]
    with pytest.raises(
        TaskError, match=r"^task 'vowels', train row 1: the prompt has images, but this model reads"
    ):
        chatting(lab, content, CHAT, pictured)


def test_all_keys_of_messages_reach_the_chat_template(lab):
    template = "{% for m in messages %}{{ m['name'] }}:{{ m['content'] }}{% endfor %}"
    named = ({**CHAT[0], "name": "ada"},)  # a tuple of messages is as good as a list
    trainer = chatting(lab, template, *[named] * 20)
    seen = []
    generate = trainer._generate_single_turn
    trainer._generate_single_turn = lambda ids, *others: seen.extend(ids) or generate(ids, *others)
    trainer.train()
    assert {trainer.processing_class.decode(ids).replace(" ", "") for ids in seen} == {"ada:saye"}
