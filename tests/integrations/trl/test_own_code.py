"""Adapters, environments, tools and trackers of a configuration: what cannot be used is one line."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    TrackioCallback,
)

from mtgrpo.errors import ConfigError, MissingExtra
from mtgrpo.integrations.trl import trackers as names
from mtgrpo.integrations.trl.adapters import lora_config
from mtgrpo.integrations.trl.own_code import (
    check_chats,
    check_factories,
    environment_factory,
    tools,
)
from mtgrpo.integrations.trl.reporting import reporting
from mtgrpo.integrations.trl.trackers import trackers
from mtgrpo.tasks import Task, TaskSet
from mtgrpo.tasks.prompts import PromptKind

CODE = '''
class Room:
    def reset(self, **row):
        return "a room"

    def knock(self, times: int) -> str:
        """Knock.

        Args:
            times: How often.
        """
        return "come in"


class Wall:
    pass


class Late:
    async def reset(self, **row):
        return "later"


def make_room():
    return Room()


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One.
        b: The other.
    """
    return a + b


def untyped(a):
    """Nothing is known of its argument."""


def undocumented(a: int) -> int:
    return a


NUMBER = 3
'''


@pytest.fixture(autouse=True)
def code(tmp_path, monkeypatch):
    (tmp_path / "own_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)


def tasks(**columns):
    rows = [{"prompt": "a", **columns}]
    return TaskSet(Task("say", rows, [], lambda completions, **_: [0.0] * len(completions)))


# ---- adapters ------------------------------------------------------------------------------------
def test_an_adapter_has_pefts_arguments_and_is_for_a_language_model():
    peft = pytest.importorskip("peft")
    lora = lora_config({"r": 4, "target_modules": ["q_proj"], "lora_dropout": 0, "lora_alpha": 8})
    assert isinstance(lora, peft.LoraConfig)
    assert (lora.r, lora.lora_alpha, lora.target_modules) == (4, 8, {"q_proj"})
    assert lora.task_type == "CAUSAL_LM"
    assert lora_config({}).r == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 8}, "peft: unknown argument of LoraConfig 'rank'"),
        ({"lora_alhpa": 8}, "(did you mean 'lora_alpha'?)"),
        ({"r": "8"}, "peft.r: '8' is text; a whole number is needed; no quotes"),
        ({"r": 0}, "peft.r: 0; at least 1 is needed"),
        ({"r": 1.5}, "peft.r: 1.5 is a number; a whole number is needed"),
        ({"lora_dropout": 1.5}, "peft.lora_dropout: 1.5; it must be in [0, 1)"),
        ({"target_modules": 3}, "peft.target_modules: 3 is a whole number; a list of text"),
        ({"inference_mode": True}, "unknown argument of LoraConfig 'inference_mode'"),
        ({"bias": 1, "use_dora": "yes"}, "peft.use_dora: 'yes' is text; true or false is needed"),
        ({"layers_pattern": "h"}, "is refused: "),
    ],
)
def test_bad_adapters(arguments, message):
    pytest.importorskip("peft")
    with pytest.raises(ConfigError) as caught:
        lora_config(arguments)
    assert message in str(caught.value)
    assert str(caught.value).startswith("peft")
    assert "\n" not in str(caught.value)


def test_without_peft_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"peft: not installed; .*pip install 'mtgrpo\[peft\]'"):
        lora_config({"r": 8})


# ---- environments and tools ----------------------------------------------------------------------
def test_environments_by_their_path():
    assert environment_factory(None, tasks()) is None
    assert environment_factory("own_code.py:Room", tasks()).__name__ == "Room"
    assert environment_factory("own_code:make_room", tasks()).__name__ == "make_room"
    several = environment_factory({"room": "own_code.py:Room"}, tasks(environment="room"))
    assert several["room"].__name__ == "Room"


@pytest.mark.parametrize(
    ("given", "columns", "message"),
    [
        ("own_code.py:Rom", {}, "environment: own_code.py has no 'Rom' (did you mean 'Room'?)"),
        ("own_code.py", {}, "environment: 'own_code.py' is no import path"),
        ("own_code.py:NUMBER", {}, "environment: own_code.py:NUMBER is a int"),
        ("own_code.py:Wall", {}, "environment: own_code.py:Wall has no method 'reset'"),
        ("own_code.py:Late", {}, "environment: own_code.py:Late.reset is async, but nothing waits"),
        ({}, {}, "environment: an empty mapping; name at least one"),
        ({"room": "own_code.py:Room"}, {}, "task 'say', train row 0: no column 'environment'"),
        (
            {"room": "own_code.py:Room"},
            {"environment": "rom"},
            "task 'say', train row 0: unknown environment 'rom' (did you mean 'room'?)",
        ),
        (
            {"room": "own_code.py:Wall"},
            {"environment": "room"},
            "environment.room: own_code.py:Wall has no method 'reset'",
        ),
    ],
)
def test_bad_environments(given, columns, message):
    with pytest.raises(ConfigError) as caught:
        environment_factory(given, tasks(**columns))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rewards_that_cannot_take_environments_are_refused():
    row = {"prompt": [{"role": "user", "content": "?"}]}
    narrow = TaskSet(Task("say", [row], [], lambda prompts, completions: [0.0]))
    check_factories(None, narrow, "here")
    check_factories(lambda: None, None, "here")
    with pytest.raises(ConfigError, match=r"^here: task 'say': .* but not environments; .*kwargs"):
        check_factories(lambda: None, narrow, "here")
    check_factories(lambda: None, tasks(), "here")


def test_tools_by_their_path():
    assert [tool(1, 2) for tool in tools(["own_code.py:add"])] == [3]
    assert tools([]) == []


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["own_code.py:ad"], "tools[0]: own_code.py has no 'ad' (did you mean 'add'?)"),
        (["own_code.py:add", "own_code.py:NUMBER"], "tools[1]: own_code.py:NUMBER is a int"),
        (["own_code.py:untyped"], "tools[0]: own_code.py:untyped cannot be described"),
        (
            ["own_code.py:undocumented"],
            "give every argument a type, and a line under 'Args:'",
        ),
        (["own_code.py:add", "own_code.py:add"], "two functions are called 'add'"),
    ],
)
def test_bad_tools(paths, message):
    with pytest.raises(ConfigError) as caught:
        tools(paths)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_calls_tools_needs_chats():
    check_chats("tools", PromptKind(True))
    check_chats("tools", None)
    with pytest.raises(ConfigError, match=r"^environment: the prompts are texts, in which a model"):
        check_chats("environment", PromptKind(False))


# ---- trackers ------------------------------------------------------------------------------------
def test_trackers_are_those_of_transformers():
    assert set(names.NAMES) >= set(INTEGRATION_TO_CALLBACK)
    assert trackers("none") == trackers([]) == trackers(["none"]) == []


def test_unknown_and_missing_trackers(monkeypatch):
    with pytest.raises(ConfigError, match=r"unknown tracker 'trakio' \(did you mean 'trackio'\?\)"):
        trackers(["trakio"])

    monkeypatch.setattr(names, "find_spec", lambda module: None)
    with pytest.raises(MissingExtra, match=r"report_to: trackio is not .*pip install trackio;"):
        trackers("trackio")
    with pytest.raises(MissingExtra, match=r"pip install tensorboard;"):
        trackers(["tensorboard"])

    monkeypatch.setattr(names, "find_spec", lambda module: module == "tensorboardX" or None)
    assert trackers("tensorboard") == ["tensorboard"]


class Trackio:
    """Refuses what trackio refuses."""

    def __init__(self):
        self.is_open, self.logged, self.runs = False, [], []
        self.config = {}
        self.context_vars = SimpleNamespace(current_space_id=SimpleNamespace(get=lambda: None))

    def init(self, **options):
        self.is_open = True
        self.runs.append(options["name"])

    def log(self, metrics):
        if not self.is_open:
            raise RuntimeError("Call trackio.init() before trackio.log().")
        self.logged.append(metrics)

    def finish(self):
        self.is_open = False


class Writer:
    def __init__(self, log_dir):
        self.log_dir = log_dir


def test_trackers_are_open_around_the_training_and_write_into_the_run_directory(tmp_path):
    trackio = TrackioCallback.__new__(TrackioCallback)
    trackio._trackio, trackio._initialized = Trackio(), False
    trackio._space_id = trackio._static_space_id = None
    board = TensorBoardCallback.__new__(TensorBoardCallback)
    board._SummaryWriter, board.tb_writer, board.logging_dir = Writer, None, None

    args = SimpleNamespace(
        project="p", run_name="run", trackio_space_id=None, hub_private_repo=None,
        trackio_bucket_id=None, trackio_static_space_id=None, to_dict=dict,
    )  # fmt: skip
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    trainer = SimpleNamespace(
        callback_handler=SimpleNamespace(callbacks=[trackio, board]),
        args=args,
        state=state,
        control=None,
        model=SimpleNamespace(num_parameters=lambda: 1),
    )
    with reporting(trainer, str(tmp_path)):
        trackio.on_log(args, state, None, logs={"eval_reward": 1.0})  # before training
        trackio.on_train_begin(args, state, None, model=trainer.model)
        trackio.on_train_end(args, state, None, model=trainer.model)
        trackio.on_log(args, state, None, logs={"eval_reward": 2.0})  # after it
        board._init_summary_writer(args)
    assert len(trackio._trackio.logged) == 2
    assert trackio._trackio.runs == ["run"]
    assert not trackio._trackio.is_open
    assert board.tb_writer.log_dir == str(tmp_path / "tensorboard")
    assert Path(board.tb_writer.log_dir).parent == tmp_path
