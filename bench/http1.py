"""Just enough HTTP/1.1 framing for a load client that trusts its servers."""

from __future__ import annotations


def response_end(data: bytes) -> int:
    """Where the response at the beginning of `data` ends, or 0 while it is incomplete."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    found = data.find(b"ontent-length: ", 0, head)
    if found < 0:
        found = data.find(b"ontent-Length: ", 0, head)
    if found >= 0:
        end = head + 4 + int(data[found + 15 : data.index(b"\r", found)])
        return end if end <= len(data) else 0
    if b"\r\ntransfer-encoding: chunked" in data[:head].lower():
        return chunked_end(data, head + 4)
    return head + 4


def chunked_end(data: bytes, position: int) -> int:
    """Where a chunked body without trailers that begins at `position` ends, or 0 while it is incomplete."""
    while (line := data.find(b"\r\n", position)) >= 0:
        size = int(data[position:line].split(b";", 1)[0], 16)
        position = line + 2 + size + 2
        if size == 0:
            return position if position <= len(data) else 0
    return 0
