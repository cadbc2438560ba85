"""HTTP/1.1 as uvicorn speaks it with httptools, and with a limit on the head of a request, which httptools does not have."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 32 * 1024
"""Bytes of a request's head, beyond what came in the read in which it began."""


class LimitedHttpToolsProtocol(HttpToolsProtocol):
    """One connection. A head that does not end is answered with 400, and the connection is closed."""

    _in_head = False
    _head = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, -1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head has come."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        # What came together with the end of the request before is not of this one: it is not counted, and it is one read at most.
        self._head = 0 if self._head < 0 else self._head + len(data)
        if self._head > MOST_HEAD:
            self.send_400_response("The head of the request is too large.")
