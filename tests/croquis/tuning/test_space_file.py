"""Search spaces of one's own: what a file may say, and what is refused before any trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.cli import main
from croquis.params import load_params
from croquis.settings import SearchRange
from croquis.tuning.space_file import read_space
from croquis.tuning.task import TuneError

Capture = pytest.CaptureFixture[str]


def read(folder: Path, text: str) -> dict:
    (folder / "space.yaml").write_text(text)
    return dict(read_space(folder / "space.yaml", load_params("params.yaml", methods=True)))


def test_ranges_steps_and_choices_of_any_key(tmp_path: Path) -> None:
    assert read(tmp_path, """
        siamese.margin: {low: 0.05, high: 0.5, log: true}
        siamese.fit.learning_rate: {low: 1e-4, high: 1e-2, log: true}
        siamese.embedding_dim: {low: 64, high: 256, step: 64}
        train_embedder.augment.flip: {low: 0, high: 1.0, step: 0.25}
        siamese.negatives: {choices: [batch_hard, semi_hard]}
        siamese.centre: {choices: [true, false]}
        metric_learning.miner: {choices: [null, MultiSimilarityMiner]}
        rerank.alpha_qe.neighbours: {low: 1, high: 9}
    """) == {
        "siamese.margin": SearchRange(0.05, 0.5, log=True),
        "siamese.fit.learning_rate": SearchRange(1e-4, 1e-2, log=True),
        "siamese.embedding_dim": SearchRange(64, 256, step=64),
        "train_embedder.augment.flip": SearchRange(0, 1.0, step=0.25),
        "siamese.negatives": ("batch_hard", "semi_hard"),
        "siamese.centre": (True, False),
        "metric_learning.miner": (None, "MultiSimilarityMiner"),
        "rerank.alpha_qe.neighbours": SearchRange(1, 9),
    }  # fmt: skip


WRONG = """
margn: {low: 0.1, high: 0.5} | params.yaml has no such key; did you mean siamese.margin?
margin: {low: 0.1, high: 3.0} | siamese.margin: 3.0: Input should be less than or equal to 2
margin: {low: 0.5, high: 0.1} | `low <= high` must hold, but got (low=0.5, high=0.1)
margin: {low: small, high: 0.1} | step must be numbers, log true or false, not {'low': 'small'
margin: {low: true, high: 2.0} | step must be numbers, log true or false, not {'low': True
margin: {low: .nan, high: 2.0} | step must be numbers, log true or false, not {'low': nan
margin: {low: 0.1, high: 0.5, log: maybe} | step must be numbers, log true or false
margin: {low: 0.0, high: 0.5, log: true} | `low > 0` must hold for `log=True`
margin: {low: 0.1, high: 0.5, steps: 2} | siamese.margin: must be like {low: 0.05
margin: [0.1, 0.5] | siamese.margin: must be like {low: 0.05
margin: {low: 0.1, high: 0.5, log: true, step: 0.1} | `step` is not supported when `log` is true
embedding_dim: {low: 32, high: 256, step: 0.5} | step is 0.5, must be whole where low and high are
embedding_dim: {low: 32, high: 250, step: 32} | the range is not divisible by `step`
embedding_dim: {low: 24, high: 152, step: 32} | The value 128 of params.yaml is out of the range
embedding_dim: {low: 32.0, high: 256.0} | embedding_dim: 32.0: Input should be a valid integer
negatives: {low: 1, high: 2} | params.yaml says 'batch_hard', which is no number: name choices
negatives: {choices: [batch_hard, hardest]} | siamese.negatives: 'hardest': Input should be 'random'
negatives: {choices: batch_hard} | choices is 'batch_hard', must be a list
negatives: {choices: [random, random]} | choices names a value twice
negatives: {choices: [[random]]} | choices must be numbers, words, true, false or null
fit: {choices: [1, 2]} | siamese.fit: 1: Input should be
margin: {low | is not valid YAML
"""


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, line: str) -> None:
    text, told = line.split(" | ")
    with pytest.raises(TuneError) as error:
        read(tmp_path, f"siamese.{text}")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert "space.yaml" in str(error.value)


def test_a_file_of_anything_else_is_refused(tmp_path: Path) -> None:
    for text in ("", "- siamese.margin", "siamese.margin"):
        with pytest.raises(TuneError, match=r"space\.yaml must map keys of params\.yaml"):
            read(tmp_path, text)


@pytest.mark.slow
def test_the_command_refuses_before_any_training(shapes: Path, capsys: Capture) -> None:
    def refused(*words: str) -> str:
        assert main(["tune", *words], shapes) == 1
        return capsys.readouterr().err

    file = shapes / "space.yaml"
    assert "space.yaml does not exist" in refused("--space", str(file))
    file.write_text("siamese.margin: {low: 0.0, high: 0.5}")
    assert "siamese.margin: 0.0: Input should be greater than 0" in refused("--space", str(file))
    assert "leave the study's name and --also out" in refused("margin", "--space", str(file))
    file.write_text("{evaluate.depth: {low: 1, high: 200}, siamese.margin: {low: 0.1, high: 0.5}}")
    assert "evaluate.depth" in refused("--space", str(file))
    assert not (shapes / "mlruns/optuna.log").exists()


@pytest.mark.slow
def test_the_command_searches_trains_resumes_and_writes_back(
    shapes: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    file, before = shapes / "space.yaml", load_params(shapes / "params.yaml", methods=True)
    file.write_text("""
        siamese.embedding_dim: {low: 8, high: 32, step: 8}
        siamese.margin: {low: 0.1, high: 0.5}
        train_embedder.augment.rotate: {choices: [0, 8]}
    """)
    asked = ["tune", "--space", str(file), "--epochs", "1"]
    assert main([*asked, "--trials", "1"], shapes) == 0
    assert "params.yaml: " in capsys.readouterr().out.splitlines()[2]
    comments = (shapes / "params.yaml").read_text().count("#")
    assert main([*asked, "--trials", "4", "--write"], shapes) == 0
    shown = capsys.readouterr().out
    assert ": 4 trials, 3 of them now" in shown
    assert "  params.yaml: " in shown
    after = load_params(shapes / "params.yaml", methods=True)
    for key in ("embedding_dim", "margin"):
        assert f"best siamese.{key}: {getattr(after.siamese, key)}" in shown
    assert after.siamese.embedding_dim in (8, 16, 24, 32)
    assert after.train_embedder.augment.rotate in (0, 8)
    assert (after.siamese.fit, after.base) == (before.siamese.fit, before.base)
    assert (shapes / "params.yaml").read_text().count("#") == comments
