"""A gateway in front of the simulator that recomputes the signature of every request with the official SDK's own signer.

    recorder.py UPSTREAM RECORD [CERTIFICATE KEY]

Prints three ports: plain HTTP, HTTPS, and a proxy that tunnels (CONNECT) to the HTTPS one whatever host is asked for. Answers come back in
every way that HTTP allows: with a length, chunked, compressed where the client says that it reads that, and with the connection closed
after them. A line a request goes to RECORD: method, path, how it was answered, and `signed` or what is wrong with the signature.
"""

import gzip
import http.client
import itertools
import os
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

UPSTREAM, RECORD = sys.argv[1:3]
CREDENTIALS = BasicCredentials(os.environ["HUAWEICLOUD_SDK_AK"], os.environ["HUAWEICLOUD_SDK_SK"])
WAYS = itertools.cycle(["length", "chunks", "close", "chunks-close"])
LOCK = threading.Lock()


def signature_of(method, target, headers, body):
    """What the official signer makes of the request, over the headers that the client says it signed."""
    claimed = headers.get("authorization", "")
    signed = claimed.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    parts = urlsplit(target)
    request = SdkRequest(
        method=method,
        schema="http",
        host=headers["host"],
        resource_path=unquote(parts.path),
        query_params=parse_qsl(parts.query, keep_blank_values=True),
        header_params={name: headers[name] for name in signed if name in headers},
        body=body,
    )
    return claimed, Signer(CREDENTIALS).sign(request).header_params["Authorization"]


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def serve(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        claimed, computed = signature_of(self.command, self.path, headers, body)
        verdict = "signed" if claimed == computed else f"WRONG {claimed} instead of {computed}"
        upstream = http.client.HTTPConnection(UPSTREAM)
        upstream.request(self.command, self.path, body, dict(self.headers.items()))
        answer = upstream.getresponse()
        content, way = answer.read(), next(WAYS)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        if "gzip" in headers.get("accept-encoding", "") and content:
            content, way = gzip.compress(content), way + ", compressed"
            self.send_header("Content-Encoding", "gzip")
        if "close" in way:
            self.close_connection = True
            self.send_header("Connection", "close")
        if "chunks" in way:
            self.send_header("Transfer-Encoding", "chunked")
            pieces = [content[at : at + 7] for at in range(0, len(content), 7)]
            content = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        elif "close" not in way:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if "close" in way and isinstance(self.connection, ssl.SSLSocket):
            self.wfile.flush()
            try:
                # Says that this was the end: an answer that is cut looks the same without it, and would count as none.
                self.connection.unwrap()
            except OSError:
                pass
        with LOCK, open(RECORD, "a") as record:
            print(self.command, self.path, f"[{way}]", verdict, file=record)

    do_GET = do_POST = do_DELETE = do_PUT = serve


def listen(certificate=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def tunnel(client, port):
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return
        asked += byte
    server = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    with LOCK, open(RECORD, "a") as record:
        print(asked.split(b"\r\n")[0].decode(), "[tunnel] signed", file=record)
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


def main():
    https = listen(sys.argv[3:5])
    proxy = socket.create_server(("127.0.0.1", 0))
    print(listen(), https, proxy.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=tunnel, args=(proxy.accept()[0], https), daemon=True).start()


main()
