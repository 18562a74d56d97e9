"""Memory policy: what is written, recalled, left out, profiled, edited, erased, carried away."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.memory_erasing import ERASED, HistoryEraser, scrubbed
from convrec.agent.remember import Listener
from convrec.agent.superseding import rivals
from convrec.core.embedding import HashingEmbedder
from convrec.core.errors import RequestError
from convrec.memory import confidence
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.profile import PROFILE_ID
from convrec.memory.reading import Need, Recollection
from convrec.memory.records import NewPreference, Preference, Scope
from convrec.memory.scopes import read_scope
from convrec.memory.situations import applies, facets_in, situation
from convrec.memory.statements import clauses
from convrec.memory.store import InMemoryStore, StoredRecord
from convrec.memory.stored import to_stored
from convrec.tools.catalogue import Catalogue
from convrec.tools.references import Focus
from convrec.tools.understand import Understander
from demo_agent import ask, demo_catalogue, make_agent, run

LATER_FIELDS = ("strength", "scope", "valid_from", "valid_until", "times", "sources", "superseded_at")
"""What records of the first version do not have."""
WEDNESDAY = datetime(2026, 3, 4, 20, tzinfo=UTC)
SATURDAY = datetime(2026, 3, 7, 20, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = WEDNESDAY

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> PreferenceMemory:
    return PreferenceMemory(InMemoryStore(), HashingEmbedder(64), clock=clock)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return demo_catalogue()


@pytest.fixture(scope="module")
def understander(catalogue: Catalogue) -> Understander:
    return Understander(catalogue)


@pytest.fixture(scope="module")
def hear(catalogue: Catalogue, understander: Understander) -> Any:
    listener = Listener(catalogue, understander.reader)

    def hear(text: str) -> list[NewPreference]:
        return listener.statements(understander.read(text, Focus()), "s", 1, WEDNESDAY)

    return hear


@pytest.fixture(scope="module")
def hear_at(catalogue: Catalogue, understander: Understander) -> Any:
    listener = Listener(catalogue, understander.reader)
    return lambda text, session: listener.statements(understander.read(text, Focus()), session, 1, WEDNESDAY)


def new(text: str, subject: str, **more: Any) -> NewPreference:
    return NewPreference(**{"kind": "attribute", "polarity": "unwanted", "subject": subject, "text": text} | more)


def rule(label: str = "not horror", genre: str = "Horror") -> dict[str, Any]:
    expr = {"not": {"field": "genres", "op": "any", "values": [genre]}}
    return {"condition": {"expr": expr, "label": label, "slot": "genres", "negative": True, "source": "rule",
                          "said": genre.lower(), "standing": True, "hard": True}}  # fmt: skip


def texts(recalled: Recollection, *, left_out: bool = False) -> list[str]:
    return [r.preference.text for r in (recalled.left_out if left_out else recalled.applied)]


class TestConfidence:
    def test_it_halves_by_the_stated_rule_and_repetition_slows_that(
        self, memory: PreferenceMemory, clock: Clock
    ) -> None:
        once = memory.add("ann", new("no horror", "genres=Horror", confidence=0.6))
        clock.now += timedelta(days=365)
        assert confidence.now(once, clock.now) == pytest.approx(0.3)
        twice = memory.add("ann", new("no horror", "genres=Horror", confidence=0.6))
        assert twice.confidence == pytest.approx(1 - (1 - 0.3) * (1 - 0.6))
        assert twice.times == 2
        clock.now += timedelta(days=730)
        assert confidence.now(twice, clock.now) == pytest.approx(twice.confidence / 2)

    def test_what_has_faded_is_listed_but_not_used(self, memory: PreferenceMemory, clock: Clock) -> None:
        memory.add("ann", new("no horror", "genres=Horror", payload=rule()))
        memory.add("ann", new("always: not war", "genres=War", kind="standing", payload=rule("not war", "War")))
        clock.now += timedelta(days=3650)
        recalled = memory.recall("ann", Need("a film", clock.now))
        assert texts(recalled) == ["always: not war"]
        assert texts(recalled, left_out=True) == ["no horror"]
        assert "not since" in recalled.left_out[0].reason
        assert len(memory.list("ann")) == 2


class TestWriting:
    @pytest.mark.parametrize(
        "text",
        [
            "I love horror, just kidding", "do I like horror?", "if I liked horror I would say so",
            "I used to love horror",
            'he told me "I love horror"', "everybody loves horror", "I might like horror", "let's say I love horror",
            "the director: I hate sequels", "so the hero never sleeps and always wins", "always a pleasure",
            "trying out your memory: I hate drama",
            "the hero always kills in horror films", "no horror tonight", "a horror film please",
        ],
    )  # fmt: skip
    def test_what_is_not_meant_or_not_the_users_is_not_remembered(self, hear: Any, text: str) -> None:
        assert hear(text) == []

    def test_a_sisters_taste_is_a_note_on_her(self, hear: Any) -> None:
        [note] = hear("my sister Julia loves horror")
        assert (note.kind, note.polarity, note.scope.facets) == ("note", "neutral", ("company:sister",))
        assert note.payload["name"] == "julia"
        [own] = [p for p in hear("my sister loves horror but I hate horror") if p.kind != "note"]
        assert (own.polarity, own.subject) == ("unwanted", "genres=Horror")

    def test_a_verdict_behind_its_object_is_a_denial(self, hear: Any) -> None:
        [bored] = hear("documentaries bore me")
        assert (bored.polarity, bored.text) == ("unwanted", "not documentary")

    def test_the_words_and_the_turn_are_kept(self, hear: Any) -> None:
        [kept] = hear("thanks! I really love westerns")
        assert (kept.said, kept.source_session, kept.source_turn) == ("I really love westerns", "s", 1)
        assert kept.strength > hear("I quite like westerns")[0].strength

    def test_this_week_ends(self, hear: Any) -> None:
        [week] = hear("never horror this week")
        assert week.valid_until == datetime(2026, 3, 9, 20, tzinfo=UTC)

    def test_a_scope_is_part_of_the_subject(self, memory: PreferenceMemory, hear: Any) -> None:
        for text in ("I love comedies", "never comedies at work", "always comedies at parties"):
            for one in hear(text):
                memory.add("ann", one)
        assert len(memory.list("ann")) == 3
        memory.add("ann", hear("always comedies at work")[0])
        held = memory.list("ann")
        assert len(held) == 3
        assert [p.polarity for p in held if "place:work" in p.scope.facets] == ["wanted"]

    @pytest.mark.parametrize("text", ["", "?!", "...", "but", "'", "when", "never", "my sister", "🙂" * 50, "a" * 4000,
                                      "if if if unless when", "never " * 600, "when i " * 500])  # fmt: skip
    def test_odd_texts_do_no_harm(self, text: str) -> None:
        assert all(c.start <= c.end <= len(text) for c in clauses(text, WEDNESDAY))


class TestSituations:
    @pytest.mark.parametrize(
        ("said", "facets", "unless"),
        [
            ("never horror when the kids are here", ("company:children",), ()),
            ("no animation except with the kids", (), ("company:children",)),
            ("on weekdays only short films", ("day:weekday",), ()),
            ("never anything long unless i'm alone", (), ("company:alone",)),
            ("i love horror", (), ()),
        ],
    )
    def test_scopes(self, said: str, facets: tuple[str, ...], unless: tuple[str, ...]) -> None:
        scope, body = read_scope(said)
        assert (scope.facets, scope.unless) == (facets, unless)
        assert len(body) == len(said)

    def test_who_is_asleep_is_not_there(self) -> None:
        assert facets_in("the kids are asleep") == (frozenset(), frozenset({"company:children"}))
        assert not applies(Scope(facets=("company:children",)), situation("without the kids", SATURDAY))[0]

    def test_the_clock_fills_in_what_was_not_said(self) -> None:
        weekday = Scope(facets=("day:weekday",))
        assert applies(weekday, situation("a film", WEDNESDAY))[0]
        assert not applies(weekday, situation("a film", SATURDAY))[0]
        assert not applies(weekday, situation("a film for Saturday", WEDNESDAY))[0]

    def test_what_nothing_is_known_of_does_not_hold(self) -> None:
        fits, why = applies(Scope(facets=("company:children",)), situation("a film", WEDNESDAY))
        assert not fits
        assert "children" in why

    def test_free_words_meet_by_their_words(self) -> None:
        scope = Scope(words="my back hurts")
        assert applies(scope, situation("my back is hurting, a film?", WEDNESDAY))[0]
        assert not applies(scope, situation("a film?", WEDNESDAY))[0]


class TestReading:
    def test_two_facts_for_one_request_are_both_found(self, memory: PreferenceMemory, hear: Any) -> None:
        for text in (
            "my son Max is five",
            "my dad hates subtitles",
            "I love comedies",
            "I hate westerns",
            "I have a dog",
        ):
            for one in hear(text):
                memory.add("ann", one)
        first = [
            r.preference.text for r in memory.recall("ann", Need("a film for Max and my dad", WEDNESDAY)).applied[:3]
        ]
        assert "your son Max is five" in first
        assert "your dad hates subtitles" in first

    def test_work_and_party_are_kept_apart_and_each_has_its_reason(self, memory: PreferenceMemory, hear: Any) -> None:
        for text in ("at work I only want documentaries", "for parties I always want musicals"):
            memory.add("ann", hear(text)[0])
        recalled = memory.recall("ann", Need("we celebrate, a party film", SATURDAY))
        assert [r.preference.scope.facets for r in recalled.applied] == [("occasion:party",)]
        assert "party" in recalled.applied[0].reason
        assert "only at the work" in recalled.left_out[0].reason

    def test_the_special_wins_over_the_general(self, memory: PreferenceMemory, hear: Any) -> None:
        for text in ("I love horror", "never horror with my kids"):
            memory.add("ann", hear(text)[0])
        assert texts(memory.recall("ann", Need("with my kids, something exciting", SATURDAY)))[0].startswith(
            "always: not"
        )
        assert texts(memory.recall("ann", Need("something exciting", SATURDAY))) == ["likes: horror"]

    def test_nothing_is_embedded_when_nothing_depends_on_it(self, memory: PreferenceMemory, hear: Any) -> None:
        memory.add("ann", hear("never horror")[0])
        memory._embedder = None  # type: ignore[assignment]
        assert len(memory.recall("ann", Need("a film", SATURDAY)).applied) == 1

    def test_another_users_records_are_never_recalled(self, memory: PreferenceMemory, hear: Any) -> None:
        memory.add("ann", hear("never horror")[0])
        memory.refresh_profile("ann")
        assert memory.recall("bob", Need("a film", SATURDAY)).known == ()
        assert memory.profile("bob") is None


class TestProfile:
    def fill(self, memory: PreferenceMemory) -> list[Preference]:
        kept = [memory.add("ann", new(f"not {i}", f"genres={i}", payload=rule(f"not {i}", str(i)))) for i in range(20)]
        kept += [
            memory.add("ann", new(f"liked {i}", f"item:{i}", kind="item", polarity="liked", payload={"item": str(i)}))
            for i in range(20)
        ]
        return kept

    def test_a_quarter_of_the_records_is_read_for_the_same_answer(self, memory: PreferenceMemory) -> None:
        self.fill(memory)
        need = Need("a film", WEDNESDAY)
        before = memory.recall("ann", need)
        made = memory.refresh_profile("ann")
        after = memory.recall("ann", need)
        assert before.retrieved == 40
        assert after.retrieved <= 10
        assert sorted(texts(before)) == sorted(texts(after))
        assert sorted(p.subject for p in before.known) == sorted(p.subject for p in after.known)
        assert "Does not like: " in made.summary()
        assert "and 14 more" in made.summary()

    def test_every_write_keeps_it_true(self, memory: PreferenceMemory) -> None:
        kept = self.fill(memory)
        memory.refresh_profile("ann")
        memory.edit("ann", kept[0].id, text="not at all", payload=rule("x", "X"))
        memory.add("ann", new("likes 1", "genres=1", polarity="wanted", payload=rule("1", "1")))
        memory.forget("ann", kept[2].id)
        recalled = texts(memory.recall("ann", Need("a film", WEDNESDAY)))
        assert "not at all" in recalled
        assert "likes 1" in recalled
        assert not {"not 0", "not 1", "not 2"} & set(recalled)
        made = memory.profile("ann")
        assert made is not None
        assert not {k.id for k in kept[:3]} & made.covers

    def test_records_from_before_there_were_profiles(self, memory: PreferenceMemory) -> None:
        old = Preference(**new("no horror", "genres=Horror").model_dump(), user="ann")
        body = {k: v for k, v in old.model_dump(mode="json").items() if k not in LATER_FIELDS}
        tags = {k: v for k, v in to_stored(old, covered=False).tags.items() if k != "each_turn"}
        memory._store.put("ann", [StoredRecord(old.id, body, tags)], HashingEmbedder(64).embed(["x"]))
        assert memory.list("ann") == [old]
        memory.add("ann", new("a fact", "me:1", kind="note", polarity="neutral"))
        memory.refresh_profile("ann")
        memory.refresh_profile("ann")
        assert {p.text for p in memory.recall("ann", Need("x", WEDNESDAY)).known} == {"no horror", "a fact"}

    def test_it_is_no_record(self, memory: PreferenceMemory) -> None:
        self.fill(memory)
        memory.refresh_profile("ann")
        assert len(memory.list("ann", include_superseded=True)) == 40
        with pytest.raises(RequestError):
            memory.get("ann", PROFILE_ID)
        assert memory.forget_all("ann") == 40
        assert memory.profile("ann") is None

    def test_made_in_the_background_after_a_turn(self) -> None:
        agent = make_agent()
        for genre in ("horror", "westerns", "musicals", "romance", "war films", "animation", "mysteries", "thrillers"):
            ask(agent, f"I hate {genre}")
        ask(agent, "a film")
        agent.profiles.wait()
        assert agent.preferences.profile("ann") is not None
        agent.profiles.close()


class TestControl:
    def test_an_edit_changes_the_next_slate(self) -> None:
        agent = make_agent()
        ask(agent, "I hate westerns")
        [kept] = agent.preferences.list("ann")
        edited = agent.preferences.edit("ann", kept.id, text="always westerns")
        assert edited.polarity == "wanted"
        result = ask(agent, "recommend me a good film", session="s2")
        assert result.items
        assert all("Western" in item.fields["genres"] for item in result.items)
        agent.preferences.edit("ann", kept.id, text="never westerns")
        again = ask(agent, "recommend me a good film", session="s3")
        assert not any("Western" in i.fields.get("genres", ()) for i in again.items)

    def test_an_edit_may_set_the_circumstances(self) -> None:
        agent = make_agent()
        ask(agent, "never horror")
        [kept] = agent.preferences.list("ann")
        edited = agent.preferences.edit("ann", kept.id, text="never horror when the kids are here")
        assert edited.scope.facets == ("company:children",)

    def test_a_conditional_instruction_leaves_the_present_slate_alone(self) -> None:
        agent = make_agent()
        result, _ = run(agent, "never thrillers when my mother is here. a thriller for now")
        assert any("Thriller" in i.fields.get("genres", ()) for i in result.items)
        assert agent.preferences.list("ann")[0].scope.facets == ("company:mother",)

    def test_search_finds_words_then_meaning(self, memory: PreferenceMemory) -> None:
        memory.add("ann", new("no horror films", "genres=Horror"))
        memory.add("ann", new("likes trains", "t", polarity="wanted", said="I love trains"))
        assert [r.preference.text for r in memory.search("ann", "TRAINS")] == ["likes trains"]
        assert memory.search("bob", "trains") == []
        with pytest.raises(RequestError):
            memory.search("ann", "  ")

    def test_import_is_idempotent_and_checked_whole(self, memory: PreferenceMemory, clock: Clock) -> None:
        memory.add("ann", new("no horror", "genres=Horror"))
        clock.now += timedelta(days=1)
        memory.add("ann", new("horror is fine", "genres=Horror", polarity="wanted"))
        document = json.loads(json.dumps(memory.export("ann")))
        other = PreferenceMemory(InMemoryStore(), HashingEmbedder(64), clock=clock)
        assert other.import_("bob", document).added == 2
        assert other.import_("bob", document).model_dump() == {"added": 0, "unchanged": 2, "skipped": 0}
        assert [p.text for p in other.list("bob")] == ["horror is fine"]
        assert {p.user for p in other.list("bob", include_superseded=True)} == {"bob"}
        newer = PreferenceMemory(InMemoryStore(), HashingEmbedder(64), clock=lambda: clock.now + timedelta(days=9))
        newer.add("bob", new("horror again not", "genres=Horror"))
        newer.import_("bob", document)
        assert [p.text for p in newer.list("bob")] == ["horror again not"], "what is newer here stays"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"format": "x"}, "format"), ({"version": 9}, "version"), ({"preferences": {}}, "preferences"),
            ({"preferences": [{"kind": "x"}]}, "preferences[0]"), ({"preferences": ["x"]}, "preferences[0]"),
        ],
    )  # fmt: skip
    def test_bad_imports_change_nothing(self, memory: PreferenceMemory, change: dict[str, Any], field: str) -> None:
        memory.add("ann", new("no horror", "genres=Horror"))
        with pytest.raises(RequestError) as caught:
            memory.import_("ann", memory.export("ann") | change)
        assert caught.value.field.startswith(field)
        with pytest.raises(RequestError):
            memory.import_("ann", [1])
        profile_id = memory.export("ann")
        profile_id["preferences"][0]["id"] = PROFILE_ID
        with pytest.raises(RequestError, match="hexadecimal"):
            memory.import_("ann", profile_id)
        assert len(memory.list("ann")) == 1


class TestErasing:
    SECRET = "zanzibar"

    def test_erased_words_are_in_no_conversation_and_no_log(self, caplog: pytest.LogCaptureFixture) -> None:
        agent = make_agent()
        caplog.set_level(logging.DEBUG)
        ask(agent, f"I love {self.SECRET} films", session="s1")
        ask(agent, f"as I said, I love {self.SECRET} films", session="s2")
        ask(agent, "a comedy", session="s2")
        for kept in agent.preferences.list("ann"):
            agent.preferences.forget("ann", kept.id)
        states = [agent.sessions.load("ann", s) for s in ("s1", "s2")]
        assert self.SECRET not in json.dumps(states).lower()
        assert "a comedy" in json.dumps(states)
        assert self.SECRET not in caplog.text.lower()

    def test_saying_forget_leaves_nothing_either(self) -> None:
        agent = make_agent()
        ask(agent, "I loved Fargo")
        ask(agent, "forget that I love Fargo")
        state = json.dumps(agent.sessions.load("ann", "s1"))
        assert "love Fargo" not in state
        assert "loved Fargo" not in state
        assert ERASED in state

    def test_erasing_everything_ends_the_conversations(self) -> None:
        agent = make_agent()
        ask(agent, "I love westerns")
        ask(agent, "I love westerns", user="bob")
        agent.preferences.forget_all("ann")
        assert agent.sessions.list("ann") == []
        assert agent.history(user="bob", session_id="s1") != []

    def test_a_running_request_forgets_its_condition(self) -> None:
        gone = Preference(
            **new("not horror", "genres=Horror", payload=rule(), said="no horror").model_dump(), user="ann"
        )
        state = {"turns": [["no horror please", "ok"], ["a comedy", "here"]], "turn_count": 2, "liked": ["x"],
                 "conditions": [rule()["condition"]], "query": "horror", "situation": ["company:children"]}  # fmt: skip
        left = scrubbed(state, "s", [gone])
        assert left["turns"] == [[ERASED, ERASED], ["a comedy", "here"]]
        assert (left["conditions"], left["query"], left["situation"], left["liked"]) == ([], "", [], ["x"])

    def test_the_terminals_history_forgets_too(self, tmp_path: Path) -> None:
        file = tmp_path / "chat_history"
        file.write_text("\n# now\n+I hate zanzibar\n\n# now\n+a comedy\n")
        gone = Preference(**new("not zanzibar", "x", said="I hate zanzibar").model_dump(), user="ann")
        eraser = HistoryEraser(file)
        eraser("ann", [gone])
        assert "zanzibar" not in file.read_text()
        assert "+a comedy" in file.read_text()
        eraser("ann", None)
        assert file.read_text() == ""

    def test_when_a_conversation_cannot_be_cleaned_the_record_stays(self, memory: PreferenceMemory) -> None:
        kept = memory.add("ann", new("no horror", "genres=Horror"))

        def fails(user: str, gone: object) -> None:
            raise RequestError("session", user, "busy")

        memory.on_erase(fails)
        with pytest.raises(RequestError, match="busy"):
            memory.forget("ann", kept.id)
        assert memory.list("ann") == [kept]


class TestNewestWins:
    @pytest.mark.parametrize(
        ("old", "new_", "kept"),
        [
            ("Always rated PG or lower.", "From now on always rated R.", ["always: rated R"]),
            ("Always rated R.", "From now on always rated PG or lower.", ["always: rated PG or milder"]),
            ("Never anything rated R.", "From now on always rated R.", ["always: rated R"]),
            ("Always rated PG-13.", "Never anything rated PG-13 or R.", ["always: not rated PG-13 or R or NC-17"]),
            ("Always films under 90 minutes.", "From now on always over 120 minutes.", ["always: over 120 minutes"]),
            ("Always from the 1980s.", "From now on always from 2000 or later.", ["always: from 2000 or later"]),
            ("Always French films.", "From now on always Japanese films.", ["always: Japanese"]),
            ("I love musicals.", "I hate musicals now.", ["not musical"]),
            ("I like westerns.", "I no longer like westerns.", ["not western"]),
            ("I like westerns.", "I'm so tired of westerns.", ["not western"]),
            ("I can't stand horror.", "I've come to love horror.", ["likes: horror"]),
            ("Never horror.", "Now I love horror.", ["likes: horror"]),
            (
                "For thrillers at most 110 minutes, always.", "When I ask for a thriller, always at most 90 minutes.",
                ["always: at most 90 minutes (when i ask for a thriller)"],
            ),
            (
                "In horror always from before 1980.", "If I want a horror film, always from 2000 or later.",
                ["always: from 2000 or later (if i want a horror film)"],
            ),
            ("Always horror films.", "Never anything over 2 hours.", ["always: at most 120 minutes", "always: horror"]),
        ],
    )  # fmt: skip
    def test_of_two_conversations(
        self, hear_at: Any, memory: PreferenceMemory, clock: Clock, old: str, new_: str, kept: list[str]
    ) -> None:
        """Each said in the first turn of a conversation of its own, so that the turn's number tells nothing."""
        for session, text in (("s1", old), ("s2", new_)):
            clock.now += timedelta(days=1)
            for one in hear_at(text, session):
                memory.add("ann", one, supersedes=rivals(one, memory.list("ann")))
        assert sorted(p.text for p in memory.list("ann")) == kept

    def test_two_of_one_message_stand_together(self, hear_at: Any, memory: PreferenceMemory) -> None:
        for one in hear_at("Always comedies and always rated PG.", "s1"):
            memory.add("ann", one, supersedes=rivals(one, memory.list("ann")))
        assert len(memory.list("ann")) == 2

    @pytest.mark.parametrize("text", ["I'd love a musical now.", "I'd like a musical.", "No musicals now."])
    def test_a_wish_of_the_moment_changes_nothing(self, hear: Any, text: str) -> None:
        assert hear(text) == []

    def test_records_of_another_version_are_no_rivals(self, hear: Any) -> None:
        one = next(iter(hear("Always rated R.")))
        odd = Preference(**new("x", "certificate=PG", payload={"condition": {"slot": "certificate"}}).model_dump(),
                         user="ann")  # fmt: skip
        assert rivals(one, [odd]) == []


class TestForWhatIsAskedFor:
    """Instructions with a category, an origin or a person as their condition."""

    @pytest.mark.parametrize(
        ("text", "facets"),
        [
            ("For horror films always from 2000 or later.", ("asked:genres=Horror",)),
            ("For horror, I always want films from 2000 or later.", ("asked:genres=Horror",)),
            ("When I ask for horror, only films from 2000 or later.", ("asked:genres=Horror",)),
            ("When it comes to horror, only films from 2000 or later.", ("asked:genres=Horror",)),
            ("Please remember that for horror I always want films from 2000 or later.", ("asked:genres=Horror",)),
            ("As for horror, I only want films from 2000 or later.", ("asked:genres=Horror",)),
            ("Horror films always from 2000 or later.", ("asked:genres=Horror",)),
            ("Horror: always from 2000 or later.", ("asked:genres=Horror",)),
            ("Always from 2000 or later for horror films.", ("asked:genres=Horror",)),
            ("For horror and thrillers always from 2000 or later.", ("asked:genres=Horror", "asked:genres=Thriller")),
            ("For romantic comedies always from 2000 or later.", ("asked:genres=Comedy&genres=Romance",)),
            ("If I ask for French films, always from 2000 or later.", ("asked:origin=French",)),
            ("For Tom Hanks films always from 2000 or later.", ("asked:person:tom hanks",)),
            ("For me always films from 2000 or later.", ()),
            ("Always films from 2000 or later for me.", ()),
            ("I can't stand old stuff: always from 2000 or later.", ()),
            ("On weekdays always films from 2000 or later.", ("day:weekday",)),
        ],
    )
    def test_written(self, hear: Any, text: str, facets: tuple[str, ...]) -> None:
        assert [(p.subject, p.scope.facets) for p in hear(text)] == [("year", facets)]

    def test_what_is_wished_is_no_condition(self, hear: Any) -> None:
        assert [(p.subject, p.scope.empty) for p in hear("Always horror films, please.")] == [("genres=Horror", True)]
        english = hear("I can't stand subtitles: always films in English, please.")
        assert [(p.subject, p.scope.empty) for p in english] == [("origin=English", True)]

    @pytest.mark.parametrize(
        ("told", "applies_to", "unrelated"),
        [
            ("For horror films always from 2000 or later.", "A scary movie, please.", "Something by Akira Kurosawa."),
            ("For thrillers always at most 110 minutes.", "A thriller, please.", "A biopic, please."),
            ("For romantic comedies always from before 1990.", "A romantic comedy, please.", "A comedy, please."),
            ("For Tom Hanks films always from before 2000.", "Something with Tom Hanks.", "A drama, please."),
            ("When I ask for French films, always from the 1960s.", "A French film, please.", "An Italian film."),
        ],
    )
    def test_applied_only_then(self, told: str, applies_to: str, unrelated: str) -> None:
        agent = make_agent()
        ask(agent, told, session="s1")
        other = ask(agent, unrelated, session="s2")
        assert other.applied_preferences == ()
        assert other.items == ask(make_agent(), unrelated).items
        met = ask(agent, applies_to, session="s3")
        assert met.items
        assert len(met.applied_preferences) == 1
        assert set(met.conditions) > set(ask(make_agent(), applies_to).conditions)

    def test_it_holds_while_the_request_goes_on(self) -> None:
        agent = make_agent()
        ask(agent, "For thrillers always at most 110 minutes.", session="s1")
        ask(agent, "A thriller, please.", session="s2")
        result = ask(agent, "Something newer, please.", session="s2")
        assert "at most 110 minutes" in result.conditions

    def test_edited(self) -> None:
        agent = make_agent()
        ask(agent, "For thrillers always at most 110 minutes.")
        one = agent.preferences.list("ann")[0]
        agent.preferences.edit("ann", one.id, text="For westerns always at most 90 minutes.")
        assert ask(agent, "A thriller, please.", session="s2").applied_preferences == ()
        assert "at most 90 minutes" in ask(agent, "A western, please.", session="s3").conditions


class TestSaidNow:
    def test_the_same_field_only(self) -> None:
        """A country asked for leaves a language in force; a language takes its place."""
        agent = make_agent()
        ask(agent, "Always only films in English.", session="s1")
        assert "in English" in ask(agent, "Something from Italy?", session="s2").conditions
        assert "in English" not in ask(agent, "Anything French?", session="s3").conditions

    def test_relative_wishes_stay_within_what_always_holds(self) -> None:
        agent = make_agent()
        ask(agent, "Always only films from 2000 or later.", session="s1")
        ask(agent, "A film from the 1970s, please.", session="s2")
        newer = ask(agent, "Something newer, please.", session="s2")
        assert newer.items
        assert all(item.year >= 2000 for item in newer.items)
        assert any(item.year < 2000 for item in ask(agent, "A film from the 1950s.", session="s3").items)

    def test_what_lifts_a_denial_does_so_at_once(self) -> None:
        agent = make_agent()
        ask(agent, "Never anything rated R.", session="s1")
        result = ask(agent, "From now on always rated R.", session="s2")
        assert result.applied_preferences == ()
        assert result.items
