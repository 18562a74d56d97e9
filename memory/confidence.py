"""How sure a remembered statement is: it grows with repetition and fades with time.

Said once, a statement has the confidence c0 of its way of writing (a standing instruction .95, a stated taste .7, a
button .9). It fades by halves::

    c(t) = c0 * 2 ** (-days / (half_life * times))

``times`` is how often it was said: what was said three times fades three times as slowly. Said again, the faded value
and the new one are combined as two independent sources (noisy or): ``1 - (1 - c(t)) * (1 - c_new)``. Below
:data:`FLOOR` a statement is still listed, but no longer used. Standing instructions do not fade: they hold until they
are taken back, superseded or out of date.
"""

from __future__ import annotations

from datetime import datetime

from convrec.memory.records import Kind, Preference

HALF_LIFE_DAYS: dict[Kind, float | None] = {"standing": None, "item": 730.0, "attribute": 365.0, "note": 365.0}
"""Days until half of the confidence is gone, said once; None: it does not fade."""
FLOOR = 0.2
"""Confidence below which a statement is not used."""


def now(preference: Preference, at: datetime) -> float:
    """The confidence of ``preference`` at a time, 0..1."""
    half_life = HALF_LIFE_DAYS[preference.kind]
    if half_life is None:
        return preference.confidence
    days = max(0.0, (at - preference.created).total_seconds() / 86400)
    return float(preference.confidence * 2.0 ** (-days / (half_life * preference.times)))


def repeated(faded: float, new: float) -> float:
    """The confidence of what was said before (``faded``, as of now) and is said again."""
    return 1.0 - (1.0 - faded) * (1.0 - new)
