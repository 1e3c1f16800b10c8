"""Messages arrive whole and in order, however they are cut up on the way."""

import json
import math
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgrpo.tasks.children.channel import Channel, Inbox, frame

MESSAGES = [{"a": 1}, [], "text \ud800 ünï", 0, {"long": "x" * 3000}]


@given(st.lists(st.integers(1, 700), min_size=1))
def test_messages_cut_into_pieces(sizes):
    stream = b"".join(map(frame, MESSAGES))
    inbox, taken, i = Inbox(), [], 0
    while i < len(stream):
        for size in sizes:
            inbox.add(stream[i : i + size])
            i += size
            while (message := inbox.take()) is not None:
                taken.append(message)
    assert taken == MESSAGES


def test_numpy_travels_as_plain_numbers():
    inbox = Inbox()
    inbox.add(frame([np.float32(0.5), np.arange(3), np.int64(7), math.inf]))
    assert inbox.take() == [0.5, [0, 1, 2], 7, math.inf]


def test_what_json_cannot_hold_is_an_error():
    with pytest.raises(TypeError, match="a object"):
        frame(object())
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        frame(loop)


def test_a_channel_moves_more_than_a_pipe_holds():
    requests_out, requests_in = os.pipe()
    answers_out, answers_in = os.pipe()
    channel = Channel(requests_out, answers_in)
    long = "x" * 3_000_000

    def other_side() -> None:
        for descriptor, rest in ((requests_in, frame(long)),):
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.close(descriptor)

    thread = threading.Thread(target=other_side)
    thread.start()
    assert channel.receive() == long
    assert channel.receive() is None
    thread.join()

    received = bytearray()
    reader = threading.Thread(
        target=lambda: received.extend(iter_read(answers_out, len(frame(long))))
    )
    reader.start()
    channel.send(long)
    channel.close()
    reader.join()
    os.close(answers_out)
    assert json.loads(received[8:]) == long


def iter_read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(descriptor, 2**20)
    return data
