"""`fsck`: a hub is read through a plain connection, and held against every invariant that can be seen there.

Safe on a live system: it reads only, in bounded steps, and what is under way is no finding. Whatever looks wrong is looked at
again, several times; only what is wrong each time, and is the same each time, is reported.
"""

from __future__ import annotations

from collections.abc import Collection

from durastream.inspect.fsck.looks import Patience
from durastream.inspect.fsck.report import Progress, Report
from durastream.inspect.fsck.residue import Residue
from durastream.inspect.fsck.walk import Walk
from durastream.store.redis.fsck import RawHub

_PATIENCE = Patience()


async def fsck(
    hub: RawHub,
    *,
    patience: Patience = _PATIENCE,
    progress: Progress = lambda what, done, of: None,
    purged: Collection[str] = (),
) -> Report:
    """Look through a whole hub. `Patience(1, 0)` for one on which nobody works: nothing is looked at more than twice.

    `purged`: ids of which nothing may be left (S19). The whole of the hub is searched for them, payloads included.
    """
    report = await Walk(hub, patience=patience, progress=progress).run()
    if purged:
        report.add(await Residue(hub, purged).run(progress))
        report.looked_at["purged ids"] += len(purged)
    return report


__all__ = ["Patience", "Progress", "Report", "fsck"]
