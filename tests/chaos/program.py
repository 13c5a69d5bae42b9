"""What worker processes run: the app, in the build that they were given, with a clock that can be set, or on a damaged engine."""

from __future__ import annotations

import os

from tests.chaos import broken, builds, clock

clock.install()
app = broken.app if os.environ.get(broken.VARIABLE) else builds.build(os.environ.get(builds.VARIABLE, ""))

__all__ = ["app"]
