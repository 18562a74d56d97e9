"""Step 8 of a turn, the words: a template that always works stands at once; the LLM adds a remark when it verifies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from convrec.agent.budget import Budget
from convrec.agent.contrasts import contrasts, false_superlatives, shared
from convrec.agent.events import RecommendedItem
from convrec.agent.llm.base import LLM, Completion, Message
from convrec.agent.prompting import render, tagged
from convrec.agent.reasons import join
from convrec.agent.request import Request
from convrec.agent.verifier import Verifier, last_sentence_end, sentences
from convrec.core.items import Item, RowArray
from convrec.tools.candidates import Candidates
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition, holds
from convrec.tools.schema import Schema

REMARK_TOKENS = 48
REMARK_FACTS = 3
"""Items of the slate whose facts the LLM is given: prompt tokens are what a remark costs."""
MOST_NAMED = 12
"""Items named when telling what one condition stands in the way of."""


@dataclass(slots=True)
class Remark:
    """What came of asking the LLM for a remark."""

    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    completion: Completion | None = None


def template_opening(
    shown: Sequence[Item], references: Sequence[Item], request: Request, bus: Candidates, catalogue: Catalogue
) -> str:
    """ "5 films like Heat (1995). I kept to: from 2005 or later." """
    count = len(shown)
    noun = catalogue.schema.item_noun if count == 1 else catalogue.schema.item_noun_plural
    like = f" like {join([r.label for r in references[:3]])}" if references else ""
    about = f" close to “{request.query}”" if "search" in bus.scores and request.query and not references else ""
    held = [c.label for c in request.hard if c not in bus.relaxed]
    text = f"{'Here is' if count == 1 else 'Here are'} {count} {noun}{like}{about}."
    if held:
        text += f" I kept to: {', '.join(held)}."
    return text + _preferred(shown, [c for c in request.soft if c.source != "llm"])


def _preferred(shown: Sequence[Item], soft: Sequence[Condition]) -> str:
    """What became of the wishes that only rank: said as it is on the list, for other things rank too."""
    first, some, none = [], [], []
    for condition in soft:
        held = [holds(condition.expr, item) for item in shown]
        if not any(held):
            none.append(condition.label)
        elif held == sorted(held, reverse=True):
            first.append(condition.label)
        else:
            some.append(f"{condition.label} ({sum(held)} of {len(held)} here)")
    text = f" I put first what is: {', '.join(first)}." if first else ""
    text += f" I preferred what is: {', '.join(some)}." if some else ""
    return text + (f" None of these is: {', '.join(none)}." if none else "")


def relaxation(relaxed: Sequence[Condition]) -> str:
    """What had to be let go, "" when nothing."""
    if not relaxed:
        return ""
    return f"Nothing here fits all of that, so I let go of: {', '.join(c.label for c in relaxed)}."


def nothing_fits(bus: Candidates, catalogue: Catalogue) -> str:
    """That no item fits and nothing more may be let go, and what stands in the way."""
    noun, nouns = catalogue.schema.item_noun, catalogue.schema.item_noun_plural
    if not bus.blocked:
        return f"I have no more {nouns} to suggest for that. Change or drop a condition, or start afresh."
    text = f"No {noun} here that you have not named or seen yet fits all of: "
    text += f"{'; '.join(c.label for c in bus.blocked)}."
    if bus.would_fit:
        # Fewest first: the condition that alone stands in the way of the rest of the wish.
        ways = sorted(bus.would_fit, key=lambda way: len(way[1]))[:2]
        text += " " + " ".join(_way_out(condition, rows, catalogue) for condition, rows in ways)
    return f"{text} Which of these could you let go?"


def _way_out(condition: Condition, rows: RowArray, catalogue: Catalogue) -> str:
    noun = catalogue.schema.item_noun if len(rows) == 1 else catalogue.schema.item_noun_plural
    text = f"Without “{condition.label}” there would be {len(rows):,} {noun}"
    if len(rows) <= MOST_NAMED:
        text += f": {join([item.label for item in catalogue.items(rows)])}"
    return text + "."


def _own_facts(item: RecommendedItem) -> str:
    return " ".join([item.reason, *item.evidence, *(str(value) for value in item.fields.values())])


def slate_lines(items: Sequence[RecommendedItem]) -> str:
    """The numbered list, one item a line."""
    lines = []
    for number, item in enumerate(items, 1):
        label = f"{item.title} ({item.year})" if item.year is not None else item.title
        lines.append(f"{number}. {label}" + (f": {item.reason}" if item.reason else ""))
    return "\n".join(lines)


def reply_prefix(schema: Schema) -> list[Message]:
    """The fixed part of the prompt, for warming the cache."""
    return [("system", render("reply", schema))]


def llm_remark(
    llm: LLM,
    message: str,
    items: Sequence[RecommendedItem],
    references: Sequence[Item],
    request: Request,
    relaxed: Sequence[Condition],
    catalogue: Catalogue,
    budget: Budget,
    doubts: Callable[[str, str], str] = lambda _sentence, _facts: "",
) -> Iterator[str | Remark]:
    """Verified sentences as they are finished, last the :class:`Remark`.

    ``doubts``: given a sentence that the verifier passed, and the facts, what else is wrong with it, "" for nothing.

    Raises:
        LLMError: the backend failed; what was yielded so far stands.
    """
    records = catalogue.items([row for row in catalogue.rows_of([item.id for item in items]) if row is not None])
    apart = contrasts(records, catalogue, REMARK_FACTS)
    told = [f"- {record.label}: {apart[record.row]}" for record in records if record.row in apart]
    facts = "\n".join(told or [f"- {slate_lines([item])[3:]}" for item in items[:REMARK_FACTS]])
    if common := shared(records, catalogue):
        facts = f"all {len(records)} of them: {'; '.join(common)}\n{facts}"
    wish = join([c.label for c in request.conditions if c not in relaxed]) or "no conditions"
    like = join([r.label for r in references[:3]])
    asked = f"{wish}; like {like}" if like else wish
    prompt: list[Message] = [
        *reply_prefix(catalogue.schema),
        ("user", f"{tagged('message', message, 300)}\n{tagged('facts', facts, 1500)}"),
    ]
    allowed = [asked, message, *common, catalogue.schema.item_noun, catalogue.schema.item_noun_plural]
    held = " ".join(c.label for c in request.hard if not c.negative and c not in relaxed)
    own = {item.title: f"{_own_facts(item)} {held}" for item in items}
    for record in records:
        own[record.title] += f" {apart.get(record.row, '')}"
    own |= {item.title: " ".join(map(str, item.fields.values())) for item in references}
    verifier = Verifier.of(allowed, own)
    remark, buffer = Remark(), ""
    kept: list[str] = []
    dropped: list[str] = []

    def judge(finished: Sequence[str]) -> Iterator[str]:
        for sentence in finished:
            wrong = verifier.problem(sentence) or next(false_superlatives(sentence, records, catalogue), "")
            problem = wrong or doubts(sentence, facts)
            if problem:
                dropped.append(f"{sentence} [{problem}]")
            else:
                piece = sentence if not kept else f" {sentence}"
                kept.append(sentence)
                yield piece

    for piece in llm.stream(prompt, max_tokens=REMARK_TOKENS, timeout_s=budget.left()):
        if isinstance(piece, Completion):
            remark.completion = piece
            continue
        buffer += piece
        if end := last_sentence_end(buffer):
            yield from judge(sentences(buffer[:end]))
            buffer = buffer[end:]
    # A sentence cut off by the token limit has no end and is not said.
    if buffer.strip().endswith((".", "!", "?")):
        yield from judge(sentences(buffer))
    remark.kept, remark.dropped = tuple(kept), tuple(dropped)
    yield remark
