"""Workers: processes that own partitions, run orchestrations, and run activities."""

from durastream.worker.worker import Worker

__all__ = ["Worker"]
