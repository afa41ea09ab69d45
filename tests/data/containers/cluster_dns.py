"""A name server that knows one Service, as a cluster's does: `NAME.svc.cluster.local` is at ADDRESS.

Every other name does not exist, so a program finds the Service only if it appends the search domains of
/etc/resolv.conf. What was asked is printed.

    cluster_dns.py NAME ADDRESS
"""

import socket
import struct
import sys

A_RECORD, INTERNET = 1, 1
FLAGS_ANSWER, FLAGS_NO_SUCH_NAME = 0x8580, 0x8583


def question(packet):
    """The name, the type and the raw bytes of a query's one question."""
    labels, position = [], 12
    while packet[position]:
        end = position + 1 + packet[position]
        labels.append(packet[position + 1 : end].decode().lower())
        position = end
    (kind,) = struct.unpack_from(">H", packet, position + 1)
    return ".".join(labels), kind, packet[12 : position + 5]


def reply(packet, known, address):
    name, kind, asked = question(packet)
    answers = b""
    if name == known and kind == A_RECORD:
        # 0xc00c points back at the name in the question.
        answers = struct.pack(">HHHIH", 0xC00C, A_RECORD, INTERNET, 5, 4) + socket.inet_aton(address)
    flags = FLAGS_ANSWER if name == known else FLAGS_NO_SUCH_NAME
    print(name, kind, "found" if answers else "nothing", flush=True)
    return packet[:2] + struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0) + asked + answers


def main():
    known, address = f"{sys.argv[1]}.svc.cluster.local", sys.argv[2]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))
        print("ready", flush=True)
        while True:
            packet, client = server.recvfrom(4096)
            server.sendto(reply(packet, known, address), client)


if __name__ == "__main__":
    main()
