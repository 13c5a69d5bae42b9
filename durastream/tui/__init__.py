"""`durastream top`: the terminal UI, in Textual (extra `tui`).

`source` is all that it asks of a hub; `app` is where it begins. One screen or widget per file; keys in one table, `keys`.
Whatever comes from the hub passes `text` (which sanitizes) on its way to the screen; markup is off everywhere.
"""
