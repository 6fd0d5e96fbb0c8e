"""Stage `register`: the best retriever on val becomes a version in the registry, and is judged against the champion.

A method that is not shown to be above the baseline `histogram` is passed over; where none is, the baseline itself is
proposed.

Without a champion the first candidate that passes becomes one. Otherwise a candidate that passes becomes `challenger`,
and `croquis registry promote` is a person's decision. Unlike the other stages this one fails without a tracking
store: without a reachable store the registration would be lost.

Writes reports/registration.json: the choice, the verdict, and the bundles compared; nothing that differs from run to run.
"""

from __future__ import annotations

import sys
from pathlib import Path

from croquis.files import write_json
from croquis.params import load_params
from croquis.registry.gating.judging import SELECTED_ON, judge
from croquis.registry.leaderboard import closing_words, training_warnings
from croquis.registry.registering import choose, enter, publish, settle
from croquis.registry.registration import REPORT, Registration
from croquis.serving.mlflow_model.packaging import log_retriever
from croquis.tracking.environment import quiet
from croquis.tracking.stage_run import stage_run
from croquis.tracking.tracking_store import open_store
from stages import run_stage


def main(root: Path = Path()) -> None:
    quiet()
    root = root.resolve()  # MLflow's calls are made in the store's folder
    params = load_params(root / "params.yaml")
    store = open_store(root)
    choice = choose(params, root)
    with stage_run("register", params=params.register_.model_dump(), root=root) as run:
        entry = enter(store, choice, params, root, log_retriever)
        verdict = judge(entry.registry, choice.bundle, choice.scores(), entry.version, params, root)
        registration = Registration(choice.bundle.hash, verdict, settle(entry, verdict), choice.facts())
        write_json(root / REPORT, registration.to_json())
        publish(entry, registration, params, root, own_run=run.run_id)
        run.metric(str(choice.measure), choice.chosen.value(SELECTED_ON, choice.measure, choice.reranked))
        run.tag("method", choice.chosen.method)
        run.tag("outcome", registration.outcome)
    ranking, chosen, above, measure = choice.ranking, choice.chosen, choice.above_floor, choice.measure
    outcome, warnings = registration.outcome, training_warnings(root)
    print(closing_words(ranking, chosen, above, measure, entry.registry, entry.version, verdict, outcome, warnings))


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
