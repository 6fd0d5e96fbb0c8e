"""What `dvc repro` says at its end: the leaderboard, the champion, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from croquis.evaluation.bootstrap import Interval
from croquis.evaluation.metrics import headline_metrics
from croquis.registry.evaluation_reports import EvaluationReport, Measure
from croquis.registry.gating.judging import SELECTED_ON
from croquis.registry.gating.verdict import Verdict
from croquis.registry.registration import CHALLENGER
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry
from croquis.tracking.record import RECORD_FILE, RUNS, WARNING, RunRecord

REPORTED = "test"


def closing_words(
    ranking: Sequence[EvaluationReport],
    chosen: EvaluationReport,
    above: Mapping[str, Interval],
    measure: Measure,
    registry: Registry,
    version: RegisteredVersion,
    verdict: Verdict,
    outcome: str,
    warnings: Sequence[str] = (),
) -> str:
    """The whole text; `ranking` is best on val first, `chosen` is what was registered, `above` says how far methods are
    above the baseline on test."""
    return "\n\n".join(
        [
            leaderboard(ranking, chosen, above, measure),
            certainty(chosen, measure),
            *warnings,
            "\n".join([f"{version}: {outcome}", *(f"  {line}" for line in verdict.summary().splitlines())]),
            champion_line(registry),
            next_commands(outcome),
        ]
    )


def training_warnings(root: Path) -> list[str]:
    """A line for each stage that warned, from its record."""
    records = (RunRecord.read(file.parent) for file in sorted((root / RUNS).glob(f"*/{RECORD_FILE}")))
    return [f"warning: {record.tags[WARNING]}" for record in records if WARNING in record.tags]


def certainty(chosen: EvaluationReport, measure: Measure) -> str:
    """One line: how sure the chosen one's figure is, and how many queries it rests on."""
    on_val, run = chosen.run(SELECTED_ON, measure.pair), chosen.run(REPORTED, measure.pair)
    found, metric = run["metrics"], measure.metric
    if metric not in found:
        metric = headline_metrics(found)[0]
    figure = found[metric]
    sure = f"with 95% confidence it is {figure['low']:.3f} to {figure['high']:.3f}"
    asked = f"{run['queries']} queries of {run['items']} products (chosen on {on_val['queries']} of {on_val['items']})"
    return f"{chosen.method} has {metric} {figure['value']:.3f} on {REPORTED}; {sure}, by {asked}"


def leaderboard(
    ranking: Sequence[EvaluationReport], chosen: EvaluationReport, above: Mapping[str, Interval], measure: Measure
) -> str:
    """Methods by test figures, in order of val; a star marks the chosen one.

    The last column is the gain in what methods are chosen by, with its 95 % interval over the same queries.
    """
    head = f"{REPORTED} split, {measure.pair}; chosen (*) by val {measure.metric}"
    columns = headline_metrics(ranking[0].run(REPORTED, measure.pair)["metrics"])
    names = f"  {'method':<14}" + "".join(f"{metric:>9}" for metric in columns) + "   hit@1 95 %    above histogram"
    lines = [head, names]
    for evaluation in ranking:
        found = evaluation.run(REPORTED, measure.pair)["metrics"]
        values = "".join(f"{found[metric]['value']:>9.3f}" for metric in columns)
        interval = f"{found['hit@1']['low']:.3f}-{found['hit@1']['high']:.3f}"
        line = f"{'*' if evaluation is chosen else ' '} {evaluation.method:<14}{values}   {interval}"
        gain = above.get(evaluation.method)
        lines.append(line if gain is None else f"{line}   {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")
    return "\n".join(lines)


def champion_line(registry: Registry) -> str:
    """One line that names the champion, or says that there is none."""
    champion = registry.holder(CHAMPION)
    if champion is None:
        return f"{registry.model} has no champion: no candidate has passed yet. See register: in params.yaml"
    return f"champion of {registry.model}: {champion}"


def next_commands(outcome: str) -> str:
    """Three commands; where a challenger waits, how to promote it comes first."""
    commands = [
        ("croquis ui", "see every run, picture and model version"),
        ("croquis serve", "search with the champion"),
        ("croquis registry status", "see what a promotion would change"),
    ]
    if outcome == CHALLENGER:
        commands.insert(0, ("croquis registry promote", "make the challenger champion"))
    return "\n".join(["next:", *(f"  {command:<36} {purpose}" for command, purpose in commands)])
