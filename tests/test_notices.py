from __future__ import annotations

import msgpack
import pytest

from durastream.core.events import Failure
from durastream.errors import WireError
from durastream.notices import (
    PAYLOAD_BYTES_MAX,
    Ack,
    End,
    failure_from_json,
    failure_to_json,
    pack_ack,
    pack_end,
    unpack_notices,
)


def test_several_notices_in_one_blob_come_back_in_order() -> None:
    blob = pack_end("a", "x.0", "Completed", b"1", None) + pack_ack("r", False, "no") + pack_ack("s", True)
    assert list(unpack_notices(blob)) == [
        End("a", "x.0", "Completed", b"1", None, True),
        Ack("r", False, "no"),
        Ack("s", True, ""),
    ]


@pytest.mark.parametrize(("size", "complete"), [(PAYLOAD_BYTES_MAX, True), (PAYLOAD_BYTES_MAX + 1, False)])
def test_large_payloads_stay_in_the_record(size: int, complete: bool) -> None:
    (end,) = unpack_notices(pack_end("a", "x.0", "Completed", b"1" * size, None))
    assert isinstance(end, End)
    assert end.complete is complete
    assert end.output == (b"1" * size if complete else None)


@pytest.mark.parametrize(
    "blob",
    [
        b"\xc1",
        b"\x01",
        b"\x93\xa3",
        msgpack.packb(["what", 1]),
        msgpack.packb([["end"], 1]),
        msgpack.packb(["end", 1, "x", "Completed", None, None, True]),
        msgpack.packb(["end", "a", "x", "Running", None, None, True]),
        msgpack.packb(["end", "a", "x", ["Failed"], None, None, True]),
        msgpack.packb(["end", "a", "x", "Failed", 1, None, True]),
        msgpack.packb(["ack", "r", True]),
        msgpack.packb(["ack", None, True, ""]),
        msgpack.packb({"end": 1}),
    ],
)
def test_rubbish_is_refused(blob: bytes) -> None:
    with pytest.raises(WireError):
        list(unpack_notices(blob))


def test_a_failure_survives_json() -> None:
    failure = Failure("KeyError", "'é'", "stack\n", (Failure("OSError", "gone", non_retryable=True),), False)
    assert failure_from_json(failure_to_json(failure)) == failure


@pytest.mark.parametrize(
    "data", [b"", b"1", b"[]", b"{}", b'{"type": "E", "causes": 3}', b'{"type": "E", "causes": [1]}']
)
def test_what_is_no_failure_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        failure_from_json(data)
