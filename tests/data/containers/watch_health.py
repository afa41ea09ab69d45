"""Watches a Pod's health from inside its network, and prints each change as one line of JSON.

A line holds what /livez, /health and the model server's own /ping answered in this order, so that a green
/health beside a silent model server would show. `looks` counts the rounds since the line before.

    watch_health.py HEALTH_PORT SERVER_PORT
"""

import http.client
import json
import sys
import time


def get(port, path):
    """The status and the body, or (None, None) while nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None, None
    finally:
        connection.close()


def look(health_port, server_port):
    livez, _ = get(health_port, "/livez")
    health, body = get(health_port, "/health")
    ping, _ = get(server_port, "/ping")
    phase = json.loads(body)["phase"] if body else None
    return {"livez": livez, "health": health, "phase": phase, "ping": ping}


def main():
    health_port, server_port = int(sys.argv[1]), int(sys.argv[2])
    last, looks = None, 0
    while True:
        now = look(health_port, server_port)
        looks += 1
        if now != last:
            print(json.dumps({**now, "looks": looks}), flush=True)
            last, looks = now, 0
        time.sleep(0.05)


if __name__ == "__main__":
    main()
