"""The question beside a list: which, when, and how its answer is read."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from convrec.agent.asking import MOST_ASKED, Asker
from convrec.agent.request import Request
from convrec.agent.session import Session
from convrec.core.items import ItemList
from convrec.core.settings import TurnSettings
from convrec.eval.subject import from_result
from convrec.serve.api.answers import turn_facts
from convrec.serve.api.schemas import TurnFacts
from convrec.tools.predicates import Condition, Op
from convrec.tools.predicates import Test as Where
from convrec.tools.splitting import Splitter, entropy, likelihood
from demo_agent import ask, demo_catalogue, make_agent


def even(rows: np.ndarray) -> ItemList:
    return ItemList.from_scores(rows.astype(np.int32), np.zeros(len(rows), dtype=np.float32))


class TestSplitter:
    def test_bits_are_the_mutual_information_of_item_and_answer(self) -> None:
        catalogue = demo_catalogue()
        items = [i for i in catalogue.items(catalogue.rows(None)[:400]) if i.tags("genres")][:8]
        rows = np.array([item.row for item in items], dtype=np.int32)
        weights = np.full(len(rows), 1 / len(rows))
        joint: dict[tuple[int, str], float] = {}
        for item in items:
            for genre in item.tags("genres"):
                joint[item.row, genre] = 1 / len(items) / len(item.tags("genres"))
        answer: dict[str, float] = {}
        for (_, genre), share in joint.items():
            answer[genre] = answer.get(genre, 0.0) + share
        expected = sum(share * np.log2(share * len(items) / answer[genre]) for (_, genre), share in joint.items())
        found = {s.facet.spec.name: s.bits for s in Splitter(catalogue).splits(rows, weights)}
        assert found["genres"] == pytest.approx(expected, abs=1e-5)

    def test_what_all_candidates_share_is_no_question(self) -> None:
        rows = demo_catalogue().rows(Where("countries", Op.ANY, ("Iceland",)))
        rows = np.array([r for r in rows if len(demo_catalogue().item(int(r)).tags("countries")) == 1], dtype=np.int32)
        splits = Splitter(demo_catalogue()).splits(rows, np.full(len(rows), 1 / len(rows)))
        assert len(rows) > 1
        assert "countries" not in {s.facet.spec.name for s in splits}

    def test_entropy_of_equal_scores_is_their_number(self) -> None:
        assert entropy(likelihood(np.zeros(32, dtype=np.float32), 0.25)) == pytest.approx(5.0)


class TestWhen:
    def test_a_vague_wish_gets_a_list_and_one_question(self) -> None:
        result = ask(make_agent(), "Recommend something, please.")
        assert len(result.items) == 5
        assert result.question is not None
        assert result.question.field == "genres"
        assert result.text.endswith(result.question.text)
        assert result.text.count("?") == 1
        assert result.to_json()["question"]["options"] == result.question.options
        assert from_result(result, 0.1).question
        facts = TurnFacts.model_validate(json.loads(json.dumps(turn_facts(result, user="ann", replayed=0))))
        assert facts.question is not None
        assert facts.question.options == list(result.question.options)

    @pytest.mark.parametrize(
        "sure",
        [
            "films like Heat",
            "a film by Akira Kurosawa",
            "a French comedy under 100 minutes",
            "just one comedy",
            "a Bulgarian western",
        ],
    )
    def test_who_said_enough_is_not_asked(self, sure: str) -> None:
        result = ask(make_agent(), sure)
        assert result.question is None

    def test_who_is_known_is_not_asked(self) -> None:
        catalogue = demo_catalogue()
        session = Session("ann", "s")
        known, ranked = Request(profile=(1, 2, 3)), even(catalogue.rows(None))
        assert Asker(catalogue).question(known, session, ranked) is None
        assert Asker(catalogue).question(Request(profile=(1,)), session, ranked) is not None

    def test_few_candidates_or_one_far_ahead_need_no_question(self) -> None:
        rows = demo_catalogue().rows(None)
        ahead = np.zeros(len(rows), dtype=np.float32)
        ahead[7] = 10.0
        asker = Asker(demo_catalogue())
        assert asker.question(Request(), Session("ann", "s"), even(rows[:20])) is None
        assert asker.question(Request(), Session("ann", "s"), ItemList.from_scores(rows, ahead)) is None

    def test_no_field_is_asked_twice_nor_one_that_was_told(self) -> None:
        agent, fields = make_agent(), []
        for text in (
            "Recommend something, please.",
            "no preference",
            "doesn't matter",
            "any",
            "you choose",
            "whatever",
        ):
            result = ask(agent, text)
            assert len(result.items) == 5
            fields += [result.question.field] if result.question else []
        assert len(fields) == len(set(fields)) == MOST_ASKED
        told = Condition(Where("genres", Op.ANY, ("Drama",)), "drama", "genres", source="memory")
        asked = Asker(demo_catalogue()).question(
            Request(conditions=[told]), Session("ann", "s"), even(demo_catalogue().rows(told.expr))
        )
        assert asked is not None
        assert asked.field != "genres"

    def test_settings_turn_it_off(self) -> None:
        agent = make_agent(settings=TurnSettings(questions="off"))
        assert ask(agent, "Recommend something, please.").question is None

    def test_random_questions_are_drawn_from_the_same_ones_and_are_repeatable(self) -> None:
        ranked = even(demo_catalogue().rows(None))
        asker = Asker(demo_catalogue(), "random")

        def drawn() -> list[str]:
            questions = (asker.question(Request(), Session("ann", f"s{i}"), ranked) for i in range(20))
            return [q.field for q in questions if q is not None]

        assert drawn() == drawn()
        assert len(set(drawn())) > 1

    def test_choosing_takes_no_time(self) -> None:
        asker, ranked = Asker(demo_catalogue()), even(demo_catalogue().rows(None))
        asker.question(Request(), Session("ann", "s"), ranked)  # makes the facets
        spent = []
        for _ in range(10):
            started = time.process_time()
            asker.question(Request(), Session("ann", "s"), ranked)
            spent.append(time.process_time() - started)
        assert min(spent) < 0.02  # a few ms; room for a loaded machine


class TestAnswers:
    @pytest.mark.parametrize(
        ("opening", "field", "answer", "label"),
        [
            ("Recommend something, please.", "genres", "drama", "drama"),
            ("Recommend something, please.", "genres", "A comedy or a drama", "comedy or drama"),
            ("A thriller", "year", "the 90s", "1990"),
            ("A thriller", "year", "the 1980s, please", "198"),
            ("A thriller", "year", "the 1980s or the 2000s", "or"),
        ],
    )
    def test_a_bare_answer_narrows_the_running_request(self, opening: str, field: str, answer: str, label: str) -> None:
        agent = make_agent()
        first = ask(agent, opening)
        assert first.question is not None
        assert first.question.field == field
        second = ask(agent, answer)
        assert len(second.items) == 5
        assert set(first.conditions) < set(second.conditions)
        assert label in " ".join(second.conditions)
        assert not second.plan["query"]

    def test_a_genre_after_a_decade_keeps_the_decade(self) -> None:
        agent = make_agent()
        first = ask(agent, "Something from the 1990s")
        assert first.question is not None
        assert first.question.field == "genres"
        second = ask(agent, "Crime.")
        assert len(second.conditions) == 2

    @pytest.mark.parametrize(
        "answer",
        ["doesn't matter", "I don't mind.", "No preference there.", "Either is fine with me.", "no", "whatever"],
    )
    def test_no_preference_goes_on_without_the_field(self, answer: str) -> None:
        agent = make_agent()
        first = ask(agent, "A thriller")
        second = ask(agent, answer)
        assert second.conditions == first.conditions
        assert len(second.items) == 5
        assert not {i.id for i in first.items} & {i.id for i in second.items}
        assert second.question is None or second.question.field != "year"

    def test_yes_to_an_offer_takes_it(self) -> None:
        agent = make_agent()
        assert ask(agent, "I loved Heat.").text.endswith("?")
        result = ask(agent, "Yes, please.")
        assert len(result.items) == 5
        assert result.plan["liked"] == ["Heat (1995)"]

    def test_the_question_stays_open_over_a_look_up(self) -> None:
        agent = make_agent()
        ask(agent, "A thriller")
        ask(agent, "Who directed the first one?")
        assert len(ask(agent, "the 90s").conditions) == 2

    def test_another_request_is_no_answer(self) -> None:
        agent = make_agent()
        ask(agent, "A thriller")
        result = ask(agent, "I loved Amélie, what else would I like?")
        assert result.plan["liked"]
        assert "thriller" not in result.conditions

    def test_an_open_question_survives_a_restart(self) -> None:
        session = Session("ann", "s")
        asker = Asker(demo_catalogue())
        asker.question(Request(), session, even(demo_catalogue().rows(None)))
        again = Session.from_json("ann", "s", session.to_json())
        assert again.question == session.question
        assert again.asked == ["genres"]
