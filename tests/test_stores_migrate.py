"""Another embedder: all records are embedded anew, resumably, and the old vectors hold until then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chroma_server import running_server
from convrec.core.embedding import Embedder, HashingEmbedder
from convrec.core.errors import MemoryStoreError
from convrec.core.items import FloatArray
from convrec.memory.chroma_client import folder_client
from convrec.memory.chroma_server import ChromaServerStore
from convrec.memory.chroma_store import ChromaStore
from convrec.memory.migrate import Migrated, migrate_folder, migrate_server
from convrec.memory.preferences import PreferenceMemory
from convrec.memory.records import NewPreference
from convrec.memory.store import VectorStore

OLD, NEW = HashingEmbedder(32), HashingEmbedder(64)


class Counting:
    """Embeds as another does, counts the texts, and breaks off when told to."""

    def __init__(self, inner: Embedder, limit: int = 10**9) -> None:
        self.inner, self.limit, self.texts = inner, limit, 0

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dimension(self) -> int:
        return self.inner.dimension

    def embed(self, texts: Sequence[str]) -> FloatArray:
        self.texts += len(texts)
        if self.texts > self.limit:
            raise KeyboardInterrupt
        return self.inner.embed(texts)


@dataclass
class Place:
    open: Callable[[Embedder], VectorStore]
    migrate: Callable[[Embedder], Migrated]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(params=["files", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "files":
        path = tmp_path / "memory"
        return Place(lambda e: ChromaStore(path, e), lambda e: migrate_folder(path, e))
    from test_stores import emptied

    url = emptied(request.getfixturevalue("server"))
    return Place(lambda e: ChromaServerStore(url, e), lambda e: migrate_server(url, e))


def said(text: str, subject: str, **more: Any) -> NewPreference:
    return NewPreference(**{"kind": "attribute", "polarity": "wanted", "subject": subject, "text": text} | more)


def fill(place: Place, users: int = 3) -> dict[str, Any]:
    """Preferences of some users, one of them superseded, a profile too; returns what is to be found again."""
    memory = PreferenceMemory(place.open(OLD), OLD)
    for user in range(users):
        memory.add(f"user{user}", said("old horror films", "genres=Horror"))
        memory.add(f"user{user}", said("loves old horror films", "genres=Horror", polarity="liked"))
        memory.add(f"user{user}", said(f"films of country {user}", "countries=X"))
        memory.refresh_profile(f"user{user}")
    kept = everything(memory, users)
    memory.close()
    return kept


def everything(memory: PreferenceMemory, users: int = 3) -> dict[str, Any]:
    return {f"user{u}": memory.export(f"user{u}")["preferences"] for u in range(users)}


def test_all_records_are_found_by_new_vectors(place: Place) -> None:
    kept = fill(place)
    with pytest.raises(MemoryStoreError, match="convrec memory migrate"):
        place.open(NEW)
    done = place.migrate(NEW)
    assert (done.embedder, done.dimension, done.users) == (NEW.name, 64, 3)
    assert done.records == done.embedded == 3 * 4
    store = place.open(NEW)
    memory = PreferenceMemory(store, NEW)
    assert everything(memory) == kept
    assert memory.profile("user1") is not None
    wanted = NEW.embed(["loves old horror films"])[0]
    (best, score), *_ = store.query("user1", wanted, 1)
    assert best.body["text"] == "loves old horror films"
    assert score == pytest.approx(1.0, abs=1e-4)
    memory.close()
    with pytest.raises(MemoryStoreError, match="convrec memory migrate"):
        place.open(OLD)
    assert place.migrate(NEW).embedded == 0, "a second run has nothing to do"


def test_interrupted_it_goes_on_and_the_old_is_kept(place: Place) -> None:
    kept = fill(place)
    with pytest.raises(KeyboardInterrupt):
        place.migrate(Counting(NEW, limit=5))  # within the second of three users
    for embedder in (OLD, NEW):
        with pytest.raises(MemoryStoreError, match=r"being moved to the embedder hashing-64.*convrec memory migrate"):
            place.open(embedder)
    rest = Counting(NEW)
    done = place.migrate(rest)
    assert 0 < rest.texts == done.embedded < done.records == 12
    memory = PreferenceMemory(place.open(NEW), NEW)
    assert everything(memory) == kept
    memory.close()


def test_interrupted_it_can_be_called_off(place: Place) -> None:
    kept = fill(place)
    with pytest.raises(KeyboardInterrupt):
        place.migrate(Counting(NEW, limit=5))
    back = Counting(OLD)
    place.migrate(back)
    assert back.texts == 0
    memory = PreferenceMemory(place.open(OLD), OLD)
    assert everything(memory) == kept
    memory.close()


def test_interrupted_it_can_turn_to_a_third_embedder(place: Place) -> None:
    kept = fill(place)
    with pytest.raises(KeyboardInterrupt):
        place.migrate(Counting(NEW, limit=5))
    third = HashingEmbedder(16)
    assert place.migrate(third).embedded == 12
    memory = PreferenceMemory(place.open(third), third)
    assert everything(memory) == kept
    memory.close()


def test_an_open_program_of_the_old_embedder_is_stopped(place: Place) -> None:
    fill(place)
    before = PreferenceMemory(place.open(OLD), OLD)
    place.migrate(NEW)
    with pytest.raises(MemoryStoreError, match=r"migrate|Start this program again"):
        before.add("user0", said("lost", "genres=Lost"))
    with pytest.raises(MemoryStoreError, match=r"migrate|Start this program again"):
        before.list("user0")
    before.close()


def test_what_was_cut_off_while_dropping_the_old_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory"
    place = Place(lambda e: ChromaStore(path, e), lambda e: migrate_folder(path, e))
    kept = fill(place)
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("convrec.memory.migrate.drop_generation", killed)
        with pytest.raises(KeyboardInterrupt):
            place.migrate(NEW)
    memory = PreferenceMemory(place.open(NEW), NEW)
    assert everything(memory) == kept
    memory.close()
    client = folder_client(path)
    assert {c.name.partition("-")[0] for c in client.list_collections()} == {"convrec", "u2"}
    client.close()


def test_the_command(tmp_path: Path, home: Path) -> None:
    from convrec.app import GROUPS, services
    from convrec.serve.cli import build_cli
    from typer.testing import CliRunner

    memory = PreferenceMemory(ChromaStore(home / "memory", OLD), OLD)
    memory.add("ann", said("old horror films", "genres=Horror"))
    memory.close()
    runner = CliRunner(env={"CONVREC_MEMORY__EMBEDDER": "hashing", "CONVREC_HOME": str(home)})
    done = runner.invoke(build_cli(services, GROUPS), ["memory", "migrate", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["embedder"], report["users"], report["embedded"]) == ("hashing-256", 1, 1)
    memory = PreferenceMemory(ChromaStore(home / "memory", HashingEmbedder()), HashingEmbedder())
    assert [p.text for p in memory.list("ann")] == ["old horror films"]
    memory.close()


def test_nothing_to_migrate(place: Place) -> None:
    assert place.migrate(NEW).records == 0
    place.open(NEW).close()


def test_layout_1(tmp_path: Path) -> None:
    """As convrec kept preferences before: one collection for all users, vectors of the same embedder even."""
    path = tmp_path / "memory"
    memory = PreferenceMemory(ChromaStore(path, NEW), NEW)
    kept = memory.add("ann", said("loves old horror films", "genres=Horror"))
    memory.close()
    body = kept.model_dump(mode="json")
    older = tmp_path / "older"
    client = folder_client(older)
    made = client.get_or_create_collection(
        "preferences", embedding_function=None, metadata={"embedder": NEW.name, "dimension": 64, "layout": 1}
    )
    metadata = {"user": "ann", "id": kept.id, "body": json.dumps(body), "tag_holds": "yes", "tag_kind": "attribute"}
    made.upsert(ids=["x"], embeddings=NEW.embed(["x"]), metadatas=[metadata])
    client.close()
    with pytest.raises(MemoryStoreError, match=r"layout 1.*convrec memory migrate"):
        ChromaStore(older, NEW)
    assert migrate_folder(older, NEW).records == 1
    memory = PreferenceMemory(ChromaStore(older, NEW), NEW)
    assert memory.list("ann") == [kept]
    memory.close()
