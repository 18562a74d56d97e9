"""Reflection: a critic holds the plan against the request and the draft against the records, before anyone sees it.

Rules first: they know years, names, conditions and what was seen, and they are cheap. Then, if asked for, the model:
whether a sentence of free words follows from the facts, which no rule can tell. After InteRecAgent's reflection
(Huang et al., 2023, arXiv:2308.16505), whose critic is the model alone. There is one repair, made from the records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from convrec.agent.budget import Budget
from convrec.agent.critic_claims import Claims, Problem
from convrec.agent.critic_lists import list_problems
from convrec.agent.events import RecommendedItem
from convrec.agent.llm.base import LLM, Message
from convrec.agent.plan import Plan
from convrec.agent.prompting import render, tagged
from convrec.agent.request import Request
from convrec.agent.verifier import sentences
from convrec.core.items import FieldValue, Item, RowArray
from convrec.tools.catalogue import Catalogue
from convrec.tools.predicates import Condition, Not, holds
from convrec.tools.schema import Role
from convrec.tools.understand import Understanding

FaultKind = Literal[
    "title", "year", "person", "number", "category", "field", "outside", "seen", "condition", "double", "plan", "words"
]
WORDING: frozenset[FaultKind] = frozenset(("title", "year", "person", "number", "category", "field", "words"))
"""Faults of what is said of an item; the others are faults of the choice of it."""
UNSUPPORTED_BELOW = -1.0
"""Log-odds of "Yes" to "do the facts say this?" under which the model's doubt counts: p(yes) < .27."""
_GLUE = "\ue000"
"""Private use: stands for the blanks in a title while sentences are told apart."""
_INITIAL = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Jr|Sr)\. ")
_LINE = re.compile(r"^(\d+)\. (.+)$")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. ``item``: id of the item it is about, "" when it is about none."""

    kind: FaultKind
    what: str
    item: str = ""


@dataclass(frozen=True, slots=True)
class SlateDraft:
    """What is about to be said. ``text``: the list as it will be shown, and any sentences around it."""

    items: Sequence[RecommendedItem]
    text: str


@dataclass(frozen=True, slots=True)
class Critic:
    """Checks for one catalogue. Holds nothing of a user or a turn."""

    catalogue: Catalogue

    def plan(self, by_rules: Understanding, request: Request, plan: Plan) -> list[Fault]:
        """The plan against what the user said: nothing that was read by rule may be lost or turned round."""
        faults: list[Fault] = []
        if plan.action != "recommend":
            return faults
        wanted = {c.expr for c in request.conditions}
        for condition in by_rules.conditions:
            if condition.expr not in wanted and not any(c.slot == condition.slot for c in request.conditions):
                faults.append(Fault("plan", f"“{condition.label}” was said and is not in the plan"))
        for condition in request.hard:
            if Not(condition.expr) in {c.expr for c in request.hard}:
                faults.append(Fault("plan", f"“{condition.label}” is both asked for and denied"))
        tools = [call.tool for call in plan.calls]
        for needed, tool in ((bool(request.hard), "filter"), (bool(request.references), "similar"), (True, "rank")):
            if needed and tool not in tools:
                faults.append(Fault("plan", f"the plan does not use {tool}"))
        if missing := [c.label for c in request.hard if c.label not in plan.conditions]:
            faults.append(Fault("plan", f"the plan leaves out: {', '.join(missing)}"))
        kept = set(request.references) & set(request.disliked)
        for item in self.catalogue.items(sorted(kept)):
            faults.append(Fault("plan", f"{item.label} is both the model for the list and disliked", item.id))
        for mention in by_rules.mentions:
            if mention.polarity == "disliked" and mention.row in request.references:
                label = self.catalogue.item(mention.row).label
                faults.append(Fault("plan", f"{label} is disliked and taken as a model for the list"))
        return faults

    def draft(
        self,
        draft: SlateDraft,
        request: Request,
        *,
        relaxed: Sequence[Condition] = (),
        candidates: RowArray | None = None,
        message: str = "",
    ) -> list[Fault]:
        """The draft against the records and the request. ``candidates``: rows the tools put forward; None: any."""
        faults: list[Fault] = []
        records: list[Item] = []
        rows = self.catalogue.rows_of([item.id for item in draft.items])
        ids: set[str] = set()
        for item, row in zip(draft.items, rows, strict=True):
            if item.id in ids:
                faults.append(Fault("double", f"{item.title} is there twice", item.id))
            ids.add(item.id)
            if row is None:
                faults.append(Fault("outside", f"{item.title} is not in the catalogue", item.id))
                continue
            record = self.catalogue.item(row)
            records.append(record)
            faults += self._choice(item, record, request, relaxed, candidates)
            faults += self._record(item, record)
        faults += self._text(draft, records, request, message)
        return faults

    def sentence(self, text: str, items: Sequence[RecommendedItem], request: Request, message: str) -> list[Fault]:
        """One sentence about a list that was checked before."""
        records = self.catalogue.items([r for r in self.catalogue.rows_of([i.id for i in items]) if r is not None])
        claims = self._claims(records, request, message)
        faults = [Fault(_kind(problem.kind), problem.what) for problem in claims.problems(text)]
        if not any(record.title in text for record in records):
            faults += [Fault("words", what) for what in list_problems(text, records, self.catalogue)]
        return faults

    # -- the choice of items, and their fields -----------------------------------------------------------------------

    def _choice(
        self,
        item: RecommendedItem,
        record: Item,
        request: Request,
        relaxed: Sequence[Condition],
        candidates: RowArray | None,
    ) -> list[Fault]:
        faults: list[Fault] = []
        if record.row in request.excluded:
            faults.append(Fault("seen", f"{record.label} was named, seen, shown or refused before", item.id))
        elif candidates is not None and not (candidates == record.row).any():
            faults.append(Fault("outside", f"{record.label} is none of the candidates", item.id))
        for condition in request.hard:
            if condition not in relaxed and not holds(condition.expr, record):
                faults.append(Fault("condition", f"{record.label} breaks “{condition.label}”", item.id))
        return faults

    def _record(self, item: RecommendedItem, record: Item) -> list[Fault]:
        faults: list[Fault] = []
        if item.title != record.title:
            faults.append(Fault("title", f"{item.title} is {record.title} on record", item.id))
        if item.year != record.year:
            faults.append(Fault("year", f"{record.title} is of {record.year}, not of {item.year}", item.id))
        for name, value in item.fields.items():
            if _plain(value) != _plain(record.fields.get(name)):
                faults.append(Fault(self._kind_of(name), f"{record.title}: {name} is another on record", item.id))
        return faults

    def _kind_of(self, name: str) -> FaultKind:
        spec = self.catalogue.schema.field(name)
        kinds: dict[Role, FaultKind] = {Role.PERSON: "person", Role.YEAR: "year", Role.CATEGORY: "category"}
        return kinds.get(spec.role, "field") if spec is not None else "field"

    # -- the words ----------------------------------------------------------------------------------------------------

    def _claims(self, records: Sequence[Item], request: Request, message: str) -> Claims:
        references = self.catalogue.items(request.references) if request.references else []
        said = "; ".join([message, request.query, *(c.label for c in request.conditions)])
        return Claims(self.catalogue, records, references, said)

    def _text(self, draft: SlateDraft, records: Sequence[Item], request: Request, message: str) -> list[Fault]:
        claims = self._claims(records, request, message)
        by_id = {record.id: record for record in records}
        faults: list[Fault] = []
        # A reason stands in its line and is given as data too, and is often its evidence: it is read once.
        read: dict[tuple[str, str], list[Problem]] = {}

        def problems(words: str, record: Item) -> list[Problem]:
            if (words, record.id) not in read:
                read[words, record.id] = claims.problems(words, record)
            return read[words, record.id]

        for line in draft.text.splitlines():
            numbered = _LINE.match(line.strip())
            at = int(numbered[1]) if numbered else 0
            if numbered is None or not 1 <= at <= len(draft.items):
                for sentence in _sentences(line, [*records, *claims.others]):
                    faults += [Fault(_kind(p.kind), p.what) for p in claims.problems(sentence)]
                continue
            record = by_id.get(draft.items[at - 1].id)
            if record is not None:
                faults += self._list_line(numbered[2], record, problems)
        for item in draft.items:
            record = by_id.get(item.id)
            if record is None:
                continue
            for words in dict.fromkeys((item.reason, *item.evidence)):
                faults += [Fault(_kind(p.kind), p.what, item.id) for p in problems(words, record)]
        return list(dict.fromkeys(faults))

    def _list_line(self, line: str, record: Item, problems: Callable[[str, Item], list[Problem]]) -> list[Fault]:
        """A line of the list against the item at its place."""
        if line.startswith(record.label) and line[len(record.label) :][:1] in ("", ":", " "):
            reason = line[len(record.label) :].lstrip(": ")
            return [Fault(_kind(p.kind), p.what, record.id) for p in problems(reason, record)]
        if line.startswith(record.title):
            return [Fault("year", f"the list gives {record.label} another year", record.id)]
        return [Fault("outside", f"the list names another item in the place of {record.label}", record.id)]


def supported(llm: LLM, critic: Critic, sentence: str, facts: str, budget: Budget) -> float | None:
    """The model's log-odds of "Yes" to whether ``facts`` say ``sentence``; None when it gives no log-probabilities.

    Raises:
        LLMError: as in :meth:`LLM.yes_no`, or there is no time left.
    """
    prompt: list[Message] = [
        ("system", render("critic", critic.catalogue.schema)),
        ("user", f"{tagged('facts', facts, 1500)}\n{tagged('sentence', sentence, 300)}\nDo the facts say this?"),
    ]
    margins = llm.yes_no([prompt], timeout_s=budget.left())
    return margins[0] if margins else None


def repaired(
    items: Sequence[RecommendedItem],
    faults: Sequence[Fault],
    remake: Callable[[str], RecommendedItem | None],
    spare: Iterable[RecommendedItem],
) -> list[RecommendedItem]:
    """The one repair. An item that should not be there gives way to the next of ``spare``; of an item that is described
    wrongly a new description is made by ``remake`` (from its record), and it goes when there is none."""
    chosen = {fault.item for fault in faults if fault.item and fault.kind not in WORDING}
    described = {fault.item for fault in faults if fault.item and fault.kind in WORDING}
    out: list[RecommendedItem] = []
    seen: set[str] = set()
    rest = iter(spare)
    for item in items:
        kept: RecommendedItem | None = item
        if item.id in seen or item.id in chosen:
            kept = next((new for new in rest if new.id not in seen and new.id not in chosen), None)
            if item.id not in seen and _only_double(item.id, faults):
                kept = item
        elif item.id in described:
            kept = remake(item.id)
        if kept is not None and kept.id not in seen:
            seen.add(kept.id)
            out.append(kept)
    return out


def _only_double(item_id: str, faults: Sequence[Fault]) -> bool:
    return all(fault.kind == "double" or fault.kind in WORDING for fault in faults if fault.item == item_id)


def _kind(name: str) -> FaultKind:
    kinds: dict[str, FaultKind] = {"year": "year", "person": "person", "number": "number", "outside": "outside"}
    return kinds.get(name, "words")


def _sentences(line: str, named: Sequence[Item]) -> list[str]:
    """Sentences of a line; titles ("Fantastic Mr. Fox") and initials ("J. J. Abrams") are not cut in two."""
    line = _INITIAL.sub(lambda found: found[0].replace(" ", _GLUE), line)
    for item in named:
        line = line.replace(item.title, item.title.replace(" ", _GLUE))
    return [sentence.replace(_GLUE, " ") for sentence in sentences(line)]


def _plain(value: FieldValue | list[str]) -> object:
    """Lists and tuples compare alike; nothing and no values are the same."""
    if isinstance(value, list | tuple):
        return tuple(value) or None
    return value
