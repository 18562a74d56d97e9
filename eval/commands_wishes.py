"""``convrec eval wishes``: candidates for wishes of one's own, to be graded by hand."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from convrec.core.errors import RequestError
from convrec.core.files import replacing
from convrec.eval.commands_shared import bar
from convrec.eval.wishes.labels import ungraded
from convrec.eval.wishes.pool import drafted, open_pooling
from rich.console import Console


def wishes_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help='JSON Lines: {"id", "kind", "split": "dev"|"heldout", "turns": [...]}')],
    out: Annotated[Path, typer.Option(help="the same with candidates; give each its grade 0, 1 or 2")],
    candidates: Annotated[int, typer.Option(min=2, max=50, help="how many each wish gets")] = 10,
    force: Annotated[bool, typer.Option("--force", help="overwrite --out, and the grades in it")] = False,
    seed: Annotated[int, typer.Option(min=0, help="of the order that they are written in")] = 0,
) -> None:
    """Candidates for wishes of your own, as the agent without a model ranks them, to be graded for `eval rerank`."""
    if out.exists() and not force:
        raise RequestError("--out", str(out), "It is there, perhaps with grades. Give another file, or --force.")
    asked, stderr = ungraded(file), Console(stderr=True)
    lines, without = [], []
    with closing(open_pooling(ctx.obj.settings)) as agent, bar(stderr, "wishes") as tick:
        for done, wish in enumerate(asked, 1):
            line = drafted(agent, wish, candidates, seed)
            if line is None:
                without.append(wish.id)
            else:
                lines.append(json.dumps(line, ensure_ascii=False))
            tick(done, len(asked))
    with replacing(out) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if without:
        stderr.print(f"no list was made for: {', '.join(without)}", markup=False, highlight=False)
    stderr.print(f"wrote {len(lines)} wishes to {out}", markup=False, highlight=False)
