"""The ranking pack: known answers on tiny data, what is shipped, and what it does to a ranking."""

from __future__ import annotations

import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convrec.agent.executor import Toolbox
from convrec.core.errors import DatasetError, ModelError
from convrec.core.settings import Settings
from convrec.serve.doctor import examine
from convrec.tools import pack as pack_module
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.collaborative import SURE_NEIGHBOUR, PackExpert
from convrec.tools.content import ContentModel
from convrec.tools.datasets import Dialogue, Mention, Message, RedialData
from convrec.tools.importing import ImportRequest, import_catalogue
from convrec.tools.pack import EXPERTS, FORMAT, PACK_FILE, Pack, read_pack, shipped_pack, write_pack
from convrec.tools.pack_build import PackSettings, build_pack, fit_arrays, fit_pack, same_as_shipped
from convrec.tools.pack_fusion import fit_fusion, measure
from convrec.tools.pack_training import PackCase, Training, cases_of, read_training, vocabulary_of, words_of
from convrec.tools.predicates import Condition, Op
from convrec.tools.predicates import Test as Where
from convrec.tools.toolbox import FilterTool, RankTool, SimilarTool
from demo_agent import ask, demo_catalogue, make_agent

MOST_BYTES = 10_000_000
FUSION = {"neighbours": 1.0, "words": 1.0, "prior": 0.5}


def dialogue(number: int, wish: str, offered: str) -> Dialogue:
    """One that opens with film 10, asks in some words, and is offered a film; all by different people."""
    messages = (
        Message("seeker", f"I saw @10 and want something {wish} 1999", ("10",)),
        Message("recommender", f"try @{offered}", (offered,)),
    )
    return Dialogue(str(number), f"s{number}", f"r{number}", messages, {}, {}, {})


def at_once(call: Callable[[], None]) -> None:
    """Eight threads call it together."""
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def training() -> Training:
    """Films 10 to 14; six dialogues ask for scary ones and get 11, six for funny ones and get 12, one gets 13."""
    dialogues = [dialogue(n, "scary", "11") for n in range(6)] + [dialogue(n, "funny", "12") for n in range(6, 12)]
    dialogues.append(dialogue(12, "zygotic", "13"))
    sequences = tuple(tuple(Mention(m, s.speaker) for s in d.messages for m in s.mentions) for d in dialogues)
    return Training((7, 70, 700, 7000, 70000), {str(10 + i): i for i in range(5)}, sequences, tuple(dialogues))


@pytest.fixture(scope="module")
def tiny() -> Pack:
    return fit_pack(training(), PackSettings(shrinkage=2.0, word_shrinkage=0.0), FUSION, {})


class TestKnownAnswers:
    def test_ids_and_counts(self, tiny: Pack) -> None:
        assert tiny.ids == ("tt0000007", "tt0000070", "tt0000700", "tt0007000", "tt0070000")
        assert tiny.prior == pytest.approx(np.array([0, 1, 1, np.log(2) / np.log(7), 0]), abs=1 / 255)

    def test_neighbours_are_shrunk_cosines(self, tiny: Pack) -> None:
        both, once = 6 / (np.sqrt(13 * 6) + 2), 1 / (np.sqrt(13) + 2)
        assert tiny.named_with([0]) == pytest.approx(np.array([0, both, both, once, 0]), abs=both / 255)
        assert tiny.named_with([1, 2]) == pytest.approx(np.array([2 * both, 0, 0, 0, 0]), abs=2 * both / 255)
        assert not tiny.named_with([]).any()

    def test_words_vote_for_what_was_recommended_after_them(self, tiny: Pack) -> None:
        scary, funny = tiny.asked_for({"scary": 1}), tiny.asked_for({"funny": 2})
        assert (int(scary.argmax()), int(funny.argmax())) == (1, 2)
        assert scary[2] == funny[1] == 0
        assert not tiny.asked_for({"unheard": 3}).any()

    def test_words_of_few_people_are_left_out(self, tiny: Pack) -> None:
        assert set(tiny.words) == {"saw", "scary", "funny", "try"}
        one_person = [
            Dialogue(d.id, "same", "same", d.messages, {}, {}, {}) for d in training().dialogues if d.id != "12"
        ]
        assert vocabulary_of(one_person, 5) == ()
        assert words_of([Message("seeker", "Don't @1 mail bob99@x.org or b0b sci-fi sci-fi")]) == Counter(
            {"sci-fi": 2, "mail": 1, "org": 1}
        )

    def test_fusion_finds_the_expert_that_knows(self, tiny: Pack) -> None:
        cases = [PackCase((), {"scary": 1.0}, (1,)), PackCase((), {"funny": 1.0}, (2,), unknown=1)] * 20
        fusion = fit_fusion(tiny, cases)
        assert fusion["words"] > max(fusion["neighbours"], 0.1)
        figures = measure(tiny, cases, fusion)
        assert figures["words"]["R@1"] == pytest.approx(2 / 3, abs=1e-4)  # a gold item the pack lacks is a miss
        assert fit_fusion(tiny, []) == dict.fromkeys(EXPERTS, 0.0)

    def test_cases_name_only_what_was_said_before(self) -> None:
        first = cases_of(training().dialogues[:1], training().row_of, 20)[0]
        assert (first.named, first.gold, first.unknown) == ((0,), (1,), 0)
        assert "try" not in first.said
        assert cases_of(training().dialogues[:1], {"10": 0}, 20)[0].unknown == 1

    def test_fused_is_the_weighted_sum(self, tiny: Pack) -> None:
        fused = tiny.fused([0], {"scary": 1})
        weights = np.array([FUSION[name] for name in EXPERTS], dtype=np.float32)
        assert fused == pytest.approx(weights @ tiny.features([0], {"scary": 1}), abs=1e-5)
        assert int(fused.argmax()) == 1


class TestFile:
    def write(self, path: Path) -> Path:
        write_pack(*fit_arrays(training(), PackSettings(), FUSION, {}), path)
        return path

    def test_same_input_same_bytes(self, tmp_path: Path) -> None:
        first = self.write(tmp_path / "a").read_bytes()
        time.sleep(0.01)
        assert self.write(tmp_path / "b").read_bytes() == first

    def test_reads_what_was_written(self, tmp_path: Path) -> None:
        found, made = read_pack(self.write(tmp_path / "a")), fit_pack(training(), PackSettings(), FUSION, {})
        assert (found.ids, found.words, found.fusion) == (made.ids, made.words, made.fusion)
        assert np.array_equal(found.fused([0], {"scary": 1}), made.fused([0], {"scary": 1}))

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: b"",
            lambda data: data[: len(data) // 2],
            lambda data: data.replace(b'"neighbours"', b'"neighbourz"'),
            lambda data: b"not a zip file at all" * 10,
        ],
    )
    def test_a_damaged_file_is_a_clear_error(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        path = self.write(tmp_path / "a")
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(ModelError, match=r"damaged.*CONVREC_RANK_PACK=off"):
            read_pack(path)

    def test_lists_beyond_the_items_are_an_error(self, tmp_path: Path) -> None:
        arrays, manifest = fit_arrays(training(), PackSettings(), FUSION, {})
        arrays["neighbour_items"] = arrays["neighbour_items"] + 5
        write_pack(arrays, manifest, tmp_path / "a")
        with pytest.raises(ModelError, match=r"damaged.*beyond"):
            read_pack(tmp_path / "a")

    def test_another_format_and_a_missing_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = self.write(tmp_path / "a")
        monkeypatch.setattr(pack_module, "FORMAT", FORMAT + 1)
        with pytest.raises(ModelError, match="format 1, expected 2"):
            read_pack(path)
        with pytest.raises(ModelError, match="missing"):
            read_pack(tmp_path / "gone")

    def test_read_once_for_all_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reads: list[int] = []

        def slow() -> Pack:
            reads.append(1)
            time.sleep(0.05)
            return fit_pack(training(), PackSettings(), FUSION, {})

        monkeypatch.setattr(pack_module, "read_pack", slow)
        monkeypatch.setattr(pack_module, "_shipped", [])
        found: list[Pack] = []
        at_once(lambda: found.append(shipped_pack()))
        assert len(reads) == 1
        assert [pack is found[0] for pack in found] == [True] * 8


class TestShipped:
    def test_small_attributed_and_without_rare_words(self) -> None:
        assert PACK_FILE.stat().st_size <= MOST_BYTES
        pack = shipped_pack()
        assert pack.manifest["licence"] == "CC BY 4.0"
        assert "NeurIPS 2018" in pack.manifest["citation"]
        assert pack.manifest["settings"] == PackSettings().model_dump(mode="json")
        assert all(word.isascii() and not any(ch.isdigit() for ch in word) for word in pack.words)
        assert (PACK_FILE.parent / "NOTICE").read_text().count("CC BY 4.0") >= 2
        with zipfile.ZipFile(PACK_FILE) as file:
            assert {name.rsplit(".", 1)[1] for name in file.namelist()} == {"bin", "json"}

    def test_loads_fast(self) -> None:
        started = time.perf_counter()
        read_pack()
        assert time.perf_counter() - started < 1.0  # 0.02 s on an idle machine


@pytest.mark.data
class TestRebuild:
    def test_the_shipped_pack_is_what_its_command_builds(self, datasets: Path, tmp_path: Path) -> None:
        steps: list[str] = []
        built = tmp_path / "built.zip"
        build_pack(datasets, built, progress=lambda what, done, total: steps.append(what))
        assert len(steps) == 5
        assert same_as_shipped(built)
        assert [path.name for path in tmp_path.glob("*built*")] == ["built.zip"]

    def test_every_word_is_said_by_five_people_in_five_dialogues(self, datasets: Path) -> None:
        dialogues = read_training(RedialData(datasets / "redial"), with_valid=True).dialogues
        people: dict[str, set[str]] = {}
        places: dict[str, set[str]] = {}
        for d in dialogues:
            for m in d.messages:
                for word in words_of([m]):
                    people.setdefault(word, set()).add(d.seeker if m.speaker == "seeker" else d.recommender)
                    places.setdefault(word, set()).add(d.id)
        assert min(min(len(people[word]), len(places[word])) for word in shipped_pack().words) >= 5
        assert "@" not in "".join(shipped_pack().words)
        test = {d.id for d in RedialData(datasets / "redial").dialogues("test")}
        assert not test & {d.id for d in dialogues}


def test_building_without_redial_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="convrec data fetch redial"):
        build_pack(tmp_path, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


FILMS = """id,title,year,genres,critics_score,reviews
tt0000007,Known,1990,Drama,50,10
tt0000070,Scary,1991,Drama,50,10
tt0000700,Funny,1992,Drama,50,10
x1,New,1992,Drama,50,10
"""


@pytest.fixture
def films(tmp_path: Path) -> Catalogue:
    file = tmp_path / "films.csv"
    file.write_text(FILMS)
    import_catalogue(ImportRequest(file=file, name="films"), tmp_path / "catalogues")
    return Catalogue.open(tmp_path / "catalogues" / "films")


class TestRanking:
    def test_scores_lie_on_the_items_of_the_catalogue(self, films: Catalogue, tiny: Pack) -> None:
        expert = PackExpert(films, lambda: tiny)
        assert expert.covered() == 3
        known, scary, new = (films.row_of(item) or 0 for item in ("tt0000007", "tt0000070", "x1"))
        near = expert.neighbours([known, new])
        assert near is not None
        assert near[scary] == pytest.approx((tiny.named_with([0])[1] / SURE_NEIGHBOUR) ** 2)
        assert expert.neighbours([new]) is None
        assert expert.words("nothing known here") is None
        wished = expert.words("something Scary!")
        assert wished is not None
        assert int(wished.argmax()) == scary

    def test_an_unknown_item_gets_the_mean_of_the_known(self, films: Catalogue, tiny: Pack) -> None:
        expert = PackExpert(films, lambda: tiny)
        rows = films.rows(None)
        scores = np.zeros(films.size, dtype=np.float32)
        known = [films.row_of(f"tt{n:07d}") or 0 for n in (7, 70, 700)]
        scores[known] = [0.2, 0.6, 4.0]
        found = expert.among(scores, rows)
        assert found[films.row_of("x1") or 0] == pytest.approx((0.05 + 0.15 + 1.0) / 3)
        alone = np.array([films.row_of("x1")], dtype=np.int32)
        assert expert.among(scores, alone).tolist() == [0.0]

    def test_weak_evidence_is_not_blown_up(self, films: Catalogue, tiny: Pack) -> None:
        scores = np.full(films.size, 0.1, dtype=np.float32)
        assert PackExpert(films, lambda: tiny).among(scores, films.rows(None)).max() == pytest.approx(0.1)

    def test_what_is_named_together_comes_first_and_conditions_hold(self, films: Catalogue, tiny: Pack) -> None:
        content, expert = ContentModel(films), PackExpert(films, lambda: tiny)
        known, funny = films.row_of("tt0000007") or 0, films.row_of("tt0000700") or 0
        bus = Candidates(rows=np.array([r for r in range(films.size) if r != known], dtype=np.int32))
        FilterTool(films)(bus, [Condition(Where("year", Op.GE, (1992,)), "from 1992", "year")])
        SimilarTool(content, None, expert)(bus, [known])
        ranked = RankTool(films, content, pack=expert)(bus, words="scary")
        assert ranked.rows.tolist()[0] == funny
        assert {films.item(row).year for row in ranked.rows.tolist()} == {1992}

    @pytest.mark.parametrize("broken", [True, False])
    def test_without_a_pack_that_applies_nothing_changes(self, films: Catalogue, tiny: Pack, broken: bool) -> None:
        def load() -> Pack:
            if broken:
                raise ModelError("damaged")
            return read_pack()  # the shipped one knows none of these made-up ids

        content, expert = ContentModel(films), PackExpert(films, load)
        assert expert.covered() == 0
        lists = []
        for pack in (None, expert):
            bus = Candidates(rows=films.rows(None))
            SimilarTool(content, None, pack)(bus, [0])
            assert set(bus.scores) == {"similar_fields"}
            lists.append(RankTool(films, content, pack=pack)(bus, liked=[1], words="scary"))
        assert lists[0].rows.tolist() == lists[1].rows.tolist()
        assert lists[0].scores.tolist() == lists[1].scores.tolist()

    def test_bound_once_for_all_threads(self, films: Catalogue, tiny: Pack) -> None:
        loads: list[int] = []

        def load() -> Pack:
            loads.append(1)
            time.sleep(0.05)
            return tiny

        expert, seen = PackExpert(films, load), list[int]()
        at_once(lambda: seen.append(expert.covered()))
        assert len(loads) == 1
        assert seen == [3] * 8


class TestDemo:
    def test_the_demo_is_covered_and_a_reference_brings_its_company(self) -> None:
        catalogue = demo_catalogue()
        assert PackExpert(catalogue).covered() > 4000
        found = ask(make_agent(), "I loved The Notebook, what else would I like?")
        assert "A Walk to Remember" in {item.title for item in found.items}

    def test_switched_off_means_no_expert(self) -> None:
        tools = Toolbox.build(demo_catalogue(), None, None, rank_pack=False)
        assert tools.rank.pack is None
        assert tools.similar.pack is None

    @pytest.mark.parametrize(("value", "expected"), [("off", False), ("on", True)])
    def test_setting(self, value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVREC_RANK_PACK", value)
        assert Settings().rank_pack is expected

    def test_denied_words_do_not_vote(self) -> None:
        agent = make_agent()
        seen: list[str] = []
        real = PackExpert.words

        def spy(self: PackExpert, text: str) -> Any:
            seen.append(text)
            return real(self, text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PackExpert, "words", spy)
            ask(agent, "a French comedy without anything scary, no westerns", session="denied")
        assert seen
        assert "french" in seen[0].lower()
        assert "scary" not in seen[0]
        assert "western" not in seen[0]

    def test_doctor_says_whether_it_applies(self, films: Catalogue) -> None:
        name, home = films.folder.name, films.folder.parent.parent
        settings = Settings(home=home, catalogue=name, tier="none")
        assert "does not apply" in next(c for c in examine(settings) if c.name == "ranking pack").detail
        off = next(c for c in examine(settings.model_copy(update={"rank_pack": False})) if c.name == "ranking pack")
        assert "switched off" in off.detail
