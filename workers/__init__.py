"""Sample programs, one file each. Run one with `durastream worker workers.NAME:app`."""
