"""`python -m durastream.cli`: how the supervisor starts its worker processes, whatever is on the PATH."""

from __future__ import annotations

from durastream.cli import main

if __name__ == "__main__":
    main()
