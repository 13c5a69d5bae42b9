"""Recorded histories, one JSON file each, replayed by today's code: see `test_histories`."""
