import pytest

from mtgrpo.tasks import Score, completion_text, each


def test_completion_text():
    assert completion_text("abc") == "abc"
    assert completion_text([{"role": "assistant", "content": "abc"}]) == "abc"
    assert (
        completion_text(
            [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]
        )
        == "a\nb"
    )
    tool_use = [
        {"role": "assistant", "content": "let me look"},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "it is 42"},
    ]
    assert completion_text(tool_use) == "it is 42"
    assert completion_text(tool_use[:2]) == "let me look"
    assert (
        completion_text(
            [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]
        )
        == "a"
    )
    assert completion_text([{"role": "assistant", "content": None}]) == ""
    assert completion_text([]) == ""
    with pytest.raises(TypeError, match="message content: found int"):
        completion_text([{"role": "assistant", "content": 3}])


def test_each_gives_text_and_row():
    seen = []

    def right(text, row):
        """Doc."""
        seen.append((text, dict(row)))
        return Score(2.0, 1.0)

    reward = each(right)
    # TRL's own extra arguments are no columns.
    values = reward(
        prompts=["p", "q"],
        completions=["a", [{"role": "assistant", "content": "b"}]],
        answer=[1, 2],
        trainer_state=object(),
        log_metric=None,
    )
    assert values == [Score(2.0, 1.0)] * 2
    assert seen == [("a", {"prompt": "p", "answer": 1}), ("b", {"prompt": "q", "answer": 2})]
    assert reward.__name__ == "right"
    assert reward.__doc__ == "Doc."
