from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from mtgrpo.errors import ConfigError, MissingExtra, RunError
from mtgrpo.reports import page
from mtgrpo.reports.compare import spread_over_seeds
from mtgrpo.reports.curves import accuracy_curves
from mtgrpo.reports.figures import accuracy_figure
from mtgrpo.reports.html import write_comparison, write_report
from mtgrpo.reports.page_files import write_page
from mtgrpo.reports.page_style import MARK, POLICY
from mtgrpo.reports.spread_figure import spread_figure
from mtgrpo.runlog import RunLog, read_run
from tests.synthetic_run import HOSTILE, HOSTILE_TEXT, write_synthetic_run

VOID = {"meta", "br", "img", "input", "link", "hr"}
ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "b",
        "bdi",
        "span",
        "div",
    ),
    *(
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "pre",
        "figure",
        "figcaption",
    ),
    *("svg", "g", "path", "defs", "use", "clippath", "rect", "image"),
}


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where elements do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.comments: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def check_safe(path: Path) -> Page:
    """No script, no handler, nothing from outside, whatever the run holds."""
    html = path.read_text(encoding="utf-8")
    parsed = Page(html)
    assert {tag for tag, _ in parsed.elements} <= ALLOWED
    assert not parsed.comments
    identifiers = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name, value in attributes.items():
            if name in ("href", "xlink:href", "src"):
                assert value is not None
                assert value.startswith("data:image/png;base64," if tag == "image" else "#")
            for target in re.findall(r"url\((.*?)\)", value or ""):
                assert target.startswith("#")
                assert target[1:] in identifiers
    policy = next(a["content"] for t, a in parsed.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert sum(tag == "style" for tag, _ in parsed.elements) == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    return parsed


def test_report_of_a_hostile_run_is_safe(hostile_dir: Path, tmp_path: Path) -> None:
    out = write_report(hostile_dir, out=tmp_path / "new" / "r.html", baselines=[hostile_dir])
    parsed = check_safe(out)
    text = "".join(parsed.text)
    for name in HOSTILE[:-1]:
        assert name in text
    assert "<script>alert('completion')</script> </pre></details> & $\\boxed{1}$ ␀␛[31m" in text
    assert "\u202e" in HOSTILE_TEXT
    assert "[U+202E]abc" in text
    assert "<b>$x$ & 'run'" in text
    assert not (hostile_dir / "figures").exists()  # written only beside the run's own report


def test_report_says_what_happened(run_dir: Path, tmp_path: Path) -> None:
    baseline = write_synthetic_run(tmp_path / "base", preset="dapo", text="x")
    out = write_report(run_dir, baselines=[baseline])
    assert out == run_dir / "report.html"
    parsed = check_safe(out)
    text = "".join(parsed.text)
    evaluations = [
        json.loads(line) for line in (run_dir / "evaluations.jsonl").read_text().splitlines()
    ]
    first, last = (
        [t["accuracy"] for t in e["tasks"].values()] for e in (evaluations[0], evaluations[-1])
    )
    assert f"{100 * min(first):.1f} → {100 * min(last):.1f} %" in text
    assert f"{100 * sum(first) / 3:.1f} → {100 * sum(last) / 3:.1f} %" in text
    assert "status: finished" in text
    for part in (
        "countdown-medium",
        "base (dapo)",
        "batch_size: 16",
        "versions",
        "✓ right",
        "✗ wrong",
        "not trained on",
    ):
        assert part in text
    assert f"mtgrpo eval {run_dir}\n" in text
    assert "--resume" not in text
    assert sum(tag == "svg" for tag, _ in parsed.elements) == 8
    names = {p.name for p in (run_dir / "figures").iterdir()}
    assert {
        "accuracy.svg",
        "accuracy.png",
        "weights.svg",
        "shares.svg",
        "acceptance.png",
        "effort.svg",
    } <= names


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("interrupted", "This run was interrupted before its last step"),
        ("failed", "This run failed before its last step"),
        (None, "ended without a word"),
    ],
)
def test_unfinished_runs_say_so(tmp_path: Path, status: str | None, message: str) -> None:
    run = write_synthetic_run(tmp_path / "run", steps=3, evaluate=False, status=status)
    text = "".join(check_safe(write_report(run, out=tmp_path / "r.html")).text)
    assert message in text
    assert "No evaluation was logged" in text
    assert f"mtgrpo train {run} --resume" in text


def test_tasks_that_changed_are_a_table(run_dir: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    shutil.copytree(run_dir, directory)
    assert "Tasks that changed" not in write_report(directory).read_text(encoding="utf-8")

    change = {"task": "new <b>", "change": "joined", "num_rows": 12, "num_before": None}
    grown = {"task": "zebra-medium", "change": "grown", "num_rows": 30, "num_before": 20}
    lines = [{"step": 5, "rollouts": 8, "elapsed_s": 1.0, **one} for one in (change, grown)]
    (directory / "changes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    html = write_report(directory).read_text(encoding="utf-8")
    section = html.split("Tasks that changed")[1].split("</table>")[0]
    assert "new &lt;b&gt;" in section
    assert "joined" in section
    assert "20 → 30" in section


def test_single_evaluation_running_and_empty_runs(tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run", steps=0)
    text = "".join(check_safe(write_report(run, out=tmp_path / "r.html")).text)
    assert "One evaluation was logged (step 0)" in text
    with RunLog.create(tmp_path / "empty", ["a"]):
        text = "".join(check_safe(write_report(tmp_path / "empty", out=tmp_path / "e.html")).text)
    for part in (
        "still going on",
        "No evaluation was logged",
        "No training step",
        "No completions",
        "config.yaml is not",
    ):
        assert part in text


def write_changed_run(path: Path, *settings: tuple[int, int], accuracies: list[float]) -> Path:
    """Evaluations at steps 0, 10, ... with so many samples of so many prompts."""
    with RunLog.create(path, ["a"]) as log:
        for i, ((samples, prompts), accuracy) in enumerate(zip(settings, accuracies, strict=True)):
            row = {"accuracy": accuracy, "num_prompts": prompts, "std_error": 0.01}
            log.log_evaluation(10 * i, 80 * i, {"a": row}, num_samples=samples)
        log.write_summary({"status": "finished"})
    return path


def test_a_change_of_the_evaluation_is_no_progress(tmp_path: Path) -> None:
    """Twice the accuracy on other prompts, and nothing gained since."""
    settings, accuracies = [(4, 50), (4, 50), (8, 200), (8, 200)], [0.2, 0.3, 0.6, 0.6]
    run = write_changed_run(tmp_path / "run", *settings, accuracies=accuracies)
    text = "".join(check_safe(write_report(run)).text)
    change = "before step 20: 4 → 8 samples per prompt; 50 → 200 prompts of 'a'"
    assert f"Evaluation settings changed {change}" in text
    assert "60.0 → 60.0 %" in text
    assert "20.0 → 60.0" not in text
    assert "+40.0" not in text
    assert "20.0 ± 1.0 †" in text
    assert "evaluated under other settings than the last" in text

    same = write_changed_run(tmp_path / "same", *[(4, 50)] * 4, accuracies=accuracies)
    text = "".join(check_safe(write_report(same)).text)
    assert "20.0 → 60.0 %" in text
    assert "+40.0" in text
    assert "†" not in text


def test_runs_that_were_not_evaluated_alike_are_marked(tmp_path: Path) -> None:
    runs = [
        write_changed_run(tmp_path / "x", (4, 50), (4, 50), accuracies=[0.2, 0.3]),
        write_changed_run(tmp_path / "y", (4, 50), (4, 80), accuracies=[0.2, 0.4]),
        write_changed_run(tmp_path / "z", (4, 50), (4, 50), accuracies=[0.2, 0.5]),
    ]
    text = "".join(check_safe(write_comparison(runs, tmp_path / "c.html")).text)
    assert text.count("Not evaluated as the other runs") == 1
    assert f"{runs[1]}: 50 → 80 prompts of 'a'" in text
    assert "40.0 †" in text
    assert "30.0 †" not in text
    assert "50.0 †" not in text
    report = write_report(runs[0], out=tmp_path / "r.html", baselines=[runs[1]])
    assert "y was not evaluated as this run was" in "".join(check_safe(report).text)


def test_baseline_of_other_tasks_is_explained(run_dir: Path, tmp_path: Path) -> None:
    other = write_synthetic_run(tmp_path / "other", tasks=["x"], steps=2, every=1)
    text = "".join(
        check_safe(write_report(run_dir, out=tmp_path / "r.html", baselines=[other])).text
    )
    assert "both runs need the same tasks" in text


def test_many_tasks(tmp_path: Path) -> None:
    run = write_synthetic_run(
        tmp_path / "run", tasks=[f"task_{i}" for i in range(30)], steps=4, every=2
    )
    text = "".join(check_safe(write_report(run, out=tmp_path / "r.html")).text)
    assert "task_29" in text
    assert "18 more tasks in completions.jsonl" in text


def test_comparison(tmp_path: Path) -> None:
    runs = [
        write_synthetic_run(
            tmp_path / f"{preset}-{seed}", preset=preset, seed=seed, steps=8, every=4, text="same"
        )
        for preset in ("dapo", "mt_grpo")
        for seed in range(2)
    ]
    runs.append(
        write_synthetic_run(tmp_path / "none", preset="<i>", steps=1, evaluate=False, status=None)
    )
    out = write_comparison(runs, tmp_path / "c.html")
    parsed = check_safe(out)
    text = "".join(parsed.text)
    assert sum(tag == "svg" for tag, _ in parsed.elements) == 4
    assert "3 methods, 5 runs" in text
    assert "relative change vs dapo" in text
    assert "Without any evaluation, so in no curve: none" in text
    assert "none (killed)" in text
    labelled = write_comparison(
        runs[:2], tmp_path / "l.html", labels=["A & B", "C"], baseline="C", thresholds=[0.99]
    )
    assert "never" in "".join(check_safe(labelled).text)
    with pytest.raises(ConfigError, match=r"unknown baseline 'dappo' \(did you mean 'dapo'\?\)"):
        write_comparison(runs, tmp_path / "x.html", baseline="dappo")
    with pytest.raises(ConfigError, match="at least one"):
        write_comparison([], tmp_path / "x.html")


def test_a_comparison_is_beside_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        write_synthetic_run(tmp_path / "study" / method / "seed-0", preset=method, steps=2, every=1)
        for method in ("dapo", "mt_grpo")
    ]
    place = tmp_path / "study" / "comparison.html"
    assert write_comparison(runs) == place
    assert write_comparison(runs) == place, "its own page is replaced"
    assert write_comparison([runs[0], runs[0]]) == runs[0].parent / "comparison.html"

    monkeypatch.chdir(tmp_path)
    named = [run.relative_to(tmp_path) for run in runs]
    assert write_comparison(named) == Path("study/comparison.html")


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    run = write_synthetic_run(tmp_path / "run", steps=2, every=1)
    foreign = tmp_path / "comparison.html"
    foreign.write_text("<!doctype html><title>mine</title>")
    refusal = rf"^{foreign}: there already, and no page of mtgrpo; choose another --out"

    with pytest.raises(RunError, match=refusal):
        write_comparison([run, run])
    with pytest.raises(RunError, match=refusal):
        write_report(run, out=foreign)
    assert "mine" in foreign.read_text()

    foreign.write_text('<!doctype html><meta name="generator" content="mkdocs-1.6.1">')
    with pytest.raises(RunError, match=refusal):
        write_report(run, out=foreign)

    foreign.write_text("")  # as mktemp makes one
    assert "mtgrpo report" in write_report(run, out=foreign).read_text()


@pytest.mark.parametrize("lost", [POLICY, MARK])
def test_pages_of_other_versions_are_replaced(tmp_path: Path, lost: str) -> None:
    """Of a later policy, and those from before there was a mark."""
    path = write_page(tmp_path / "page.html", "title", "first")
    before = path.read_text()
    assert lost in before
    path.write_text(before.replace(lost, ""))

    write_page(path, "title", "second")
    assert "second" in path.read_text()


def test_what_cannot_be_reported(
    tmp_path: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        write_report(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_report(run_dir, out=tmp_path / "file" / "r.html")
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "mtgrpo.reports"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mtgrpo\[report\]'"):
        import mtgrpo.reports.html  # noqa: F401


def test_building_blocks() -> None:
    assert page.text("<&\"'>\x00\u202e\ud800\n") == "&lt;&amp;&quot;&#x27;&gt;␀[U+202E][U+D800]\n"
    assert page.text("a\u2028b\u3164\u200bc") == "a[U+2028]b[U+3164][U+200B]c"
    assert page.pre("a" * 10, most=4) == "<pre>aa\n[... 6 characters left out ...]\naa</pre>"
    assert (
        page.percent(float("nan")) == page.signed(float("nan")) == page.number(float("nan")) == "–"
    )
    assert page.duration(3725) == "1 h 02 min"
    assert page.duration(59.6) == "1 min 00 s"


def test_a_run_with_a_graded_task_speaks_of_scores(run_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "graded"
    shutil.copytree(run_dir, copy)
    lines = [json.loads(line) for line in (copy / "evaluations.jsonl").read_text().splitlines()]
    for line in lines:
        next(iter(line["tasks"].values()))["measure"] = "score"
    (copy / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    text = write_report(copy, tmp_path / "report.html", baselines=[run_dir]).read_text()
    assert "<th>score before, %</th>" in text
    assert "Score on test prompts at the first" in text
    assert "Worst-task score" in text
    assert "steps to its final worst-task score" in text
    for accuracy in ("accuracy before", "Worst-task accuracy"):
        assert accuracy not in text

    figure = accuracy_figure(accuracy_curves(read_run(copy)))
    assert figure.axes[0].get_title(loc="left").startswith("Test score per task")
    assert figure.axes[0].get_ylabel() == "score (%)"
    spread = spread_over_seeds("a", [read_run(copy)])
    assert spread_figure([spread]).axes[0].get_ylabel() == "score (%)"


@pytest.mark.parametrize(
    ("value", "error", "kind"),
    [
        (0.05, 0.02, "good"),
        (-0.05, 0.02, "bad"),
        (0.05, 0.03, ""),
        (-0.05, 0.03, ""),
        (0.0, 0.0, ""),
        (0.05, float("nan"), ""),
    ],
)
def test_a_change_is_in_colour_only_beyond_its_error(value: float, error: float, kind: str) -> None:
    shown = page.signed(value, error)
    assert shown.startswith(f'<span class="{kind}">' if kind else f"{100 * value:+.1f}")
