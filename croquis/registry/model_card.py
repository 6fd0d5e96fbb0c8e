"""The card of a version, in Markdown: what it is, what it was measured to do and not to do, and where it comes from.

It is put where people look: the version's description, and an artifact of its pipeline run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from croquis.bundle import Bundle
from croquis.evaluation.latency import query_latencies
from croquis.evaluation.metrics import headline_metrics
from croquis.evaluation.protocol import PROTOCOLS
from croquis.evaluation.results import NO_RERANK
from croquis.files import read_json, write_bytes
from croquis.params import Params
from croquis.registry.evaluation_reports import EvaluationReport, Measure
from croquis.registry.gating.judging import SELECTED_ON
from croquis.registry.gating.verdict import REASONS
from croquis.registry.lineage import PACKAGES, Lineage
from croquis.registry.registry import RegisteredVersion, Registry
from croquis.tracking.record import flatten

CARD_FILE = "model_card.md"
LONGEST_DESCRIPTION = 5000  # of a model version, in MLflow's database
REPORTED = "test"
FEW_ITEMS = 10
Run = Mapping[str, Any]


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        evaluation: of the bundle.
        measure: what it was chosen by, on val.
        params: all of params.yaml.
        validation: reports/validation.json; None where there is none.
        latency_ms: median time of one query, measured when it was registered.
    """

    version: RegisteredVersion
    bundle: Bundle
    evaluation: EvaluationReport
    measure: Measure
    params: Mapping[str, Any]
    validation: Mapping[str, Any] | None
    latency_ms: float

    @property
    def runs(self) -> list[Run]:
        """Runs of the reported split, see `RunResult.summary`."""
        found: list[Run] = self.evaluation.splits[REPORTED]["runs"]
        return found

    @property
    def main(self) -> Run:
        """What a user gets on the reported split, in the pair that the version was chosen by."""
        return self.evaluation.run(REPORTED, self.measure.pair, self.bundle.manifest.rerank.enabled)


def model_card(facts: CardFacts) -> str:
    """The whole card."""
    return "\n\n".join(_sections(facts)) + "\n"


def model_note(model: str, measure: Measure) -> str:
    """What the page of the registered model says, in Markdown."""
    return "\n".join(
        [
            f"Finds products of a catalogue by a photo or a sketch. Each version is the best method by val {measure}.",
            "",
            "| alias | meaning |",
            "|---|---|",
            "| `champion` | what search servers use |",
            "| `challenger` | has passed the gate, and waits for `croquis registry promote` |",
            "| `previous` | the champion before; `croquis registry rollback` goes back to it |",
            "",
            "Each version's description is its card: figures with intervals, limits, verdict. The tag `lineage` holds its",
            f"hashes and the ids of its runs. Serve it: `croquis serve --model models:/{model}@champion`",
        ]
    )


def description(facts: CardFacts) -> str:
    """As many of the card's sections as a version's description may hold, and where the rest is."""
    rest = f"The whole card: `{CARD_FILE}` of run `{facts.version.run_id}`."
    shown = rest
    for count, _ in enumerate(sections := list(_sections(facts)), start=1):
        text = "\n\n".join([*sections[:count], rest])
        if len(text) > LONGEST_DESCRIPTION:
            break
        shown = text
    return shown


def _sections(facts: CardFacts) -> Iterator[str]:
    """The most asked first: a description is cut at the end."""
    yield f"# {facts.version}"
    yield _section("What it does", _method(facts))
    yield _section(f"Measured ({REPORTED} split)", _measured(facts))
    yield _section("Limits", _limits(facts))
    yield _section("Size and speed", _size(facts))
    yield _section("Verdict", _verdict(facts.version))
    yield _section("Lineage", _lineage(facts.version))
    yield _section("Data", _data(facts))
    yield _section(f"By category ({facts.measure.pair}, {REPORTED} split)", _slices(facts))
    yield _section("Parameters", _params(facts))


def _section(title: str, lines: Iterator[str]) -> str:
    return "\n".join([f"## {title}", "", *lines])


def _method(facts: CardFacts) -> Iterator[str]:
    manifest = facts.bundle.manifest
    index, rerank = manifest.index, manifest.rerank
    yield f"- `{manifest.method}`: a photo becomes {manifest.encoder.dim} numbers ({manifest.encoder.head} head, "
    yield f"  {index.metric}), searched in a `{index.kind}` index of {index.rows} photos."
    yield f"- Pictures are brought to {manifest.preprocess.size} px. A photo may be cropped by its box first."
    if manifest.preprocess.draft is not None:
        yield f"- A JPEG's decoder scales it, down to {manifest.preprocess.draft} px at least of its longer side."
    sketch = "through a generator, then the encoder" if manifest.generator else "straight into the encoder"
    yield f"- A sketch goes {sketch}."
    if manifest.classifier:
        yield "- Attributes are predicted."
    yield f"- Re-ranking ({', '.join(rerank.steps)}) is {'on' if rerank.enabled else 'off'} by default."
    protocol = PROTOCOLS[facts.params["base"]["protocol"]]
    sought = "the same product" if protocol.relevance == "item" else "products of the same category"
    yield f"- Meant for: finding {sought} in a catalogue like the one below. Not for people or faces."


def _measured(facts: CardFacts) -> Iterator[str]:
    names = list(headline_metrics(facts.main["metrics"]))
    chosen = facts.evaluation.value("val", facts.measure, facts.bundle.manifest.rerank.enabled)
    yield f"Chosen by val {facts.measure}: {chosen:.3f}. In brackets 95 % intervals over items; chance beside."
    yield ""
    yield "| query | queries | " + " | ".join(names) + " | chance of " + names[0] + " |"
    yield "|---" * (len(names) + 3) + "|"
    for run in facts.runs:
        cells = [_estimate(run["metrics"][name]) for name in names]
        chance = f"{run['metrics'][names[0]]['chance']:.3f}"
        yield f"| {_name(run)} | {run['queries']} | {' | '.join(cells)} | {chance} |"


def _limits(facts: CardFacts) -> Iterator[str]:
    main, metric = facts.main, facts.measure.metric
    slices = main["categories"]
    enough = {name: found for name, found in slices.items() if found["items"] >= FEW_ITEMS}
    overall = main["metrics"][metric]["value"]
    below = [name for name, found in enough.items() if found["metrics"][metric]["high"] < overall]
    for name in sorted(below, key=lambda each: enough[each]["metrics"][metric]["value"])[:3]:
        found = enough[name]
        yield f"- {name} is below the overall {metric} of {overall:.3f}: {_estimate(found['metrics'][metric])},"
        yield f"  {found['items']} items."
    if enough and not below:
        yield f"- No category of at least {FEW_ITEMS} items is surely below the overall {metric} of {overall:.3f}."
    few = sorted(set(slices) - set(enough))
    if few:
        yield f"- Fewer than {FEW_ITEMS} items, so next to nothing is known: {', '.join(few)}."
    for run in facts.runs:
        found = run["metrics"]["hit@1"]
        if found["low"] <= found["chance"]:
            yield f"- {_name(run)}: hit@1 {_estimate(found)} is not surely above chance ({found['chance']:.3f})."
    gallery = facts.evaluation.splits[REPORTED]["gallery"]
    yield f"- Measured among {gallery['images']} photos of {gallery['items']} items; a larger catalogue is harder."
    if facts.params["ingest"]["source"] == "rendered":
        yield "- The catalogue is rendered, not photographed: the figures compare methods, and say little of real photos."


def _size(facts: CardFacts) -> Iterator[str]:
    manifest = facts.bundle.manifest
    yield f"- {manifest.index.bytes_per_vector} bytes a photo in the index."
    for name, entry in sorted(manifest.files.items()):
        yield f"- `{name}`: {entry.bytes / 1e6:.2f} MB"
    yield f"- {facts.latency_ms:.1f} ms a query (median), from the encoded picture to ranked products, on the machine "
    yield f"  that registered it with {facts.bundle.threads} thread(s); no promise for another."


def _verdict(version: RegisteredVersion) -> Iterator[str]:
    yield "```"
    yield version.tags.get(REASONS, "not judged yet")
    yield "```"


def _lineage(version: RegisteredVersion) -> Iterator[str]:
    lineage = Lineage.of(version.tags)
    dirty = ", with files that differed from it" if lineage.dirty else ""
    yield f"- bundle `{version.bundle_hash}`"
    yield f"- commit `{lineage.commit or 'unknown'}`{dirty}"
    facts = {"dvc.lock": lineage.lock_hash, "data": lineage.data_hash, PACKAGES: lineage.environment}
    yield f"- {', '.join(f'{name} `{value}`' for name, value in facts.items() if value) or 'no hashes'}"
    yield f"- pipeline run `{version.run_id}`; stage runs in the tag `lineage`"
    if lineage.missing:
        yield f"- lacks {', '.join(lineage.missing)}"


def _data(facts: CardFacts) -> Iterator[str]:
    yield f"- source `{facts.params['ingest']['source']}`, protocol `{facts.params['base']['protocol']}`"
    if facts.validation is not None:
        profile = facts.validation["profile"]
        items = ", ".join(f"{count} in {split}" for split, count in profile["items"].items())
        yield f"- items: {items}; no item is in two splits"
        yield f"- images: {facts.validation['accepted']} accepted, {facts.validation['quarantined']} in quarantine"


def _slices(facts: CardFacts) -> Iterator[str]:
    metric = facts.measure.metric
    yield f"| category | items | queries | {metric} |"
    yield "|---|---|---|---|"
    for name, found in facts.main["categories"].items():
        yield f"| {name} | {found['items']} | {found['queries']} | {_estimate(found['metrics'][metric])} |"


def _params(facts: CardFacts) -> Iterator[str]:
    for name, value in flatten(facts.params.get(facts.bundle.manifest.method) or {}).items():
        yield f"- {facts.bundle.manifest.method}.{name}: {value}"


def _estimate(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"


def _name(run: Run) -> str:
    return f"{run['pair']} {run['path']}" + ("" if run["rerank"] == NO_RERANK else f" + {run['rerank']}")


def publish_card(
    registry: Registry, number: int, bundle: Bundle, evaluation: EvaluationReport, params: Params, root: Path
) -> None:
    """Writes the card of version `number` as it stands now, its verdict included; a second call writes it again."""
    measure, report = Measure.parse(params.register_.select_by), root / "reports/validation.json"
    facts = CardFacts(
        version=registry.version(number),
        bundle=bundle,
        evaluation=evaluation,
        measure=measure,
        params=params.model_dump(by_alias=True),
        validation=read_json(report) if report.is_file() else None,
        latency_ms=query_latencies([bundle], SELECTED_ON, measure.pair, root)[0],
    )
    registry.describe(number, description(facts))
    with TemporaryDirectory() as folder:
        write_bytes(Path(folder) / CARD_FILE, model_card(facts).encode())
        registry.store.upload(facts.version.run_id, Path(folder))
