import pytest

pytest.importorskip("trl")

from mtgrpo.errors import ConfigError, MissingExtra
from mtgrpo.integrations import trl_async
from mtgrpo.integrations.trl_async import seam


def installed_has_it() -> bool:
    from importlib.metadata import version

    return version("trl").startswith(f"{seam.WRITTEN_FOR}.")


@pytest.mark.skipif(not installed_has_it(), reason="written for another TRL than the installed one")
def test_the_installed_trl_has_what_is_used_of_it():
    seam.check_seam()


def test_another_trl_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(seam.USED, "async_rollout_worker:_AsyncRolloutLoop.run", ("self", "more"))
    with pytest.raises(ConfigError, match=r"another asynchronous trainer than TRL 1\.16") as caught:
        seam.check_seam()
    assert "\n" not in str(caught.value)


def test_a_trl_without_it_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(seam, "PACKAGE", "trl.experimental.nowhere")
    with pytest.raises(ConfigError, match=r"install trl==1\.16"):
        seam.check_seam()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(trl_async, "NEEDED", ("no_such_module",))
    with pytest.raises(MissingExtra, match=r"pip install 'mtgrpo\[trl-async\]'"):
        trl_async.MultiTaskAsyncGRPOTrainer  # noqa: B018 - asking for it imports it
