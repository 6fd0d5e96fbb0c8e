"""The gate: every rule on hand-made results, and its error rates over simulated pairs of retrievers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.registry.gating.gate import decide, shown_above_baseline
from croquis.registry.gating.verdict import GateError, Policy, Reason, Scores, Size, Verdict

POLICY = Policy(
    metric="consumer->shop/hit@1",
    floor=0.2,
    min_gain=0.0,
    confidence=0.95,
    max_category_drop=0.15,
    max_mode_drop=0.15,
    max_latency_ratio=2.0,
    max_bytes_per_image=8192,
    max_model_megabytes=1000.0,
    resamples=1000,
)


def scores(values: list[float] | np.ndarray, per_item: int = 1, categories: int = 1, **more: float) -> Scores:
    """Queries q0, q1, ...; `per_item` of them show one item; items go round the categories."""
    numbers = np.arange(len(values))
    items = numbers // per_item
    return Scores(
        queries=np.array([f"q{n:05d}" for n in numbers]),
        items=np.array([f"i{n:05d}" for n in items]),
        categories=np.array([f"c{n % categories}" for n in items]),
        values=np.asarray(values, dtype=np.float64),
        **more,
    )


def reason(verdict: Verdict, rule: str) -> Reason:
    return next(reason for reason in verdict.reasons if reason.rule == rule)


def test_without_a_champion_the_floor_decides() -> None:
    good, bad = decide(scores([1, 0]), None, POLICY), decide(scores([0, 0]), None, POLICY)
    assert good.promote
    assert not bad.promote
    assert "no champion yet" in reason(good, "incumbent").text
    assert reason(bad, "floor").text == "consumer->shop/hit@1 is 0.000, below the floor of 0.200"


def test_a_value_on_the_floor_passes() -> None:
    assert decide(scores([1, 0, 0, 0, 0]), None, POLICY).promote


@pytest.mark.parametrize(
    ("values", "per_item", "chance"),
    [
        ([1], 1, 1.0),  # a gallery of one: every answer is right
        ([1, 1], 1, 0.5),  # a gallery of two
        ([1, 0, 1, 0], 1, 0.5),
        ([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 3, 0.2),  # three right answers that one item gave
        ([0.3] * 8, 1, 0.3),
        ([0.1] * 50, 1, 0.2),
    ],
)
def test_what_may_be_chance_becomes_no_champion(values: list[float], per_item: int, chance: float) -> None:
    candidate = replace(scores(values, per_item), chance=chance)
    for champion in (None, scores([0] * len(values), per_item)):
        refused = reason(decide(candidate, champion, replace(POLICY, floor=0.0)), "chance")
        assert not refused.passed
        assert f"not surely above the {chance:.3f} of a random order" in refused.text
        assert "train a better one" in refused.text


@pytest.mark.parametrize(("values", "chance"), [([1] * 5, 0.5), ([1, 0] * 20, 0.1), ([0.4] * 30, 0.1)])
def test_what_is_surely_above_chance_passes(values: list[float], chance: float) -> None:
    assert decide(replace(scores(values), chance=chance), None, POLICY).promote


def test_the_bound_that_is_told_is_rounded_up() -> None:
    """`at most 0.000` would be wrong: no finite number of queries excludes chance."""
    told = reason(decide(replace(scores([1] * 90), chance=0.1), None, POLICY), "chance").text
    assert told.endswith("probability of at most 0.001")
    told = reason(decide(replace(scores([1] * 5), chance=0.3), None, POLICY), "chance").text
    assert told.endswith("probability of at most 0.003")  # 0.3 ** 5 = 0.00243


def test_random_orders_seldom_become_champion() -> None:
    """Of galleries of 2 to 20 items, by hit@1, one query an item."""
    generator = np.random.default_rng(0)
    passed = [
        decide(replace(scores(generator.random(n) < 1 / n), chance=1 / n), None, replace(POLICY, floor=0.0)).promote
        for n in (2, 3, 5, 20)
        for _ in range(100)
    ]
    assert sum(passed) <= 20


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_the_probability_is_never_below_the_exact_one(queries: list[int], tenths: int) -> None:
    """Items of several queries that are all right or all wrong, enumerated."""
    weights, chance = np.array(queries) / sum(queries), tenths / 10
    sides = np.array(list(product((0, 1), repeat=len(queries))))
    chances = np.where(sides, chance, 1 - chance).prod(axis=1)
    items = np.repeat(np.arange(len(queries)), queries)
    for side, mean in zip(sides, sides @ weights, strict=True):
        found = scores(side[items].astype(float))
        found = replace(found, items=items.astype(str), chance=chance)
        bound = reason(decide(found, None, POLICY), "chance").figures["probability"]
        assert bound >= chances[sides @ weights >= mean - 1e-9].sum() - 1e-9


def test_a_candidate_must_be_surely_above_the_baseline() -> None:
    baseline = scores([1, 0, 0, 0] * 10)
    for champion in (None, scores([0, 0, 0, 0] * 10)):
        better = decide(replace(scores([1, 1, 1, 0] * 10), baseline=baseline), champion, POLICY)
        equal = decide(replace(baseline, baseline=baseline), champion, POLICY)
        hardly = decide(replace(scores([1, 0, 0, 0] * 9 + [1, 1, 0, 0]), baseline=baseline), champion, POLICY)
        assert reason(better, "baseline").passed
        for verdict in (equal, hardly):
            assert not verdict.promote
            assert "0.250 without learning" in reason(verdict, "baseline").text
            assert "train a better one" in reason(verdict, "baseline").text


def test_the_baseline_itself_passes_and_tells_what_was_not_shown_above_it() -> None:
    baseline, rival = scores([1, 0, 0, 0] * 10), scores([1, 0, 0, 0] * 9 + [1, 1, 0, 0])
    for champion in (None, scores([0, 0, 0, 0] * 10)):
        verdict = decide(replace(baseline, rival=rival), champion, POLICY)
        assert verdict.promote
        told = reason(verdict, "baseline")
        assert told.text.startswith("this is the baseline itself, consumer->shop/hit@1 0.250: no method was shown")
        assert told.figures["best"] == rival.mean
        assert told.figures["bound"] <= 0.0
    assert shown_above_baseline(replace(scores([1, 1, 1, 0] * 10), baseline=baseline), POLICY)
    assert not shown_above_baseline(replace(rival, baseline=baseline), POLICY)
    assert shown_above_baseline(baseline, POLICY)


def test_the_baseline_is_compared_query_by_query() -> None:
    candidate = scores([1, 1, 0, 1] * 10)
    turned = replace(candidate, values=candidate.values[::-1].copy(), queries=candidate.queries[::-1].copy())
    turned = replace(turned, items=candidate.items[::-1].copy())
    figures = reason(decide(replace(candidate, baseline=turned), None, POLICY), "baseline").figures
    assert (figures["bound"], figures["baseline"]) == (0.0, candidate.mean)
    with pytest.raises(GateError, match="candidate has 40 queries and baseline 3"):
        decide(replace(candidate, baseline=scores([0, 0, 0])), None, POLICY)


def test_an_equal_candidate_is_not_promoted() -> None:
    same = scores([1, 0, 1, 1] * 20)
    verdict = decide(same, same, POLICY)
    assert not verdict.promote
    assert [r.rule for r in verdict.reasons if not r.passed] == ["gain"]


def test_a_clear_gain_is_promoted_and_told_in_numbers() -> None:
    verdict = decide(scores([1, 1, 1, 0] * 25), scores([1, 0, 0, 0] * 25), POLICY)
    assert verdict.promote
    assert "0.250 -> 0.750, gain +0.500 over 100 queries of 100 items" in reason(verdict, "gain").text
    assert 0.3 < reason(verdict, "gain").figures["bound"] < 0.5


def test_min_gain_is_what_the_bound_must_exceed() -> None:
    candidate, champion = scores([1, 1, 1, 0] * 25), scores([1, 0, 0, 0] * 25)
    bound = reason(decide(candidate, champion, POLICY), "gain").figures["bound"]
    assert decide(candidate, champion, replace(POLICY, min_gain=bound - 0.01)).promote
    assert not decide(candidate, champion, replace(POLICY, min_gain=bound + 0.01)).promote


def test_the_order_of_the_queries_means_nothing() -> None:
    candidate, champion = scores([1, 1, 1, 0] * 10), scores([1, 0, 0, 0] * 10)
    order = np.random.default_rng(0).permutation(40)
    shuffled = Scores(
        candidate.queries[order], candidate.items[order], candidate.categories[order], candidate.values[order]
    )
    assert decide(shuffled, champion, POLICY) == decide(candidate, champion, POLICY)


def test_queries_of_one_item_are_one_piece_of_evidence() -> None:
    # Five items of which four gain; as eighty independent queries it would be certain.
    gain = np.repeat([1.0, 1, 1, 0, -1], 16)
    champion = np.where(gain < 0, 1.0, 0.0)
    clustered = decide(scores(champion + gain, per_item=16), scores(champion, per_item=16), POLICY)
    independent = decide(scores(champion + gain), scores(champion), POLICY)
    assert independent.promote
    assert not clustered.promote


def test_one_item_is_no_evidence() -> None:
    assert not decide(scores([1, 1, 1], per_item=3), scores([0, 0, 0], per_item=3), POLICY).promote


def test_a_collapsed_category_is_refused_and_named() -> None:
    # Ten categories of 20 items: nine gain, one falls from 1 to 0.
    champion, candidate = scores(np.zeros(200), categories=10), scores(np.ones(200), categories=10)
    lost = champion.categories == "c3"
    champion, candidate = replace(champion, values=lost * 1.0), replace(candidate, values=~lost * 1.0)
    verdict = decide(candidate, champion, POLICY)
    assert not verdict.promote
    assert reason(verdict, "category").text == "'c3' loses 1.000; limit 0.150"
    assert decide(candidate, champion, replace(POLICY, max_category_drop=1.0)).promote


def test_a_small_categorys_chance_loss_is_not_a_collapse() -> None:
    champion, candidate = scores(np.zeros(100), categories=10), scores(np.ones(100), categories=10)
    rows = np.flatnonzero(champion.categories == "c3")
    champion.values[rows[:3]], candidate.values[rows[:3]] = 1.0, 0.0
    champion.values[rows[3:]], candidate.values[rows[3:]] = 0.0, 0.0
    verdict = decide(candidate, champion, POLICY)
    assert verdict.promote
    assert "may be chance" in reason(verdict, "category").text


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (Size(8193, 1), "the index takes 8193 bytes a photo, limit 8192; the nets take 0.0 MB, limit 1000"),
        (Size(8, 1_000_000_001), "the nets take 1000.0 MB, limit 1000"),
    ],
)
def test_a_large_candidate_is_refused_also_as_the_first(size: Size, words: str) -> None:
    better = scores([1, 1] * 40)
    assert decide(replace(better, size=Size(8192, 1_000_000_000)), None, POLICY).promote
    for champion in (None, scores([1, 0] * 40)):
        verdict = decide(replace(better, size=size), champion, POLICY)
        assert [r.rule for r in verdict.reasons if not r.passed] == ["size"]
        assert words in reason(verdict, "size").text


def with_modes(base: Scores, **modes: Scores) -> Scores:
    return replace(base, modes={"photo": base, **modes})


def test_a_collapsed_way_of_asking_is_refused_and_named() -> None:
    champion, candidate = scores([1, 0] * 40), scores([1, 1] * 40)
    verdict = decide(
        with_modes(candidate, sketch=scores([0] * 60)), with_modes(champion, sketch=scores([1] * 60)), POLICY
    )
    assert [r.rule for r in verdict.reasons if not r.passed] == ["mode"]
    assert reason(verdict, "mode").text == "'sketch' loses 1.000; limit 0.150"
    chance = decide(with_modes(candidate, sketch=scores([0] * 3)), with_modes(champion, sketch=scores([1] * 3)), POLICY)
    assert chance.promote
    assert "may be chance" in reason(chance, "mode").text


def test_a_way_of_asking_that_the_candidate_lacks_is_named() -> None:
    champion, candidate = scores([1, 0] * 40), scores([1, 1] * 40)
    verdict = decide(with_modes(candidate), with_modes(champion, sketch=scores([0] * 9)), POLICY)
    assert [r.rule for r in verdict.reasons if not r.passed] == ["mode"]
    assert reason(verdict, "mode").text == "the champion answers sketch, the candidate does not"
    assert decide(with_modes(candidate, sketch=scores([0] * 9)), with_modes(champion), POLICY).promote


def test_a_champion_that_should_be_there_is_a_refusal_in_words() -> None:
    verdict = decide(
        scores([1, 1]), None, POLICY, Reason("incumbent", False, "this store does not know the champion", {})
    )
    assert not verdict.promote
    assert reason(verdict, "incumbent").text == "this store does not know the champion"


def test_items_that_the_champion_was_trained_on_do_not_count_for_either() -> None:
    """On the twenty items that it knows the champion is always right; on the others the candidate is far better."""
    known = [f"i{n:05d}" for n in range(20)]
    champion = scores([1.0] * 60 + [1.0, 0.0, 0.0] * 20, per_item=3)
    candidate = scores([0.0] * 60 + [1.0, 1.0, 0.0] * 20, per_item=3)
    champion, candidate = (replace(each, modes={"a": each}) for each in (champion, candidate))
    assert not decide(candidate, champion, POLICY).promote
    verdict = decide(candidate, champion, POLICY, trained_on=[*known, "another"])
    assert verdict.promote, verdict.summary()
    assert reason(verdict, "data").text == (
        "the champion was trained on 20 of the 40 items of these queries, which are left out"
    )
    assert "gain +0.333 over 60 queries of 20 items" in reason(verdict, "gain").text
    assert "largest loss is -0.333" in reason(verdict, "mode").text
    assert reason(verdict, "floor").figures["value"] == pytest.approx(1 / 3)  # the candidate's own, on all queries


def test_a_champion_that_was_trained_on_all_of_them_cannot_be_compared_with() -> None:
    champion, candidate = scores([1, 0] * 10), scores([1, 1] * 10)
    assert decide(candidate, champion, POLICY).promote
    verdict = decide(candidate, champion, POLICY, trained_on=champion.items.tolist())
    assert [r.rule for r in verdict.reasons if not r.passed] == ["data"]
    assert "trained on 20 of the 20 items of these queries, so that nothing is left" in reason(verdict, "data").text


def test_a_slow_candidate_is_refused() -> None:
    candidate, champion = scores([1, 1] * 40, latency_ms=9.0), scores([1, 0] * 40, latency_ms=4.0)
    verdict = decide(candidate, champion, POLICY)
    assert [r.rule for r in verdict.reasons if not r.passed] == ["latency"]
    assert "4.00 -> 9.00 ms a query, 2.25 times as long" in reason(verdict, "latency").text
    assert reason(verdict, "latency").volatile
    assert decide(replace(candidate, latency_ms=8.0), champion, POLICY).promote


def test_other_queries_are_an_error_that_names_them() -> None:
    other = scores([1, 0, 1])
    with pytest.raises(GateError, match=r"candidate has 2 queries and champion 3, of which 1 are not shared.*q00002"):
        decide(scores([1, 0]), other, POLICY)


def test_the_verdict_is_repeatable_and_can_be_written() -> None:
    candidate, champion = scores([1, 1, 0, 1] * 9), scores([1, 0, 0, 1] * 9)
    first, second = decide(candidate, champion, POLICY), decide(candidate, champion, POLICY)
    assert first == second
    assert [r.to_json() for r in first.reasons] == [r.to_json() for r in second.reasons]
    assert len(first.summary().splitlines()) == 8


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=60), st.integers(0, 3))
def test_a_candidate_that_is_nowhere_better_is_never_promoted(hits: list[bool], seed: int) -> None:
    champion = scores(np.array(hits, dtype=float), categories=3)
    lost = np.random.default_rng(seed).random(len(hits)) < 0.3
    candidate = replace(champion, values=np.where(lost, 0.0, champion.values))
    assert not decide(candidate, champion, replace(POLICY, resamples=100)).promote


def simulate(items: int, per_item: int, gain: float, generator: np.random.Generator) -> tuple[Scores, Scores]:
    """Two retrievers whose hits share the difficulty of the item; the second one's chance of a hit is `gain` higher."""
    difficulty = np.repeat(generator.beta(2.0, 2.0, items), per_item) * (1.0 - gain)
    first = generator.random(items * per_item) < difficulty
    second = generator.random(items * per_item) < difficulty + gain
    return scores(first * 1.0, per_item, categories=10), scores(second * 1.0, per_item, categories=10)


@pytest.mark.slow
@pytest.mark.parametrize(("items", "per_item"), [(120, 3), (40, 3)])
def test_equals_are_promoted_at_most_at_the_configured_rate(items: int, per_item: int) -> None:
    generator, trials = np.random.default_rng(1), 600
    promoted = sum(
        decide(b, a, POLICY).promote for a, b in (simulate(items, per_item, 0.0, generator) for _ in range(trials))
    )
    # Three standard errors of a binomial above 5 %.
    assert promoted / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def promoted_share(items: int, gain: float, trials: int) -> float:
    generator = np.random.default_rng(2)
    pairs = (simulate(items, 3, gain, generator) for _ in range(trials))
    return sum(decide(b, a, POLICY).promote for a, b in pairs) / trials


def test_the_simulated_retrievers_disagree_as_much_as_real_ones() -> None:
    """Any two of seven learned methods on the rendered catalogue disagree on 28-46 % of its 318 val queries."""
    first, second = simulate(4000, 3, 0.0, np.random.default_rng(0))
    assert 0.28 <= np.mean(first.values != second.values) <= 0.46


@pytest.mark.slow
def test_three_points_are_found_nine_times_in_ten_from_1500_items_on() -> None:
    assert promoted_share(1500, 0.03, 150) >= 0.9


@pytest.mark.slow
def test_at_the_rendered_catalogues_query_counts_three_points_are_mostly_not_found_and_ten_are() -> None:
    """106 val items of 3 photos: the standard error of a gain is three points itself. The reason says so."""
    assert 0.1 <= promoted_share(106, 0.03, 200) <= 0.4
    assert promoted_share(106, 0.11, 100) >= 0.9
    first, second = simulate(106, 3, 0.03, np.random.default_rng(8))
    refused = reason(decide(second, first, POLICY), "gain")
    assert not refused.passed
    assert 0.08 <= float(refused.text.rpartition("true gain of about +")[2].split()[0]) <= 0.13
