"""A site of somebody else on a port of its own: at the address of the server another origin of the same site, as localhost another site."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PAGE = """<!doctype html><title>Evil</title><link rel="icon" href="data:,"><a href="{home}">win a prize</a>
<form method="post" action="{home}"><button>win another</button></form>
<script src="/attack.js"></script>"""

_ATTACK = """
const FORM = "application/x-www-form-urlencoded";
const send = (address, more) => fetch(address, {credentials: "include", ...more}).then(answer => answer.type, error => "failed");
const asked = (address, method) => method === "POST" ? [
  send(address, {method, mode: "no-cors", headers: {"Content-Type": FORM}, body: "name=x&account_name=x"}),
  send(address, {method, mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: "{}"}),
  send(address, {method, mode: "cors", headers: {"Content-Type": FORM}, body: "name=x&account_name=x"}),
  send(address, {method, mode: "cors", headers: {"Content-Type": "application/json", "HX-Request": "true"}, body: "{}"}),
] : [send(address, {method, mode: "cors"})];
window.fetchAll = routes => Promise.all(routes.flatMap(([method, address]) => asked(address, method)));
window.postAll = addresses => addresses.forEach((address, number) => {
  const frame = document.createElement("iframe"), form = document.createElement("form");
  frame.name = "f" + number;
  Object.assign(form, {method: "post", action: address, target: frame.name});
  document.body.append(frame, form);
  form.submit();
});
window.frame = address => { document.body.append(Object.assign(document.createElement("iframe"), {src: address, name: "framed"})); };
"""


@dataclass(frozen=True)
class Foreign:
    """Where the site is: `same_site` on another port of the server's address, `cross_site` under another name."""

    same_site: str
    cross_site: str


@contextmanager
def foreign_site(home: str) -> Iterator[Foreign]:
    """Serve pages that attack the server whose address `home` leads to, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script = self.path == "/attack.js"
            body = (_ATTACK if script else _PAGE.format(home=home)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript" if script else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    try:
        yield Foreign(f"http://127.0.0.1:{site.server_port}/", f"http://localhost:{site.server_port}/")
    finally:
        site.shutdown()
        thread.join()
        site.server_close()
