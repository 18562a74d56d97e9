"""Response quality on ReDial and INSPIRED: Distinct-2/3/4, BLEU, share of replies with an item.

The agent gets what the seeker said, turn by turn; the reference of its reply is what the human recommender said next.
Tokenisation: lower case, titles replaced by ``<item>``, then sacrebleu's 13a (mteval-v13a). Distinct-n: different
n-grams / all n-grams over all replies (Li et al., 2016); BLEU: sacrebleu's corpus BLEU-4 with exponential smoothing.
A human recommender's own replies are measured by the same Distinct-n and item ratio, as a point of reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from convrec.core.errors import DatasetError, RequestError
from convrec.core.extras import require
from convrec.core.text import clean
from convrec.eval.suites.base import Case, Context, Outcome, Suite, Threshold, talking
from convrec.tools.datasets import Dialogue, InspiredData, RedialData

PER_DATASET = 60
"""Dialogues drawn from each test split."""
MAX_TURNS = 8
"""Turns of a dialogue that are replayed."""
ITEM = "<item>"
TOKENISER = "13a"
_REDIAL_MENTION = re.compile(r"@\d+")
_LIST_MARK = re.compile(r"^\s*\d+[.)]\s*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the seeker said, and the human answer. ``answer_items``: whether it names one."""

    said: str
    answer: str
    answer_items: bool


def exchanges(dialogue: Dialogue) -> list[Exchange]:
    """The turns of a dialogue: messages of one party in a row are one; what stands before the seeker's first word is
    left out."""
    turns: list[tuple[str, list[str], bool]] = []
    for message in dialogue.messages:
        text, items = message.text, bool(message.mentions)
        for item, name in sorted(dialogue.movie_mentions.items(), key=lambda pair: -len(pair[0])):
            shown = name if message.speaker == "seeker" else ITEM
            text = text.replace(f"@{item}", shown) if item.isdigit() else text.replace(item, shown)
        text = _REDIAL_MENTION.sub(ITEM if message.speaker == "recommender" else "a film", text)
        if turns and turns[-1][0] == message.speaker:
            turns[-1] = (message.speaker, [*turns[-1][1], text], turns[-1][2] or items)
        else:
            turns.append((message.speaker, [text], items))
    out = []
    for (speaker, said, _), (other, answer, items) in pairwise(turns):
        heard = clean(" ".join(said), 1_000)
        if speaker == "seeker" and other == "recommender" and heard:
            out.append(Exchange(heard, clean(" ".join(answer), 2_000), items))
    return out[:MAX_TURNS]


def masked(text: str, titles: Sequence[str]) -> str:
    """The text in lower case on one line, titles (with or without their year) replaced, list numbers left out."""
    text = _LIST_MARK.sub("", text)
    for title in sorted(titles, key=len, reverse=True):
        text = text.replace(title, ITEM)
    return " ".join(text.lower().split())


def tokens(text: str) -> list[str]:
    """sacrebleu's 13a tokens.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    parted: str = _tokeniser()(text)
    return parted.replace("< item >", ITEM).split()


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams / all n-grams over all texts, 0..1; 0 when no text has n tokens."""
    grams = [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def bleu(replies: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4, 0..1, one reference each, both already tokenised.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    sacrebleu = require("sacrebleu", "eval", "BLEU")
    score = sacrebleu.corpus_bleu(list(replies), [list(references)], tokenize="none", force=True)
    return float(score.score) / 100


def _tokeniser() -> Callable[[str], str]:
    module = require("sacrebleu.tokenizers.tokenizer_13a", "eval", "response quality")
    made: Callable[[str], str] = module.Tokenizer13a()
    return made


def _play(context: Context, dataset: str, dialogue: Dialogue) -> Outcome:
    replies, references, with_item, human_item = [], [], [], []
    with talking(context.subject, f"quality-{dataset}-{dialogue.id}") as talk:
        for turn in exchanges(dialogue):
            reply = talk.say(turn.said)
            shown = [*reply.titles, *(context.records[i].title for i in reply.items if i in context.records)]
            replies.append(" ".join(tokens(masked(reply.text, shown))))
            references.append(" ".join(tokens(masked(turn.answer, ()))))
            with_item.append(bool(reply.items))
            human_item.append(turn.answer_items)
        metrics = {
            "item_ratio": sum(with_item) / len(with_item),
            "human_item_ratio": sum(human_item) / len(human_item),
            "words": sum(len(r.split()) for r in replies) / len(replies),
        }
        return talk.outcome(metrics, dataset=dataset, replies=replies, references=references)


def _figures(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for dataset in sorted({r["dataset"] for r in records if "dataset" in r}):
        played = [r for r in records if r.get("dataset") == dataset]
        replies = [text for r in played for text in r["replies"]]
        references = [text for r in played for text in r["references"]]
        out[f"{dataset}_replies"] = float(len(replies))
        for n in (2, 3, 4):
            out[f"{dataset}_distinct_{n}"] = distinct([t.split() for t in replies], n)
            out[f"{dataset}_human_distinct_{n}"] = distinct([t.split() for t in references], n)
        out[f"{dataset}_bleu"] = bleu(replies, references)
        for name in ("item_ratio", "human_item_ratio"):
            out[f"{dataset}_{name}"] = sum(r["metrics"][name] * len(r["replies"]) for r in played) / len(replies)
    return out


def cases_of(context: Context, dataset: str, dialogues: Sequence[Dialogue], n: int) -> list[Case]:
    """Cases of ``n`` dialogues drawn from those that have an exchange."""
    usable = [d for d in dialogues if exchanges(d)]
    drawn = context.rng("quality", dataset).sample(usable, min(n, len(usable)))

    def case(dialogue: Dialogue) -> Case:
        name = f"{dataset}/{dialogue.id}"
        return Case(name, name, f"{dataset}, dialogue {dialogue.id}", lambda: _play(context, dataset, dialogue))

    return [case(dialogue) for dialogue in drawn]


def _cases(context: Context, stack: ExitStack) -> list[Case]:
    _tokeniser()  # tells at once what is missing
    folder, n = context.settings.datasets, 3 if context.small else PER_DATASET
    cases: list[Case] = []
    missing: list[str] = []
    for dataset, opened in (("redial", RedialData), ("inspired", InspiredData)):
        try:
            dialogues = opened(folder / dataset).dialogues("test")
        except DatasetError as error:
            missing.append(str(error))
            continue
        cases += cases_of(context, dataset, dialogues, n)
    if not cases:
        raise RequestError("suite", "quality", f"It needs a data set: {' / '.join(missing)}")
    return cases


SUITE = Suite(
    name="quality",
    title="Response quality on ReDial and INSPIRED",
    source="Distinct-n (Li et al., arXiv 1510.03055) and BLEU as in CRS papers",
    cases=_cases,
    figures=_figures,
    thresholds=(Threshold("item_ratio", ">=", 0.4, "replies with an item, at least about as often as a human"),),
)
