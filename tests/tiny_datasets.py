"""ReDial and INSPIRED in a few lines each, as the readers of the real ones read them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

HEAT, ALIEN, UP = (f"<http://dbpedia.org/resource/{name}>" for name in ("Heat_(1995_film)", "Alien_(film)", "Up"))
JOKER, OTHER = (f"<http://dbpedia.org/resource/{name}>" for name in ("Joker_(2019_film)", "Unlinked"))
OTHER_HEAT = "<http://dbpedia.org/resource/Heat_(1986_film)>"


def zipped(path: Path, *values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{json.dumps(value)}\n" for value in values).encode()))


def redial_talk(key: int, *messages: str) -> dict[str, Any]:
    """``"R: see @2"`` is a message by the recommender."""
    said = [
        {"messageId": n, "senderWorkerId": 2 if text[0] == "R" else 1, "text": text[3:]}
        for n, text in enumerate(messages)
    ]
    names = {str(number): f"film {number}" for number in range(1, 5)}
    people = {"initiatorWorkerId": 1, "respondentWorkerId": 2, "initiatorQuestions": [], "respondentQuestions": []}
    return {"conversationId": key, "messages": said, "movieMentions": names, **people}


def inspired_talk(*messages: tuple[str, str, list[str]]) -> list[dict[str, Any]]:
    roles = {"S": "SEEKER", "R": "RECOMMENDER"}
    return [{"role": roles[who], "text": text, "movie": movies} for who, text, movies in messages]


def cikm_row(key: str, context: list[str], before: list[int], gold: list[int]) -> dict[str, Any]:
    return {"dialog_id": key, "context": context, "prev_entity": before, "rec": gold}


def tiny_datasets(root: Path) -> Path:
    """Write four ReDial movies (two of them one film), three of INSPIRED, and a few dialogues into ``root``."""
    redial, inspired = root / "redial", root / "inspired"
    films = [("1", "Heat", 1995, HEAT), ("2", "Alien", 1979, ALIEN), ("3", "Up", 2009, UP), ("4", "Alien", 1979, ALIEN)]
    zipped(
        redial / "items.jsonl.gz",
        *(
            {"movieId": key, "movieName": f"{title} ({year})", "title": title, "year": year, "dbpedia": link}
            for key, title, year, link in films
        ),
    )
    zipped(redial / "train.jsonl.gz", redial_talk(11, "S: hi", "R: @4"), redial_talk(9, "S: @1", "R: @4 or @2"))
    zipped(redial / "valid.jsonl.gz", redial_talk(12, "S: @4", "R: @1 or @3"))
    zipped(redial / "test.jsonl.gz", redial_talk(20, "S: @1", "R: @4", "S: no", "R: @3"))
    entities = {"entity2id": {HEAT: 0, ALIEN: 1, UP: 2, OTHER: 3, OTHER_HEAT: 4, "<drama>": 5}}
    zipped(redial / "eval/redial_cikm23_entities.json.gz", {**entities, "item_ids": [0, 1, 2, 3, 4]})
    zipped(
        redial / "eval/redial_cikm23_test.jsonl.gz",
        cikm_row("a", ["", "I liked Heat (1995) and ALIEN", "Heat was good"], [1, 0, 3, 5], [2]),
        cikm_row("b", ["Hello"], [], [1]),
    )
    zipped(
        inspired / "items.jsonl.gz",
        {"name": "Alien (1979)", "title": "Alien", "year": 1979, "dbpedia": ALIEN, "redialMovieId": "2"},
        {"name": "Joker (2019)", "title": "Joker", "year": 2019, "dbpedia": JOKER, "redialMovieId": None},
        {"name": "Rare (2000)", "title": "Rare", "year": 2000, "dbpedia": None, "genre": ["drama"]},
    )
    zipped(inspired / "train.jsonl.gz", inspired_talk(("S", "Alien?", ["Alien (1979)"]), ("R", "J", ["Joker (2019)"])))
    first = inspired_talk(("S", "Rare", ["Rare (2000)"]), ("R", "Alien, Rare", ["Alien (1979)", "Rare (2000)"]))
    zipped(inspired / "dev.jsonl.gz", first, inspired_talk(("S", "hi", []), ("R", "Rare", ["Rare (2000)"])))
    zipped(inspired / "test.jsonl.gz", inspired_talk(("S", "hi", [])))
    universe = {"entity2id": {ALIEN: 0, JOKER: 1, HEAT: 2}, "item_ids": [0, 1, 2]}
    zipped(inspired / "eval/inspired_cikm23_entities.json.gz", universe)
    rows = [cikm_row("a", ["I saw alien"], [0], [1]), cikm_row("b", ["hi"], [], [2])]
    zipped(inspired / "eval/inspired_cikm23_test.jsonl.gz", *rows)
    for folder in (redial, inspired):
        (folder / "manifest.json").write_text(json.dumps({"variant": "tiny", "files": {}}))
    return root
