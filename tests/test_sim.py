"""The parts of simulated users: known answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import demo_agent
import numpy as np
import pytest
from convrec.core.errors import RequestError
from convrec.core.settings import load_settings
from convrec.eval.sim.leaks import leak
from convrec.eval.sim.personas import PERSONAS, Persona, personas
from convrec.eval.sim.redial import ensure_redial, in_catalogue, redial_tastes
from convrec.eval.sim.tastes import MAX_TARGETS, MIN_TARGETS, Known, Wish, demo_tastes, digest, fulfilling
from convrec.eval.sim.users import Heard, ScriptedUser, TargetUser, facts_of
from convrec.eval.sim.wording import VAGUE, Voice, misspelt
from convrec.tools.catalogue import Catalogue
from convrec.tools.datasets import RedialData
from convrec.tools.schema import FILM_SCHEMA
from sim_parts import PLAIN, film, rng, tastes
from tiny_datasets import redial_talk, zipped

COMEDY, NINETIES = Wish("genres", "is", "Comedy"), (Wish("year", "from", 1990), Wish("year", "to", 1999))
MURRAY = Wish("cast", "is", "Bill Murray")


class TestTypos:
    def test_rate_0_changes_nothing_and_rate_1_every_word(self) -> None:
        text = "I really loved Terminator 2 from 1991, the film with a robot"
        assert misspelt(text, 0.0, rng()) == text
        for before, after in zip(text.split(), misspelt(text, 1.0, rng()).split(), strict=True):
            letters = before.strip(",")
            if len(letters) >= 4 and letters.isalpha():
                assert before != after
                assert before[0] == after[0]
                assert abs(len(before) - len(after)) <= 1
            else:
                assert before == after

    def test_a_higher_rate_keeps_the_slips_of_a_lower_one(self) -> None:
        text = "something funny about robots that become friends with people"
        low, high = misspelt(text, 0.3, rng()).split(), misspelt(text, 0.7, rng()).split()
        changed = [word != plain for word, plain in zip(low, text.split(), strict=True)]
        assert any(changed)
        assert not all(changed)
        assert all(a == b for a, b, slip in zip(low, high, changed, strict=True) if slip)


class TestWording:
    def test_wishes_in_words(self) -> None:
        voice = Voice(FILM_SCHEMA, "plain", rng())
        assert voice.thing([COMEDY, *NINETIES, MURRAY]) == "a comedy film from the 1990s with Bill Murray"
        assert voice.thing([Wish("genres", "is", "Action")]) == "an action film"
        assert voice.thing([Wish("countries", "is", "United States")]) == "a film from the United States"
        assert voice.thing([Wish("runtime", "to", 120)]) == "a film at most 120 minutes"
        assert voice.addition([Wish("directors", "is", "Jane Campion")]) == "It should be one directed by Jane Campion."


class TestLeaks:
    @pytest.mark.parametrize(
        ("text", "title", "words", "ngram"),
        [
            ("something like the god father", False, 0.0, 0),
            ("have you got The Godfather", True, 1.0, 1),
            ("a film about a big wedding", False, 0.0, 0),
        ],
    )
    def test_one_word_titles(self, text: str, title: bool, words: float, ngram: int) -> None:
        found = leak([text], [film("The Godfather", 1972)])
        assert (found.title, found.words, found.ngram) == (title, words, ngram)

    def test_words_and_runs_of_longer_titles(self) -> None:
        target = film("The Silence of the Lambs", 1991)
        assert leak(["some lambs in silence"], [target]).words == 1.0
        assert leak(["some lambs in silence"], [target]).ngram == 1
        assert not leak(["some lambs in silence"], [target]).title
        assert leak(["it has silence in it"], [target]).leaked  # half of the two content words
        four = film("Alexander Terrible Horrible Day", 2014)
        assert leak(["a terrible horrible mess"], [four]).ngram == 2
        assert leak(["one bad horrible mess"], [four]).words == 0.25
        assert not leak(["one bad horrible mess"], [four]).leaked

    def test_a_known_title_is_no_leak_of_its_sequel(self) -> None:
        said = ["I loved Toy Story (1995)."]
        first, second = film("Toy Story", 1995), film("Toy Story 2", 1999)
        assert not leak(said, [second], [first]).leaked
        assert leak(said, [second]).leaked
        assert leak([*said, "and toy story 2"], [second], [first]).title

    def test_a_title_of_everyday_words_leaks_with_its_year_only(self) -> None:
        assert not leak(["it is what I want"], [film("It", 2017)]).leaked
        assert leak(["the one called It (2017)"], [film("It", 2017)]).title

    def test_the_target_that_was_said_most_counts(self) -> None:
        found = leak(["alien"], [film("Heat", 1995), film("Alien", 1979)])
        assert (found.item, found.title) == ("alien", True)
        assert leak([], [film("Heat")]).words == 0.0


class TestPersonas:
    def test_by_name(self) -> None:
        assert [p.name for p in personas("vague, plain")] == ["vague", "plain"]
        assert [p.name for p in personas("all")] == list(PERSONAS)
        for names in ("", "plain,plain", "plain,nobody"):
            with pytest.raises(RequestError, match="persona"):
                personas(names)

    def test_out_of_range_is_refused(self) -> None:
        for bad in ({"patience": 0}, {"typos": 1.5}, {"feedback": "loud"}, {"speed": 1}):
            with pytest.raises(ValueError, match=next(iter(bad))):
                Persona(name="x", **bad)  # type: ignore[arg-type]


class TestDemoTastes:
    def test_targets_fulfil_every_wish_and_are_not_known(self) -> None:
        catalogue = demo_agent.demo_catalogue()
        for taste in tastes():
            known = taste.known
            fitting = {item.id for item in catalogue.items(fulfilling(catalogue, [*known.wishes, *taste.unsaid]))}
            assert MIN_TARGETS <= len(taste.targets) <= MAX_TARGETS
            assert taste.targets <= fitting
            assert taste.targets | {item.id for item in (*known.liked, *known.seen)} == fitting
            assert taste.targets.isdisjoint(item.id for item in (*known.liked, *known.seen, *known.disliked))
            assert not {str(wish.value) for wish in known.slips} & {str(wish.value) for wish in known.wishes}

    def test_the_same_seed_gives_the_same_users(self) -> None:
        catalogue = demo_agent.demo_catalogue()
        assert demo_tastes(catalogue, 4, 0) == tastes()[:4]
        assert digest(demo_tastes(catalogue, 4, 1)) != digest(tastes()[:4])


class TestScriptedUser:
    def known(self) -> Known:
        return Known(
            liked=(film("Groundhog Day", 1993),),
            disliked=(film("Saw", 2004),),
            wishes=(COMEDY, *NINETIES, MURRAY),
            slips=(Wish("genres", "is", "War"),),
        )

    def user(self, **changes: Any) -> ScriptedUser:
        return ScriptedUser(self.known(), PLAIN.model_copy(update=changes), FILM_SCHEMA, rng())

    def talk(self, user: ScriptedUser, turns: int, heard: Heard | None = None) -> list[str]:
        heard = heard or Heard("Here you are.", False)
        return [user.opening().text, *(user.answer(heard).text for _ in range(turns - 1))]

    def test_it_tells_what_it_knows_bit_by_bit(self) -> None:
        said = self.talk(self.user(), 6)
        assert said[0] == "I am looking for a comedy film."
        assert said[1:5] == [
            "I loved Groundhog Day (1993).",
            "It should be from the 1990s.",
            "I did not like Saw (2004).",
            "It should be one with Bill Murray.",
        ]
        assert "comedy" not in said[5]  # nothing left to tell: asks for more

    def test_vagueness_1_never_says_a_wish_and_0_says_all(self) -> None:
        vague = " ".join(self.talk(self.user(vagueness=1.0), 12)).lower()
        assert any(words.lower() in vague for words in VAGUE)
        for word in ("comedy", "1990", "murray"):
            assert word not in vague
            assert word in " ".join(self.talk(self.user(), 12)).lower()

    def test_a_changed_mind_is_said_and_taken_back(self) -> None:
        said = self.talk(self.user(mind_changes=1), 3)
        assert said[0] == "I am looking for a war film."
        assert said[1].startswith("Actually, no war after all.")
        assert "comedy" in said[1]

    def test_it_recognises_what_it_has_seen_and_turns_the_rest_down(self) -> None:
        shown = ((film("Rushmore"), "seen"), (film("Saw"), "disliked"), (film("Heat"), "other"))
        user = self.user()
        user.opening()
        said = user.answer(Heard("Here are 3 films.", False, shown))  # type: ignore[arg-type]
        assert said.text.startswith("I have seen Rushmore (2000). I did not like Saw (2000).")
        assert {item.title for item in said.rejected} == {"Rushmore", "Saw", "Heat"}
        silent = self.user(feedback="none")
        silent.opening()
        assert silent.answer(Heard("Here are 3 films.", False, shown)).rejected == ()  # type: ignore[arg-type]

    def test_it_answers_what_is_asked(self) -> None:
        asked = Heard("From what decade should it be?", True)
        user, deaf = self.user(), self.user(answers=0.0)
        user.opening(), deaf.opening()
        assert user.answer(asked).text == "It should be from the 1990s."
        assert deaf.answer(asked).text == "I loved Groundhog Day (1993)."

    def test_what_its_own_words_name_is_not_told_again(self) -> None:
        known = replace(self.known(), phrases=("Something like Groundhog Day (1993)",))
        assert facts_of(known)[0].wishes == (COMEDY,)
        assert all(not fact.liked for fact in facts_of(known))


class TestTargetUser:
    TARGET = film(
        "Lost in Translation", 2003, genres=("Comedy", "Drama"), runtime=102, directors=("Sofia Coppola",), cast=()
    )

    @pytest.mark.parametrize("free", [False, True])
    def test_it_describes_the_target_and_never_names_it(self, free: bool) -> None:
        for seed in range(20):
            user = TargetUser(self.TARGET, PLAIN, FILM_SCHEMA, np.random.default_rng(seed), free=free)
            other = film("Heat", 1985, genres=("Crime",), runtime=170)
            said = [user.opening(), *(user.answer(Heard("1. Heat", False, ((other, "other"),))) for _ in range(4))]
            text = " ".join(s.text for s in said)
            assert "Lost in Translation" not in text
            assert all(word in text.lower() for word in ("comedy", "drama", "2000s", "sofia coppola")) or free
            assert ("newer" in text or "shorter" in text or "No crime" in text) is free
            assert all(s.rejected == (other,) for s in said[1:])

    def test_it_tells_what_was_asked_for(self) -> None:
        user = TargetUser(self.TARGET, PLAIN, FILM_SCHEMA, np.random.default_rng(1))
        if "Coppola" not in user.opening().text:
            assert "Sofia Coppola" in user.answer(Heard("Who should direct it? Any actor?", True)).text


# -- ReDial ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def redial(tmp_path: Path) -> RedialData:
    """Three films, two in the demo catalogue, and dialogues with questionnaires."""
    folder = tmp_path / "redial"
    films = [
        {
            "movieId": "1",
            "title": "Heat",
            "year": 1995,
            "imdb_id": "tt0113277",
            "genre": ["crime"],
            "director": ["M. Mann"],
        },
        {
            "movieId": "2",
            "title": "Seven",
            "year": 1996,
            "imdb_id": None,
            "genre": ["crime"],
            "plot": "Two detectives.",
        },
        {"movieId": "3", "title": "No Such Film", "year": 1999, "imdb_id": None, "nbMentions": 99},
    ]
    zipped(folder / "items.jsonl.gz", *({"movieName": f"{f['title']} ({f['year']})", **f} for f in films))
    seven = redial_talk(7, "S: Hi!", "S: I want a crime film like @1", "R: see @2 or @3", "S: Nice, @2 it is")
    seven["initiatorQuestions"] = {
        "1": {"suggested": 0, "seen": 1, "liked": 1},
        "2": {"suggested": 1, "seen": 0, "liked": 1},
        "3": {"suggested": 1, "seen": 1, "liked": 0},
    }
    zipped(folder / "test.jsonl.gz", seven, redial_talk(8, "S: hello", "R: @2"))
    files = {name: {} for name in ("items.jsonl.gz", "test.jsonl.gz")}
    (folder / "manifest.json").write_text(json.dumps({"name": "redial", "variant": "mirror", "files": files}))
    return RedialData(folder)


class TestRedial:
    def test_a_seeker_knows_its_own_side_only(self, redial: RedialData) -> None:
        assert in_catalogue(redial, demo_agent.demo_catalogue()) == {"1": "tt0113277", "2": "tt0114369"}
        found, left = redial_tastes(redial, demo_agent.demo_catalogue())
        (taste,) = found
        assert taste.targets == {"tt0114369"}
        assert [item.title for item in taste.known.liked] == ["Heat"]
        assert taste.known.phrases == ("I want a crime film like Heat (1995)",)
        assert left == {"no questionnaire": 1}

    def test_as_a_catalogue(self, redial: RedialData, tmp_path: Path) -> None:
        settings = load_settings(home=tmp_path)
        folder = ensure_redial(settings, redial)
        catalogue = Catalogue.open(folder)
        try:
            assert catalogue.size == 3
            row = catalogue.row_of("redial-2")
            assert row is not None
            assert catalogue.item(row).fields["plot"] == "Two detectives."
            assert catalogue.row_of("tt0113277") is not None
            (taste,), _ = redial_tastes(redial, catalogue)
            assert taste.targets == {"redial-2"}
            assert [item.title for item in taste.known.disliked] == ["No Such Film"]
            built = (folder / "manifest.json").stat().st_mtime_ns if (folder / "manifest.json").exists() else 0
            assert ensure_redial(settings, redial) == folder
            assert built == ((folder / "manifest.json").stat().st_mtime_ns if built else 0)
        finally:
            catalogue.close()
