"""Pure decisions: replay, tasks, retry, rewind. Standard library only; no clock, randomness, event loop or thread."""
