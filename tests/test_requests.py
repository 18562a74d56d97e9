"""The labelled requests: sound labels, a fixed split, a floor for the rule reading, the command's figures."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from convrec.agent.demonstrations import shipped
from convrec.agent.plan import Draft
from convrec.core.items import Item
from convrec.core.text import fold
from convrec.eval.requests import labels
from convrec.eval.requests.figures import figures
from convrec.eval.requests.labels import LabelledRequest, Slots, all_requests, requests
from convrec.eval.requests.run import _Measure
from convrec.eval.requests.slots import Unit, compare, intent_of, of_draft, of_reading
from convrec.eval.requests.truth import broken, violations
from convrec.tools.references import Focus
from convrec.tools.understand import Understander
from demo_agent import demo_catalogue, make_agent

PEOPLE = ("people", "directors", "cast", "writers", "not_people")


def every_request() -> list[LabelledRequest]:
    return [request for split in labels.SPLITS for request in requests(split)]


@pytest.fixture(scope="module")
def items() -> list[Item]:
    catalogue = demo_catalogue()
    return catalogue.items(range(catalogue.size))


def test_there_are_enough_and_every_split_holds_every_kind() -> None:
    assert len(all_requests()) >= 260
    assert len(requests("practice")) >= 240
    for split in labels.SPLITS:
        assert len(requests(split)) >= 120
        kinds = Counter(request.group for request in requests(split))
        assert {"genre", "year", "people", "negation", "similar", "typo", "reference", "refine", "lookup", "ood",
                "injection", "standing"} <= set(kinds)  # fmt: skip


def test_the_split_is_fixed_by_the_text_and_nothing_moves() -> None:
    chosen = {request.id: request.split for request in all_requests()}
    assert chosen["r001"] == "dev"
    text = "".join(f"{key}{value}" for key, value in sorted(chosen.items()))
    assert Counter(chosen.values()) == Counter({"dev": 189, "heldout": 177}), text[:80]


def test_practice_is_a_file_of_its_own() -> None:
    practice = requests("practice")
    assert practice == all_requests(labels.PRACTICE_FILE)
    assert not {fold(r.text) for r in practice} & {fold(r.text) for r in all_requests() if not r.history}
    assert labels.file_hash("dev") == labels.file_hash("heldout") != labels.file_hash("practice")


def test_no_shipped_demonstration_is_a_labelled_request() -> None:
    asked = {fold(request.text) for request in every_request()}
    assert not asked & {fold(demonstration.text) for demonstration in shipped()}


def test_every_named_title_and_person_is_in_the_demo_catalogue(items: list[Item]) -> None:
    titles = Counter(item.label for item in items)
    bare = {fold(item.title) for item in items}
    names = {name for item in items for field in ("directors", "cast", "writers") for name in item.tags(field)}
    for request in every_request():
        shown = [label for past in request.history for label in past.shown]
        for label in (*request.slots.liked, *request.slots.disliked, *request.slots.seen, *request.slots.about, *shown):
            assert titles[label] == 1, (request.id, label)
        for slots in (request.slots, request.in_force):
            for field in PEOPLE:
                for entry in getattr(slots, field):
                    assert set(entry.split("|")) <= names, (request.id, entry)
        for title in request.slots.unknown:
            assert fold(title) not in bare, (request.id, title)


def test_the_hard_conditions_of_every_request_can_be_met(items: list[Item]) -> None:
    for request in every_request():
        if request.intent == ("recommend",):
            fits = any(not [*broken(item, request.slots), *broken(item, request.in_force)] for item in items)
            assert fits, request.id


def test_a_wrong_label_is_refused_by_line() -> None:
    line = '{"id": "r001", "group": "x", "text": "hi", "intent": ["sing"]}'
    with pytest.raises(labels.DataError, match=r"(?s)line 1: .*intent"):
        list(labels._read([line]))
    good = line.replace("sing", "chat")
    with pytest.raises(labels.DataError, match=r"(?s)line 2: .*twice"):
        list(labels._read([good, good]))


def _request(**slots: object) -> LabelledRequest:
    may = slots.pop("may", ())
    return LabelledRequest(id="r999", group="x", text="x", intent=("recommend",), slots=Slots(**slots), may=may)  # type: ignore[arg-type]


def test_units_are_counted_by_slot() -> None:
    request = _request(genres=("Comedy",), year_max=1980, runtime_max=120, may=("mood",))
    read = [Unit("genres", frozenset({"Comedy"})), Unit("year_max", frozenset({"1979"})),
            Unit("runtime_max", frozenset({"119"})), Unit("mood", frozenset({"stray"}))]  # fmt: skip
    counts = compare(request, read)
    assert counts["genres"] == (1, 0, 0)
    assert counts["year_max"] == (0, 1, 1)
    assert counts["runtime_max"] == (1, 0, 0)
    assert "mood" not in counts


def test_alternatives_of_a_category_must_be_the_labelled_ones() -> None:
    request = _request(genres=("Comedy|Drama",))
    assert compare(request, [Unit("genres", frozenset({"Comedy", "Drama"}))])["genres"] == (1, 0, 0)
    apart = [Unit("genres", frozenset({"Comedy"})), Unit("genres", frozenset({"Drama"}))]
    assert compare(request, apart)["genres"] == (0, 2, 1)


def test_truth_is_told_from_the_records(items: list[Item]) -> None:
    fargo = next(item for item in items if item.label == "Fargo (1996)")
    assert violations(_request(year_max=1990), [fargo], []) == ["Fargo (1996): year<=1990"]
    assert violations(_request(liked=("Fargo (1996)",)), [fargo], []) == ["Fargo (1996): named by the user"]
    older = _request(critique=("older",))
    assert violations(older, [fargo], [fargo]) == ["Fargo (1996): not older"]
    assert not violations(_request(directors=("Joel Coen|Ethan Coen",)), [fargo], [])


def test_a_draft_is_read_in_the_catalogues_spelling() -> None:
    units = of_draft(Draft(action="recommend", people=("tom hanks",), liked=("fargo",)), demo_catalogue())
    assert Unit("people", frozenset({"Tom Hanks"})) in units
    assert Unit("liked", frozenset({"Fargo (1996)"})) in units


@pytest.mark.parametrize("split", ["dev", "practice"])
def test_the_rule_reading_keeps_its_level(split: labels.Split) -> None:
    """Requests without a history, read by rule alone. The floors are a little under what was measured."""
    catalogue = demo_catalogue()
    reader = Understander(catalogue)
    right = wrong = missed = intents = 0
    chosen = [request for request in requests(split) if not request.history]
    for request in chosen:
        reading = reader.read(request.text, Focus())
        intents += intent_of(reading.act) in request.intent
        for count in compare(request, of_reading(reading, catalogue)).values():
            right, wrong, missed = right + count.right, wrong + count.wrong, missed + count.missed
    assert intents / len(chosen) >= 0.97
    assert 2 * right / (2 * right + wrong + missed) >= 0.97


def test_whole_turns_are_measured_and_lists_checked() -> None:
    measure = _Measure(make_agent(), "rules")
    by_id = {request.id: request for request in requests("dev")}
    chosen = [r for r in by_id.values() if r.group in ("runtime", "refine")][:4]
    records = [measure(request) for request in chosen]
    assert all(record["hard"] and record["hard"]["true"] for record in records if record["hard"])
    found = figures(records, seed=0)
    assert found["requests"] == len(chosen)
    assert 0 <= found["parts"]["rules"]["slot_f1"]["low"] <= found["parts"]["rules"]["slot_f1"]["value"] <= 1
    assert json.loads(json.dumps(found)) == found


def test_faults_of_held_out_requests_are_counted_and_not_shown() -> None:
    measure = _Measure(make_agent(), "rules")
    request = next(r for r in requests("heldout") if r.slots.year_max and r.intent == ("recommend",))
    other = next(i for i in demo_catalogue().items(range(500)) if (i.year or 0) > (request.slots.year_max or 0))
    hard = measure._hard(request, [other.id])
    assert hard is not None
    assert hard["faults"] >= 1
    assert hard["shown_faults"] == []
