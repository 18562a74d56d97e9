"""A catalogue of books, by schema alone: import, set up, talk. Everything real but the models."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from convrec.agent.build import open_agent
from convrec.agent.turn import Agent
from convrec.core.settings import MemorySettings, Settings
from convrec.serve.setup_command import run_setup
from convrec.tools.importing import ImportRequest, import_catalogue, load_schema
from convrec.tools.item_index import index_folder
from demo_agent import ask
from rich.console import Console

FIELDS = [
    {"name": "published", "type": "integer", "role": "year", "label": "year"},
    {"name": "pages", "type": "integer", "role": "duration", "label": "length", "unit": "pages"},
    {"name": "genres", "type": "tags", "role": "category", "label": "genre"},
    {"name": "authors", "type": "tags", "role": "person", "label": "written by"},
    {"name": "rating", "type": "number", "role": "quality", "label": "readers' rating"},
    {"name": "ratings", "type": "integer", "role": "popularity", "label": "ratings"},
    {"name": "blurb", "type": "text", "role": "description", "label": "about"},
]
BOOKS = """id,title,published,pages,genres,authors,rating,ratings,blurb
1,Dune,1965,612,Science Fiction|Adventure,Frank Herbert,4.3,900000,A desert planet and its spice
2,The Hobbit,1937,310,Fantasy|Adventure,J. R. R. Tolkien,4.3,3000000,A hobbit meets dwarves and dragons
3,Emma,1815,474,Romance|Classics,Jane Austen,3.9,700000,A young woman plays matchmaker
4,Pride and Prejudice,1813,279,Romance|Classics,Jane Austen,4.3,3500000,Elizabeth Bennet and Mr Darcy
5,Eragon,2002,503,Fantasy,Christopher Paolini,3.9,1500000,A farm boy and one of the dragons
6,Gone Girl,2012,422,Thriller|Mystery,Gillian Flynn,4.1,2500000,A wife disappears
7,The Shining,1977,447,Horror,Stephen King,4.2,1200000,A family in a haunted hotel
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    schema, file = tmp_path / "schema.json", tmp_path / "books.csv"
    schema.write_text(json.dumps({"item_noun": "book", "item_noun_plural": "books", "fields": FIELDS}))
    file.write_text(BOOKS)
    made = Settings(
        home=tmp_path / "home",
        catalogue="books",
        tier="none",
        memory=MemorySettings(store="memory", embedder="hashing"),
    )
    request = ImportRequest(file=file, name="books", schema=load_schema(schema), separator="|")
    import_catalogue(request, made.catalogues)
    return made


@pytest.fixture
def agent(settings: Settings) -> Agent:
    run_setup(settings, model=None, llm=False, console=Console(file=io.StringIO()))
    return open_agent(settings)


def test_setup_indexes_the_catalogue_in_use_once(settings: Settings) -> None:
    said = io.StringIO()
    run_setup(settings, model=None, llm=False, console=Console(file=said))
    assert "catalogue books: 7 books" in said.getvalue()
    agent = open_agent(settings)
    embedder = agent.toolbox.search.embedder
    assert embedder is not None
    files = {f: f.stat().st_mtime_ns for f in index_folder(agent.catalogue, embedder).iterdir()}
    assert files
    run_setup(settings, model=None, llm=False, console=Console(file=io.StringIO()))
    assert {f: f.stat().st_mtime_ns for f in files} == files


def test_books_are_talked_about_as_books(agent: Agent) -> None:
    assert "Frank Herbert" in ask(agent, "who wrote Dune?").text
    assert {i.title for i in ask(agent, "anything by Jane Austen?").items} == {"Emma", "Pride and Prejudice"}
    dragons = ask(agent, "books about dragons", session="d")
    assert "Here are" in dragons.text
    assert "books" in dragons.text
    assert {i.title for i in dragons.items[:2]} == {"The Hobbit", "Eragon"}
    newer = ask(agent, "I loved Dune, something newer", session="n")
    assert newer.items
    assert all((i.year or 0) > 1965 for i in newer.items)


def test_scales_and_units_are_the_catalogues_own(agent: Agent) -> None:
    rated = ask(agent, "a highly rated book, no horror")
    assert rated.items
    assert all(i.fields["rating"] >= 4 and "Horror" not in i.fields["genres"] for i in rated.items)
    assert not ask(agent, "a fantasy book under two hours", session="h").relaxed


def test_a_missing_index_is_said_not_hidden(settings: Settings) -> None:
    agent = open_agent(settings)
    assert "convrec setup" in agent.info.note
    result = ask(agent, "books about dragons")
    assert [f.stage for f in result.fallbacks] == ["search"]
    assert "close to" not in result.text
