"""What happens at which moment of TRL's loop."""

from types import SimpleNamespace

from mtgrpo.integrations.trl.callback import StepCallback, StopCallback

from .engine import Dice, Processes, make_step
from .toy import make_tasks


def state(step=2, max_steps=9):
    return SimpleNamespace(global_step=step, max_steps=max_steps)


def test_the_step_is_closed_before_it_is_logged():
    engine = Dice(make_tasks())
    step = make_step(engine)
    callback = StepCallback(step)
    callback.on_train_begin(None, None, None)
    step.choose_groups()
    callback.on_step_end(None, None, None)
    assert step.mixer.batch is None
    assert len(engine.logged) == 1


def test_only_logs_of_training_are_written():
    written = []
    step = make_step()
    step.write_log = lambda number, logs: written.append((number, logs))
    callback = StepCallback(step)
    callback.on_log(None, state(), None, {"eval_reward": 1.0})
    callback.on_log(None, state(), None, None)
    callback.on_log(None, state(), None, {"loss": 0.5})
    assert written == [(2, {"loss": 0.5})]


def test_a_run_stops_between_two_batches_on_all_processes():
    stop = SimpleNamespace(requested=True, check_parent=lambda: None)
    for is_between in (True, False):
        mixer = SimpleNamespace(batch=None if is_between else object())
        control = SimpleNamespace(should_save=False, should_training_stop=False)
        StopCallback(stop, mixer, Processes(2)).on_step_end(None, state(), control)
        assert control.should_save == control.should_training_stop == is_between


def test_the_last_step_is_not_stopped():
    stop = SimpleNamespace(requested=True, check_parent=lambda: None)
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    callback = StopCallback(stop, SimpleNamespace(batch=None), Processes())
    callback.on_step_end(None, state(step=9), control)
    assert not control.should_training_stop
