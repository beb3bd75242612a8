"""Clients in Python. They take the lines of node.mjs, behave as behave.mjs says, and print the same.

What the library lacks: connection state recovery; and it stays away from a server that has closed its connection in an
answer to polling, as ours and Node's do when they shut down.
"""

import json
import sys
import threading
import time

import engineio
import socketio

# The library gives up on an answer to polling with more packets than this. Its 16 are too few for any busy server.
engineio.payload.Payload.max_decode_packets = 10_000


class Engine(engineio.Client):
    """Handles messages one after the other; the library's own takes a thread for each, in no certain order."""

    def _trigger_event(self, *args, run_async=False, **kwargs):
        return super()._trigger_event(*args, **kwargs)


class Client(socketio.Client):
    def _engineio_client_class(self):
        return Engine


def describe(value):
    if isinstance(value, bytes):
        return {"bytes": list(value)}
    if isinstance(value, (list, tuple)):
        return [describe(inner) for inner in value]
    if isinstance(value, dict):
        return {key: describe(inner) for key, inner in value.items()}
    return value


def open_client(name, url, transports, token, **_):
    client = Client(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)
    news = []
    received = {"next": 0, "wrong": [], "by": set()}

    def report(**what):
        print(json.dumps({"name": name, **what}, separators=(",", ":")), flush=True)

    def tell(*args):
        client.emit("said", (describe(args), *args))

    def arrive():
        while not client.connected:  # as long as it is not, the library cannot cope with a loss
            time.sleep(0.001)
        report(connected=client.transport(), id=client.get_sid(), recovered=False)

    @client.event
    def connect():
        client.start_background_task(arrive)

    @client.event
    def disconnect():
        report(disconnected="")

    @client.event
    def connect_error(data):
        if isinstance(data, dict):  # the server says no
            client.reconnection = False
            report(refused=data)

    client.on("say", tell)

    @client.event
    def ask(*args):
        client.emit("echo", args, callback=tell)

    @client.event
    def echo(*args):
        return args

    @client.event
    def number(n):
        if n != received["next"]:
            received["wrong"].append([received["next"], n])
        received["next"] = n + 1
        received["by"].add(client.transport())

    @client.on("received")
    def on_received():
        return {**received, "by": list(received["by"])}

    @client.event
    def count(to, last):
        def run():
            for n in range(to):
                client.emit("number", n)
                if n % 50 == 49:
                    time.sleep(0.001)

        client.start_background_task(run)

    @client.on("news")
    def on_news(*args):
        news.append(describe(args[0]))

    @client.event
    def newspaper():
        return news

    try:
        client.connect(url, auth={"token": token}, transports=transports, wait_timeout=60)
    except socketio.exceptions.ConnectionError:
        pass  # reported, if it was a refusal


for line in sys.stdin:
    threading.Thread(target=open_client, kwargs=json.loads(line), daemon=True).start()
