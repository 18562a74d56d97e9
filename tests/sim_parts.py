"""What the tests of simulated users share: made-up films, tastes over the demo catalogue."""

from __future__ import annotations

from functools import cache
from typing import Any

import demo_agent
import numpy as np
from convrec.core.items import Item
from convrec.eval.sim.personas import PERSONAS
from convrec.eval.sim.tastes import Taste, demo_tastes

PLAIN = PERSONAS["plain"]


def film(title: str, year: int | None = 2000, **fields: Any) -> Item:
    return Item(title.lower(), title, 0, {"year": year, "genres": (), **fields})


@cache
def tastes(n: int = 12) -> list[Taste]:
    return demo_tastes(demo_agent.demo_catalogue(), n, 0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
