"""A trained recommender in the chat: whose items are whose, what it is told, what it changes, and what is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.agent import ranking
from convrec.agent.conversation import conversation_of
from convrec.agent.ranking import open_ranking_model
from convrec.agent.session import Session
from convrec.agent.turn import Agent
from convrec.app import GROUPS, services
from convrec.core.errors import ModelError, SettingsError, ToolFailed
from convrec.core.settings import Settings
from convrec.serve.cli import build_cli
from convrec.serve.doctor import examine
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.content import ContentModel
from convrec.tools.datasets import Mention, Message
from convrec.tools.importing import ImportRequest, import_catalogue
from convrec.tools.predicates import Condition, Op
from convrec.tools.predicates import Test as Where
from convrec.tools.ranking_items import match_items
from convrec.tools.ranking_model import Conversation, RankingModel
from convrec.tools.recommenders.base import Recommender
from convrec.tools.recommenders.data import Context, TrainData
from convrec.tools.recommenders.ease import EASE
from convrec.tools.recommenders.item_names import ItemNames
from convrec.tools.recommenders.popularity import Popularity
from convrec.tools.recommenders.registry import load_recommender
from convrec.tools.toolbox import FilterTool, RankConfig, RankTool
from demo_agent import ask, demo_catalogue, make_agent, run
from typer.testing import CliRunner

FILMS = """id,title,year,genres,plot,critics_score,reviews
tt0000001,Storm,1990,Drama,A storm comes.,50,10
tt0000002,Anchor,1991,Drama,A ship stays.,50,10
tt0000003,The Bell,1992,Drama,A bell rings.,50,10
x4,Cargo,1993,Drama,A ship sails.,50,10
x5,Twin,1994,Drama,One of two.,50,10
x6,Twin,1994,Drama,The other of two.,50,10
77,Other,1995,Drama,Something else.,50,10
x8,Unknown,1996,Drama,Nobody knows it.,50,10
x9,Echo,1996,Drama,Something like Storm. Something like Storm. Storm. The best recommendation.,50,10
"""
IDS = ("901", "902", "903", "904", "905", "77")
NAMES = ItemNames(
    ("Storm", "Anchor with another title", "Bell, The", "Cargo", "Twin", "Numbered alike"),
    (1990, 1991, 1992, 1993, 1994, 1995),
    ("tt0000001", "tt0000002", "", "", "", ""),
)
"""ReDial-like: ids of its own, IMDb ids of some, titles and years."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the catalogue "films"."""
    folder = tmp_path_factory.mktemp("ranking")
    (folder / "films.csv").write_text(FILMS)
    import_catalogue(ImportRequest(file=folder / "films.csv", name="films"), folder / "catalogues")
    return folder


@pytest.fixture(scope="module")
def films(home: Path) -> Catalogue:
    return Catalogue.open(home / "catalogues" / "films")


def saved(folder: Path, sequences: Sequence[str], ids: Sequence[str] = IDS, names: ItemNames | None = NAMES) -> Path:
    """An EASE model of sequences like "901 902"."""
    train = TrainData.from_mentions(ids, [[Mention(i, "seeker") for i in line.split()] for line in sequences])
    model = EASE().fit(train)
    model.names = names
    model.save(folder)
    return folder


def settings_of(home: Path, model: Path | None) -> Settings:
    return Settings(home=home, catalogue="films", tier="none", ranking={"model": model})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(home: Path, films: Catalogue) -> RankingModel:
    """Storm leads to Cargo, and more weakly to Anchor."""
    lines = ["901 904"] * 6 + ["901 902"] * 2 + ["903 902"] * 4
    found = open_ranking_model(settings_of(home, saved(home / "models" / "own", lines)), films)
    assert found is not None
    return found


def row(catalogue: Catalogue, item_id: str) -> int:
    found = catalogue.row_of(item_id)
    assert found is not None
    return found


class TestItems:
    def test_by_imdb_id_else_by_title_and_year(self, films: Catalogue) -> None:
        found = match_items(films, IDS, NAMES)
        known = {films.item(int(r)).id for r in np.flatnonzero(found.items.rows >= 0)}
        # "Twin" is two films, and 77 is another film here.
        assert known == {"tt0000001", "tt0000002", "tt0000003", "x4"}
        assert (found.by_id, found.by_imdb, found.by_title) == (0, 2, 2)

    def test_the_same_ids(self, films: Catalogue) -> None:
        assert match_items(films, ["x4", "77", "tt0000003"], None).by_id == 3
        same = ItemNames(("Cargo", "other", "Bell, The"), (0, 0, 0), ("", "", ""))
        assert match_items(films, ["x4", "77", "tt0000003"], same).by_id == 3

    def test_two_imdb_ids_are_two_films(self, films: Catalogue) -> None:
        names = ItemNames(("Storm", "Storm"), (1990, 1991), ("tt9999999", ""))
        assert match_items(films, ["901", "902"], names).items.n_known == 0

    def test_listed_twice_in_the_model(self, films: Catalogue) -> None:
        names = ItemNames(("Cargo", "Cargo"), (1993, 1993), ("", ""))
        items = match_items(films, ["901", "902"], names).items
        cargo = row(films, "x4")
        assert items.n_known == 1
        assert items.scores(np.array([[0.1, 0.9]], dtype=np.float32))[0, cargo] == np.float32(0.9)

    def test_without_years_by_title_alone(self, films: Catalogue) -> None:
        names = ItemNames(("Cargo", "Twin"), (0, 0), ("", ""))
        assert match_items(films, ["901", "902"], names).items.n_known == 1


class TestNames:
    def test_round_trip_and_damage(self, tmp_path: Path) -> None:
        folder = saved(tmp_path / "model", ["901 902"])
        assert load_recommender(folder).names == NAMES
        assert load_recommender(saved(tmp_path / "bare", ["901 902"], names=None)).names is None
        file = folder / "item_names.json"
        for broken in ({"titles": ["a"], "years": [1], "imdb_ids": [""]}, {"titles": 3}, []):
            file.write_text(json.dumps(broken))
            with pytest.raises(ModelError, match="damaged"):
                load_recommender(folder)


class TestScores:
    def test_by_rank_and_zero_for_what_it_does_not_know(self, films: Catalogue, model: RankingModel) -> None:
        storm, cargo, anchor = (row(films, i) for i in ("tt0000001", "x4", "tt0000002"))
        scores = model.scores(Conversation(text="x", named=(storm,)))
        assert scores[cargo] == 1.0
        assert scores[anchor] == 0.5  # one place below; a tenth of three items is not one
        assert {scores[row(films, i)] for i in ("tt0000001", "x5", "x8", "77")} == {0.0}
        assert scores.dtype == np.float32

    def test_where_the_conversation_tells_it_nothing_it_says_nothing(
        self, films: Catalogue, model: RankingModel
    ) -> None:
        """EASE would name what is popular: words alone, or a film that it does not know, tell it nothing."""
        for said in (Conversation(text="a storm"), Conversation(text="like Unknown", named=(row(films, "x8"),))):
            assert not model.scores(said).any()

    def test_the_unknown_get_the_mean_of_the_known_and_conditions_hold(
        self, films: Catalogue, model: RankingModel
    ) -> None:
        storm = row(films, "tt0000001")
        said = Conversation(text="like Storm", named=(storm,), now=((storm, "Storm"),))
        among = model.among(model.scores(said), films.rows(None))
        known = [row(films, i) for i in ("tt0000001", "tt0000002", "tt0000003", "x4")]
        assert among[row(films, "x8")] == pytest.approx(among[known].mean())
        cargo, unknown = model.among(model.scores(said), np.array([row(films, "x4"), row(films, "x8")], np.int32))
        assert 0 < unknown < cargo
        bus = Candidates(rows=np.array([r for r in range(films.size) if r != storm], dtype=np.int32))
        FilterTool(films)(bus, [Condition(Where("year", Op.GE, (1993,)), "from 1993", "year")])
        tool = RankTool(films, ContentModel(films), RankConfig(trained=1.0), model=model)
        first = tool(bus, said=said).rows.tolist()
        assert films.item(first[0]).id == "x4"
        assert {films.item(r).year for r in first} == {1993, 1994, 1995, 1996}
        without = RankTool(films, ContentModel(films), RankConfig(trained=0.0), model=model)(bus, said=said)
        plain = RankTool(films, ContentModel(films))(bus)
        assert without.rows.tolist() == plain.rows.tolist()

    def test_no_text_raises_an_item(self, films: Catalogue, model: RankingModel) -> None:
        """x9 says in its record what is asked for; x8 says nothing."""
        storm = row(films, "tt0000001")
        said = Conversation(text="Something like Storm", named=(storm,), now=((storm, "Storm"),))
        among = model.among(model.scores(said), films.rows(None))
        assert among[row(films, "x9")] == among[row(films, "x8")]

    def test_loaded_once_for_all_threads(
        self, films: Catalogue, model: RankingModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loads: list[Path] = []
        real = load_recommender

        def load(folder: Path) -> Recommender:
            loads.append(folder)
            time.sleep(0.02)
            return real(folder)

        monkeypatch.setattr("convrec.tools.ranking_model.load_recommender", load)
        fresh = RankingModel(films, model.folder, "ease", model.matched)
        assert loads == []
        threads = [threading.Thread(target=fresh.warm) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert loads == [model.folder]


class TestConversation:
    def context(self, model: RankingModel, **said: Any) -> Context:
        return model.context(Conversation(**said))

    def test_titles_are_the_models_marks_and_who_said_what(self, films: Catalogue, model: RankingModel) -> None:
        storm, anchor, cargo, unknown = (row(films, i) for i in ("tt0000001", "tt0000002", "x4", "x8"))
        found = self.context(
            model,
            turns=(("I loved storm (1990), not anchor or @904", "1. Cargo (1993)\n2. Unknown (1996)"),),
            text="Yes, the first one, like CARGO and Unknown",
            named=(storm, unknown, cargo),
            refused=(anchor,),
            now=((cargo, "the first one"),),
        )
        assert found.messages == (
            Message("seeker", "I loved @901, not @902 or 904", ("901",)),
            Message("recommender", "@904", ("904",)),
            Message("seeker", "Yes, @904, like @904 and Unknown", ("904",)),
        )
        assert [IDS[r] for r in found.named.tolist()] == ["901", "904"]

    def test_a_sessions_own_words_since_the_request_began(self) -> None:
        agent, seen = spied()
        talk = ("I loved Heat", "yes, something like it", "newer please", "a romantic comedy", "anything else?")
        for text in talk:
            ask(agent, text, session="s1")
        ask(agent, "I hated Alien", session="other")
        ask(agent, "a western", session="other")
        ask(agent, "a western", user="bob", session="s1")
        told = [([said for said, _ in c.turns], c.text) for c in seen]
        assert (["I loved Heat"], "yes, something like it") in told
        assert (["I loved Heat", "yes, something like it"], "newer please") in told
        assert ([], "a romantic comedy") in told
        assert (["a romantic comedy"], "anything else?") in told
        heat = next(c.named[-1] for c in seen if c.text == "newer please")
        assert demo_catalogue().item(heat).title == "Heat"
        other, bob = seen[-2], seen[-1]
        assert [demo_catalogue().item(r).title for r in other.refused] == ["Alien"]
        assert other.named == bob.named == bob.refused == ()

    def test_turned_down_and_erased_stay_out(self) -> None:
        catalogue = demo_catalogue()
        ids = [catalogue.item(r).id for r in (1, 2, 3)]
        session = Session("ann", "s", turns=[("(erased)", "(erased)"), ("hello", "hi")], turn_count=3)
        session.named, session.liked, session.rejected = ids[:2], [ids[2]], [ids[0]]
        found = conversation_of(session, catalogue)
        assert found.named == (3, 2)
        assert found.refused == (1,)
        assert [said for said, _ in found.turns] == ["hello"]


def spied() -> tuple[Agent, list[Conversation]]:
    """An agent whose ranking model only notes what it is told."""
    catalogue, seen = demo_catalogue(), list[Conversation]()

    class Spy(RankingModel):
        __slots__ = ()

        def scores(self, said: Conversation) -> Any:
            seen.append(said)
            return np.zeros(catalogue.size, dtype=np.float32)

    items = match_items(catalogue, [catalogue.item(0).id], None)
    return with_model(Spy(catalogue, Path("none"), "ease", items)), seen


def with_model(model: RankingModel) -> Agent:
    agent = make_agent()
    return replace(agent, toolbox=replace(agent.toolbox, rank=replace(agent.toolbox.rank, model=model)))


@pytest.fixture(scope="module")
def demo_model(home: Path) -> RankingModel:
    """Knows four films of the demo by IMDb id; Heat leads to an unlikely one."""
    catalogue = demo_catalogue()
    found = [hit.row for hit in catalogue.find_names(["heat"]) if hit.kind == "title" and hit.row is not None]
    heat = next(r for r in found if catalogue.item(r).label == "Heat (1995)")
    far = [r for r in range(0, catalogue.size, catalogue.size // 40)][-3:]
    ids = [catalogue.item(r).id for r in (heat, *far)]
    lines = [f"{ids[0]} {ids[1]}"] * 5 + [f"{ids[2]} {ids[3]}"] * 5
    folder = saved(home / "models" / "demo", lines, ids, None)
    matched = match_items(catalogue, ids, None)
    return RankingModel(catalogue, folder, "ease", matched)


class TestTurn:
    def test_it_brings_an_item_up_with_true_reasons_and_says_that_it_ranked(self, demo_model: RankingModel) -> None:
        catalogue = demo_catalogue()
        brought = demo_model.scores(Conversation(named=(heat_row(demo_model),))).argmax()
        agent = with_model(demo_model)
        strong = replace(agent.toolbox.rank, config=RankConfig(trained=5.0))
        agent = replace(agent, toolbox=replace(agent.toolbox, rank=strong))
        found = ask(agent, "Something like Heat")
        plain = ask(make_agent(), "Something like Heat")
        assert found.items[0].id == catalogue.item(int(brought)).id
        assert found.items[0].id not in {item.id for item in plain.items}
        assert any("trained model ease" in ran.summary for ran in found.tools if ran.tool == "rank")
        record = json.dumps(catalogue.item(int(brought)).fields, default=str).casefold()
        for fact in found.items[0].evidence:  # each word of a kind or a name is on record; no model is named
            assert "model" not in fact
            assert fact.split(", like")[0].split()[-1].strip("%").casefold() in record or "reviews" in fact

    def test_why_not_tells_the_rank_of_the_same_list(self, demo_model: RankingModel) -> None:
        agent, seen = spied()
        ask(agent, "Something like Heat", session="why")
        ask(agent, "why not Casino?", session="why")
        assert len(seen) == 2
        assert seen[1].named == seen[0].named
        assert [said for said, _ in seen[1].turns] == ["Something like Heat"]

    def test_one_that_fails_is_said_and_the_list_stands(self, demo_model: RankingModel, tmp_path: Path) -> None:
        gone = RankingModel(demo_model.catalogue, tmp_path / "gone", "ease", demo_model.matched)
        with pytest.raises(ToolFailed, match="gone"):
            gone.warm()
        found, _ = run(with_model(gone), "Something like Heat")
        assert [f.instead for f in found.fallbacks] == ["ranked without the ranking model"]
        plain = ask(make_agent(), "Something like Heat")
        assert [item.id for item in found.items] == [item.id for item in plain.items]


def heat_row(model: RankingModel) -> int:
    return next(int(r) for r in np.flatnonzero(model.known) if model.catalogue.item(int(r)).title == "Heat")


class TestStart:
    def test_none_is_set(self, home: Path, films: Catalogue) -> None:
        assert open_ranking_model(settings_of(home, None), films) is None

    def test_by_environment_and_by_name(
        self, home: Path, films: Catalogue, model: RankingModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONVREC_RANKING__MODEL", "own")
        monkeypatch.setenv("CONVREC_RANKING__WEIGHT", "0.2")
        settings = Settings(home=home, catalogue="films")
        found = open_ranking_model(settings, films)
        assert found is not None
        assert found.folder == model.folder
        assert settings.ranking.weight == 0.2

    def test_what_is_refused(self, home: Path, films: Catalogue, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        (other / "manifest.json").write_text('{"name": "catalogue", "format": 1}')
        text = tmp_path / "text"
        text.mkdir()
        (text / "manifest.json").write_text("no JSON")
        strangers = saved(tmp_path / "strangers", ["s1 s2"], ["s1", "s2"], None)
        torn = saved(tmp_path / "torn", ["901 902"])
        (torn / "items.json").write_text("[")
        for folder, says in (
            (tmp_path / "nowhere", "no recommender is saved there"),
            (home / "films.csv", "no recommender is saved there"),
            (other, "'catalogue' of format 1"),
            (text, "that of no recommender"),
            (strangers, "the catalogue films has none"),
            (torn, "cannot be read"),
        ):
            with pytest.raises(SettingsError) as error:
                open_ranking_model(settings_of(home, folder), films)
            assert "ranking.model" in str(error.value)
            assert str(folder) in str(error.value)
            assert says in str(error.value)

    @pytest.mark.parametrize(
        ("kind", "says"),
        [("fused", "convrec[train]"), ("bi_encoder", "convrec[memory]"), ("content", "convrec[memory]")],
    )
    def test_a_missing_extra_of_it_or_of_a_part(
        self, home: Path, films: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
    ) -> None:
        folder = saved(tmp_path / "blend", ["901 902"])
        saved(folder / "parts" / kind, ["901 902"])
        manifest = folder / "parts" / kind / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"ease"', f'"{kind}"'))
        monkeypatch.setattr(ranking, "installed", lambda library: False)
        monkeypatch.setitem(__import__("sys").modules, "lightgbm", None)
        with pytest.raises(SettingsError) as error:
            open_ranking_model(settings_of(home, folder), films)
        assert says in str(error.value)

    def test_a_missing_encoder(
        self, home: Path, films: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = saved(tmp_path / "texts", ["901 902"])
        (folder / "manifest.json").write_text((folder / "manifest.json").read_text().replace('"ease"', '"bi_encoder"'))
        monkeypatch.setattr(ranking, "installed", lambda library: True)
        settings = settings_of(home, folder).model_copy(update={"cache": tmp_path / "empty"})
        with pytest.raises(SettingsError, match="convrec models pull"):
            open_ranking_model(settings, films)

    def test_doctor(self, home: Path, model: RankingModel, tmp_path: Path) -> None:
        def check(folder: Path | None) -> Any:
            return next(c for c in examine(settings_of(home, folder)) if c.name == "ranking model")

        assert check(None).state == "ok"
        assert "knows 4" in check(model.folder).detail
        assert check(tmp_path / "nowhere").state == "broken"

    def test_the_command_refuses_before_the_first_turn(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONVREC_HOME", str(home))
        for name, value in (("CATALOGUE", "films"), ("MEMORY__STORE", "memory"), ("MEMORY__EMBEDDER", "hashing")):
            monkeypatch.setenv(f"CONVREC_{name}", value)
        monkeypatch.setenv("CONVREC_RANKING__WEIGHT", "5")
        arguments = ["ask", "something like Storm", "--tier", "none", "--json", "--ranking-model"]
        app = build_cli(services, GROUPS)
        refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "nowhere")])
        assert refused.exit_code == 2
        assert "ranking.model" in refused.output
        done = CliRunner().invoke(app, [*arguments, "own"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["items"][0]["title"] == "Cargo"


def test_other_kinds_rank_too(home: Path, films: Catalogue, tmp_path: Path) -> None:
    train = TrainData.from_mentions(IDS, [[Mention("904", "recommender")], [Mention("901", "recommender")]])
    popular = Popularity().fit(train)
    popular.names = NAMES
    popular.save(tmp_path / "popular")
    found = open_ranking_model(settings_of(home, tmp_path / "popular"), films)
    assert found is not None
    assert found.name == "popularity"
    storm, anchor, cargo = (found.scores(Conversation())[row(films, i)] for i in ("tt0000001", "tt0000002", "x4"))
    # Of what it cannot tell apart it puts nothing forward: each has the last of their places.
    assert storm == cargo == 0.5
    assert anchor == 0.25
