"""What a trained recommender is told of the running conversation: this session's words and items, no other's."""

from __future__ import annotations

from convrec.agent.memory_erasing import ERASED
from convrec.agent.session import Session, rows_of
from convrec.tools.catalogue import Catalogue
from convrec.tools.ranking_model import Conversation
from convrec.tools.understand import Understanding


def conversation_of(session: Session, catalogue: Catalogue, reading: Understanding | None = None) -> Conversation:
    """The session as a recommender is asked with it. ``reading``: the message that is being answered; None: as when
    the last list was made.

    Words count since the talk about the running request began; a new request begins after the last list. Items count
    for the whole session: what the user named or pointed at, what was only shown does not. What is remembered from
    other conversations stays out.
    """
    continues = reading is None or reading.continues or reading.wants_more
    began = session.began if continues and session.began else session.listed + 1
    refused = set(rows_of(catalogue, [*session.disliked, *session.rejected]))
    named = [*session.given, *session.seen, *session.liked, *session.named]
    rows = rows_of(catalogue, [*named, *session.references] if continues else named)
    now: tuple[tuple[int, str], ...] = ()
    if reading is not None:
        now = tuple((mention.row, mention.said) for mention in reading.mentions)
        refused |= set(reading.rows("disliked"))
        good = tuple(mention.row for mention in reading.mentions if mention.polarity != "disliked")
        refused -= set(good)  # the newest opinion counts
        rows += good
    named_rows = dict.fromkeys(row for row in reversed(rows) if row not in refused)
    before = max(0, session.turn_count - began)
    turns = [turn for turn in (session.turns[-before:] if before else []) if turn[0] != ERASED]
    return Conversation(
        turns=tuple(turns),
        text=reading.text if reading is not None else "",
        named=tuple(named_rows)[::-1],
        refused=tuple(sorted(refused)),
        now=now,
        began=began,
    )
