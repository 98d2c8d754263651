"""The same calls as bytes, signed beforehand: 8 connections, no parsing. What any client could do at best.

    bare.py HOST PORT AT_ONCE FILE      the file: pickled lists of requests; each list is begun when the one before is answered
"""

import pickle
import socket
import sys
import threading

HOST, PORT, AT_ONCE, FILE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


def answer(connection, left):
    while b"\r\n\r\n" not in left:
        left += connection.recv(65536)
    head, _, rest = left.partition(b"\r\n\r\n")
    assert head[9:10] == b"2", head
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(rest) < length:
        chunk = connection.recv(65536)
        assert chunk, "the connection broke"
        rest += chunk
    return rest[length:]


def work(connection, requests, lock):
    left = b""
    while True:
        with lock:
            request = next(requests, None)
        if request is None:
            return
        connection.sendall(request)
        left = answer(connection, left)


def main():
    with open(FILE, "rb") as file:
        phases = pickle.load(file)
    connections = [socket.create_connection((HOST, PORT)) for _ in range(AT_ONCE)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for requests in phases:
        arguments = (iter(requests), threading.Lock())
        threads = [threading.Thread(target=work, args=(connection, *arguments)) for connection in connections]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


main()
