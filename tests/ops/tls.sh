#!/usr/bin/env bash
# HTTPS as in production: the program against the simulator behind TLS with a CA of our own, also through the environment's
# proxy. A certificate that nobody signed, or of another host, is refused before anything is sent.
# Usage: tests/ops/tls.sh path/to/rds-retentiond   (exit 77 when openssl or python3 is missing)
set -euo pipefail
bin=$1
command -v openssl >/dev/null && command -v python3 >/dev/null || { echo "openssl or python3 is not installed: skipped"; exit 77; }
tmp=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$tmp"' EXIT
cd "$tmp"
fail() { echo "FAIL: $1" >&2; cat out err 2>/dev/null >&2 || true; exit 1; }

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj "/CN=a CA of the tests" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=localhost" 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem \
  -extfile <(printf 'subjectAltName=DNS:localhost,DNS:rds.cloud.example\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth') 2>/dev/null

"$bin" simulator --deletion-takes 0s > sim.yaml & pids+=($!)
for _ in $(seq 100); do grep -q '^policies' sim.yaml && break; sleep 0.1; done
upstream=$(sed -n 's/^ *endpoint: http:\/\///p' sim.yaml)
# A TLS end that passes the bytes on as they are: signatures cover the Host header that the client wrote.
python3 - "$upstream" > port <<'PYTHON' & pids+=($!)
import socket, ssl, sys, threading
host, port = sys.argv[1].split(":")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
def serve(raw):
    try:
        client = context.wrap_socket(raw, server_side=True)
    except (ssl.SSLError, OSError):
        return
    server = socket.create_connection((host, int(port)))
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PYTHON
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
eval "$(sed -n 's/^#   \(export [A-Z_]*=[A-Za-z0-9_-]*\)$/\1/p' sim.yaml)"
config() { sed -e '/^policies:/,$d' -e "s#http://$upstream#https://$1:$(cat port)#" sim.yaml; cat <<'YAML'
policies:
  - {name: all, mode: enforce, keep: {last: 3, daily: 7}, grace: 0s, limits: {max_percent: 100}}
YAML
}
config localhost > good.yaml; config 127.0.0.1 > other-name.yaml

SSL_CERT_FILE=$PWD/ca.pem "$bin" --config good.yaml apply --format json > out 2> err || fail "a run over TLS"
grep -q '"outcome":"confirmed"' out || fail "nothing was deleted over TLS"
SSL_CERT_FILE=$PWD/ca.pem "$bin" --config other-name.yaml plan > out 2> err && fail "a certificate of another name was accepted"
[ $? = 69 ] || fail "a certificate of another name: exit code"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout x.key -out stranger.pem -subj "/CN=a stranger" 2>/dev/null
code=0; SSL_CERT_FILE=$PWD/stranger.pem "$bin" --config good.yaml plan > out 2> err || code=$?
[ "$code" = 69 ] || fail "a certificate that nobody signed: exit $code"
grep -qi 'certificate' out err || fail "the reason is not said"
grep -q 'SSL_CERT_FILE' out err || fail "what to do is not said"
grep -q '(attempts: 2)' out err || fail "a certificate that nobody signed is tried again and again"

# A proxy that tunnels to the TLS end above whatever host it is asked for, and writes down what it was asked.
python3 - "$(cat port)" > proxy-port 2> asked <<'PYTHON' & pids+=($!)
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
def serve(client):
    head = b""
    while b"\r\n\r\n" not in head:
        more = client.recv(4096)
        if not more: return
        head += more
    print(head.decode("latin-1"), file=sys.stderr, flush=True)
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PYTHON
for _ in $(seq 100); do [ -s proxy-port ] && break; sleep 0.1; done
# The port belongs to the Host header, which is signed; the simulator only wants the two to agree.
config rds.cloud.example > far.yaml
through() { env SSL_CERT_FILE="$PWD/ca.pem" "$@" "$bin" --config far.yaml plan --format json > out 2> err; }
proxy=127.0.0.1:$(cat proxy-port)
through HTTPS_PROXY="http://$proxy" || fail "a run through HTTPS_PROXY"
grep -q "^CONNECT rds.cloud.example:$(cat port) " asked || fail "the proxy was not asked"
through https_proxy="http://somebody:s3cret@$proxy" || fail "a run through https_proxy, with a password"
grep -qi "^proxy-authorization: Basic $(printf somebody:s3cret | base64)" asked || fail "the proxy's password was not sent"
! grep -q s3cret out err || fail "the proxy's password was shown"
through HTTPS_PROXY="http://u:s3cret@127.0.0.1:1" && fail "a proxy that is not there"
! grep -q s3cret out err || fail "the proxy's password was shown in an error"
: > asked
through HTTPS_PROXY="http://$proxy" NO_PROXY=cloud.example && fail "NO_PROXY was not heeded"
[ ! -s asked ] || fail "the proxy was asked although NO_PROXY names the host"
# Loopback never goes through a proxy, which would look for it on its own machine.
SSL_CERT_FILE=$PWD/ca.pem HTTPS_PROXY="http://$proxy" "$bin" --config good.yaml plan > out 2> err || fail "loopback beside a proxy"
[ ! -s asked ] || fail "the proxy was asked for loopback"
echo "TLS and proxies: ok"
