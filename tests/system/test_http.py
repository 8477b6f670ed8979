#!/usr/bin/env python3
"""The gateway from outside: what it takes in, what it refuses, and that nothing is half stored."""

import json
import os
import re
import signal
import socket
import sys
import threading
import time

import harness
from harness import Skip, check, equal, ksuid, matches, test, wait_for

DAY_S = 86400
BODY_BYTES_MAX = 16 << 20
EVENT = {"source": "test", "name": "thing.happened"}
EVENT_TEXT = json.dumps(EVENT).encode()


def stored(lab):
    return lab.sql("SELECT count(*) FROM events")[0][0]


def refused(lab, answer, status, *details):
    """Checks a refusal: its status, the shape of its body, and that the store is as it was."""
    equal(answer.status, status, *details, answer.body[:300])
    equal(answer.headers["Content-Type"], "application/json", *details)
    error = answer.json()
    equal(error["statusCode"], status, *details)
    check(error["message"], *details)
    equal(stored(lab), 0, *details, "something was stored")
    return error


def request_bytes(*headers, body=EVENT_TEXT, line="POST /v1/events HTTP/1.1", end="\r\n"):
    """A request as it goes over the wire."""
    lines = [line, "Host: test", "Content-Type: application/json", *headers, "", ""]
    return end.join(lines).encode("latin-1") + body


def exchange(daemon, data):
    """Sends bytes, the last request of which asks to close, and reads until that is done."""
    host, port = daemon.address.rsplit(":", 1)
    reply = b""
    with socket.create_connection((host, int(port)), timeout=harness.PATIENCE_S) as connection:
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                reply += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return reply


def last_request():
    """A good request that asks to close the connection."""
    return request_bytes(LENGTH, "Connection: close")


def statuses(reply):
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3})", reply, re.MULTILINE)]


# ---- what is taken in ----------------------------------------------------------------------------


@test
def one_event_is_stored_and_answered_with_its_id(lab):
    daemon = lab.daemon()
    data = '{ "b": 1.50,\t"a": [null, "\\u00e4\u00e4"] }'
    answer = daemon.post('{"source":"shop","name":"paid","context":{"k":1},"data":%s,'
                         '"sent_at":"2026-01-02T03:04:05Z"}' % data)
    equal(answer.status, 200, answer.body)
    equal(answer.headers["Content-Type"], "application/json")
    equal(answer.headers["X-Content-Type-Options"], "nosniff")
    (event,) = answer.events()
    matches(event["id"], r"^[0-9A-Za-z]{27}$")
    equal((event["status"], event["jobs"]), ("stored", 0))
    (row,) = lab.sql("SELECT id, source, name, context, data, sent_at FROM events")
    equal(harness.ksuid_text(row[0]), event["id"])
    equal(row[1:], ("shop", "paid", '{"k":1}', data, 1767323045000000), "not as it was sent")


@test
def an_array_and_lines_are_answered_in_their_order(lab):
    daemon = lab.daemon({"sleeper": {"kind": "command", "command": ["/bin/true"],
                                     "events": {"b": {"realtime": False}}}})
    ids = [ksuid() for _ in range(4)]
    events = [{"id": ids[i], "source": "test", "name": "ab"[i % 2], "data": i} for i in range(4)]
    answer = daemon.post(events[:2])
    equal(answer.ids(), ids[:2])
    equal([event["jobs"] for event in answer.events()], [0, 1])
    lines = "\n\r\n" + "\r\n\n".join(json.dumps(event) for event in events[2:])
    for media_type in ("application/x-ndjson", "application/jsonl; charset=utf-8"):
        equal(daemon.post(lines, media_type).ids(), ids[2:], media_type)
    equal(lab.sql("SELECT data FROM events ORDER BY n"), [("0",), ("1",), ("2",), ("3",)])


@test
def nothing_to_store_is_no_mistake(lab):
    daemon = lab.daemon()
    for body, media_type in (("[]", "application/json"), ("", "application/x-ndjson"),
                             ("\n\r\n\n", "application/x-ndjson")):
        answer = daemon.post(body, media_type)
        equal((answer.status, answer.events()), (200, []), repr(body))
    equal(stored(lab), 0)


@test
def the_same_event_again_is_stored_once(lab):
    daemon = lab.daemon()
    event = EVENT | {"id": ksuid(), "data": {"n": 1}}
    equal(daemon.post(event).events(), [{"id": event["id"], "status": "stored", "jobs": 0}])
    equal(daemon.post([event, event]).events(),
          [{"id": event["id"], "status": "already there"}] * 2)
    twin = EVENT | {"id": ksuid()}
    equal([e["status"] for e in daemon.post([twin, twin]).events()], ["stored", "already there"])
    equal(stored(lab), 2)


@test
def other_contents_under_a_known_id_conflict_and_the_rest_is_stored(lab):
    daemon = lab.daemon()
    known = EVENT | {"id": ksuid(), "data": {"n": 1}}
    daemon.post(known)
    for changed in ({"data": {"n": 2}}, {"data": {"n": 1.0}}, {"context": 1}, {"source": "other"},
                    {"name": "other"}, {"data": None}):
        fresh = [EVENT | {"id": ksuid()} for _ in range(2)]
        answer = daemon.post([fresh[0], known | changed, fresh[1]])
        equal(answer.status, 409, changed)
        equal([event["status"] for event in answer.events()], ["stored", "conflict", "stored"])
        check(answer.events()[1]["message"])
        equal([e["status"] for e in daemon.post(fresh).events()], ["already there"] * 2)
    equal(lab.sql("SELECT data FROM events WHERE id = (SELECT id FROM events ORDER BY n LIMIT 1)"),
          [('{"n": 1}',)])
    lab.verify()


@test
def ids_from_seven_days_ago_to_a_day_ahead_are_admitted(lab):
    daemon = lab.daemon()
    now = int(time.time())
    for second in (now - 7 * DAY_S + 60, now, now + DAY_S - 60):
        equal(daemon.post(EVENT | {"id": ksuid(second)}).status, 200, second - now)
    equal(stored(lab), 3)


@test
def a_request_holds_ten_thousand_events_and_no_more(lab):
    daemon = lab.daemon()
    line = json.dumps(EVENT) + "\n"
    error = refused(lab, daemon.post(line * 10001, "application/x-ndjson"), 400)
    matches(error["message"], "10000")
    equal(len(set(daemon.post(line * 10000, "application/x-ndjson").ids())), 10000)
    equal(stored(lab), 10000)


# ---- what is refused -----------------------------------------------------------------------------


BAD_JSON = [
    b"", b" ", b"\0", b"{", b"[", b"[{}", b"nul", b"NaN", b"'a'", b"{}{}", b"{} x", b"[1,]",
    b'{"a":1,}', b'{"a"}', b"{a:1}", b"[01]", b"[1.]", b"[.5]", b"[+1]", b"[0x1]", b"[1e]",
    b"[-]", b"[Infinity]", b'["\t"]', b'["\\x41"]', b'["\\u12"]', b'["\\u0000"]', b'["\\ud800"]',
    b'["\\udc00\\ud800"]', b'["\xff"]', b'["\xc0\x80"]', b'["\xed\xa0\x80"]',
    b'["\xf4\x90\x80\x80"]', b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b'{"a":1,"a":2}',
    b'{"a":1,"\\u0061":2}', b"[" * 65 + b"]" * 65, b"[" * 100000, b"[1]//", b"/**/[1]",
    b"[1]\0", b"\x0b[]",
]


@test
def what_is_not_json_is_refused(lab):
    daemon = lab.daemon()
    for text in BAD_JSON:
        refused(lab, daemon.post(text), 400, text[:60])
        if text.strip():
            event = EVENT_TEXT[:-1] + b', "data": ' + text + b"}"
            refused(lab, daemon.post(event), 400, event[:90])
            lines = EVENT_TEXT + b"\n\n" + event.replace(b"\n", b"") + b"\n" + EVENT_TEXT
            error = refused(lab, daemon.post(lines, "application/x-ndjson"), 400, lines[:150])
            matches(error["message"], "line 3", lines[:150])


BAD_EVENTS = [
    (None, ""), (1, ""), ('"text"', ""), ([], ""), ({}, "Source"),
    ({"source": "s"}, "Name"), ({"name": "n"}, "Source"), ({"source": "", "name": "n"}, "Source"),
    (EVENT | {"name": "*"}, "Name"), (EVENT | {"name": 5}, "Name"),
    (EVENT | {"name": None}, "Name"), (EVENT | {"name": "n" * 256}, "Name"),
    (EVENT | {"name": "\u00e4" * 128}, "Name"), (EVENT | {"name": "a\nb"}, "Name"),
    (EVENT | {"source": "\x1b[2J"}, "Source"), (EVENT | {"source": ["s"]}, "Source"),
    (EVENT | {"sent_at": "yesterday"}, "SentAt"), (EVENT | {"sent_at": 5}, "SentAt"),
    (EVENT | {"sent_at": "2026-02-30T00:00:00Z"}, "SentAt"), (EVENT | {"jobs": []}, "Jobs"),
    (EVENT | {"ingested_at": "2026-01-01T00:00:00Z"}, "IngestedAt"),
    (EVENT | {"unknown": 1}, "unknown"), (EVENT | {"Name": "n"}, "Name"),
]


@test
def an_event_that_is_not_as_it_must_be_is_refused_with_its_place(lab):
    daemon = lab.daemon()
    for event, field in BAD_EVENTS:
        for body, place in ((event, "Events[0]"), ([EVENT, EVENT, event, EVENT], "Events[2]")):
            if body == []:
                continue  # no event is no mistake
            error = refused(lab, daemon.post(body), 400, body)
            paths = [validation["path"] for validation in error["validations"]]
            check(any(path[:2] == ["Queue", place] and path[-1].endswith(field)
                      for path in paths), body, error)


@test
def an_id_that_is_no_ksuid_is_refused(lab):
    daemon = lab.daemon()
    now, good = int(time.time()), ksuid()
    bad = ["", "0" * 27, good[:-1], good + "0", good[:-1] + "-", good[:-1] + " ",
           good[:-1] + "\u00e4", "aWgEPTl1tmebfsQzFP4bxwgy80W", "z" * 27, 5, {}, [good], True,
           ksuid(now - 7 * DAY_S - 60), ksuid(now + DAY_S + 60), ksuid(harness.EPOCH)]
    for value in bad:
        error = refused(lab, daemon.post([EVENT, EVENT | {"id": value}]), 400, value)
        matches(json.dumps(error["validations"]), r"Events\[1\].*ID", value)


@test
def one_bad_event_among_many_stores_nothing(lab):
    daemon = lab.daemon()
    for place in (0, 50, 99):
        events = [dict(EVENT) for _ in range(100)]
        events[place]["name"] = ""
        refused(lab, daemon.post(events), 400, place)
        lines = "\n".join(json.dumps(event) for event in events)
        refused(lab, daemon.post(lines, "application/x-ndjson"), 400, place)


@test
def wrong_methods_paths_and_media_types_are_refused(lab):
    daemon = lab.daemon()
    json_header = {"Content-Type": "application/json"}
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
        answer = daemon.request(method, "/v1/events", EVENT_TEXT, json_header)
        refused(lab, answer, 405, method)
        equal(answer.headers["Allow"], "POST")
    for path in ("/", "/v1", "/v1/events/", "/v1/Events", "//v1/events", "/v1/events/1",
                 "/v1/events%00", "/v1/../v1/events", "/metrics"):
        refused(lab, daemon.request("POST", path, EVENT_TEXT, json_header), 404, path)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                       "application/jsonp", "application", "json", ""):
        refused(lab, daemon.post(EVENT, media_type), 415, media_type)
    refused(lab, daemon.request("POST", "/v1/events", EVENT_TEXT), 415, "no media type")
    equal(daemon.post(EVENT, "Application/JSON;charset=UTF-8").status, 200)


@test
def what_is_too_large_is_refused(lab):
    daemon = lab.daemon()
    said = request_bytes(f"Content-Length: {BODY_BYTES_MAX + 1}", body=b"")
    reply = exchange(daemon, said + EVENT_TEXT)
    equal(statuses(reply), [413], "told by Content-Length")
    matches(reply.decode(), "(?i)connection: close")
    for length in (1 << 32, 1 << 63, 1 << 64, 10 ** 30):
        reply = exchange(daemon, request_bytes(f"Content-Length: {length}"))
        check(set(statuses(reply)) in ({413}, {400}), length, reply)
    chunk = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
    chunks = chunk * 16 + b"%x\r\n" % len(EVENT_TEXT) + EVENT_TEXT + b"\r\n0\r\n\r\n"
    large = request_bytes("Transfer-Encoding: chunked", "Connection: close", body=chunks)
    equal(statuses(exchange(daemon, large)), [413], "told by nothing but its bytes")
    equal(stored(lab), 0)
    payload = '{"source":"s","name":"n","data":"%s"}'
    refused(lab, daemon.post(payload % ("a" * (8 << 20))), 400, "a payload")
    padding = EVENT_TEXT + b" " * (BODY_BYTES_MAX - len(EVENT_TEXT))
    equal(daemon.post(padding).status, 200, "the largest request")
    equal(daemon.post(payload % ("a" * ((8 << 20) - 2))).status, 200, "the largest payload")


# ---- framing -------------------------------------------------------------------------------------


LENGTH = f"Content-Length: {len(EVENT_TEXT)}"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT_TEXT), EVENT_TEXT)
AMBIGUOUS = {
    "length and chunks": request_bytes(LENGTH, "Transfer-Encoding: chunked"),
    "chunks and length": request_bytes("Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "two lengths": request_bytes(LENGTH, "Content-Length: 1"),
    "the same length twice": request_bytes(LENGTH, LENGTH),
    "two lengths in one": request_bytes(f"{LENGTH}, {len(EVENT_TEXT)}"),
    "a plus sign": request_bytes(LENGTH.replace(": ", ": +")),
    "a minus sign": request_bytes("Content-Length: -1"),
    "hexadecimal": request_bytes(f"Content-Length: {len(EVENT_TEXT):#x}"),
    "no number": request_bytes("Content-Length: many"),
    "an empty length": request_bytes("Content-Length:"),
    "a folded length": request_bytes(f"Content-Length:\r\n {len(request_bytes(LENGTH))}",
                                     body=request_bytes(LENGTH)),
    "an unknown encoding": request_bytes("Transfer-Encoding: xchunked", body=CHUNKED),
    "two encodings": request_bytes("Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "chunked twice": request_bytes("Transfer-Encoding: chunked", "Transfer-Encoding: chunked",
                                   body=CHUNKED),
    "an encoding in disguise": request_bytes("Transfer-Encoding: \x0bchunked", body=CHUNKED),
    "a folded encoding": request_bytes("Transfer-Encoding:\r\n chunked", body=CHUNKED),
    "a chunk size that is none": request_bytes("Transfer-Encoding: chunked",
                                               body=b"zz\r\n" + CHUNKED),
    "a negative chunk size": request_bytes("Transfer-Encoding: chunked", body=b"-" + CHUNKED),
    "a chunk size with too many digits": request_bytes("Transfer-Encoding: chunked",
                                                       body=b"1" + b"0" * 16 + CHUNKED),
    "a chunk that is longer": request_bytes("Transfer-Encoding: chunked",
                                            body=CHUNKED.replace(b"}\r\n", b"} \r\n")),
    "no end of chunks": request_bytes("Transfer-Encoding: chunked", body=CHUNKED[:-5]),
}

MALFORMED = {
    "space before the colon": request_bytes(LENGTH, "X-Space : a"),
    "space before a length's colon": request_bytes(LENGTH.replace(":", " :")),
    "a header without colon": request_bytes(LENGTH, "X-Broken"),
    "a space in a name": request_bytes(LENGTH, "X Y: z"),
    "a control character": request_bytes(LENGTH, "X-Bell: a\7b"),
    "NUL in a name": request_bytes(LENGTH, "X\0Nul: a"),
    "a bare carriage return": request_bytes(f"X-A: b\r{LENGTH}"),
    "no host": request_bytes(LENGTH).replace(b"Host: test\r\n", b""),
    "a huge header": request_bytes(LENGTH, "X-Long: " + "a" * (1 << 20)),
    "many headers": request_bytes(LENGTH, *[f"X-{i}: a" for i in range(20000)]),
    "a huge path": request_bytes(LENGTH, line=f"POST /{'a' * (1 << 20)} HTTP/1.1"),
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown version": request_bytes(LENGTH, line="POST /v1/events HTTP/3.7"),
    "an old version": request_bytes(LENGTH, line="POST /v1/events"),
}


# The HTTP library reads these though they are malformed: in one way, and so without harm.
LENIENT = {
    "a length that is cut by NUL": request_bytes(LENGTH + "\0, 1"),
    "a header without name": request_bytes(f"Content-Length: {len(EVENT_TEXT) + 4}", ": x",
                                           body=EVENT_TEXT + b"    "),
    "NUL in a value": request_bytes(LENGTH, "X-Nul: a\0b"),
    "a folded header": request_bytes(LENGTH, "X-Fold: a\r\n b"),
    "bare line feeds": request_bytes(LENGTH, end="\n"),
    "a bare line feed": request_bytes(f"X-A: b\n{LENGTH}"),
}


def refuses_all(lab, cases):
    """Checks that neither these requests nor what follows them on their connections is served."""
    daemon = lab.daemon()
    wrong = []
    for name, data in cases.items():
        reply = exchange(daemon, data + last_request())
        if not all(status >= 400 for status in statuses(reply)):
            wrong.append(f"{name}: {statuses(reply)}")
    equal(daemon.post([]).status, 200, "still it serves")
    check(not wrong, "served:", "; ".join(wrong))
    equal(stored(lab), 0)


@test
def framing_that_can_be_read_in_two_ways_is_refused(lab):
    refuses_all(lab, AMBIGUOUS)


@test
def malformed_requests_are_refused(lab):
    refuses_all(lab, MALFORMED)


@test
def what_is_read_leniently_is_read_as_one_request(lab):
    daemon = lab.daemon()
    end = b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    for number, (name, data) in enumerate(LENIENT.items(), 1):
        replies = statuses(exchange(daemon, data + end))
        check(replies in ([200, 200], [200]), name, replies)
        equal(stored(lab), number, name)


@test
def a_client_that_goes_away_leaves_nothing_behind(lab):
    daemon = lab.daemon()
    host, port = daemon.address.rsplit(":", 1)
    whole = request_bytes(LENGTH)
    for cut in range(1, len(whole), 7):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(whole[:cut])
    equal(daemon.post([]).status, 200)
    equal(stored(lab), 0)


# ---- connections ---------------------------------------------------------------------------------


@test
def a_connection_serves_many_requests(lab):
    daemon = lab.daemon()
    connection = daemon.connect()
    socket_before = None
    for _ in range(20):
        equal(daemon.post(EVENT, connection=connection).status, 200)
        check(socket_before in (None, connection.sock), "the connection was closed")
        socket_before = connection.sock
    connection.close()


@test
def pipelined_requests_are_answered_in_their_order(lab):
    daemon = lab.daemon()
    ids = [ksuid() for _ in range(10)]
    bodies = [json.dumps(EVENT | {"id": id}).encode() for id in ids]
    reply = exchange(daemon, b"".join(request_bytes(f"Content-Length: {len(body)}", body=body)
                                      for body in bodies) + last_request())
    equal(statuses(reply), [200] * 11)
    equal(re.findall(r'"id":"(\w+)"', reply.decode())[:10], ids)


@test
def a_client_that_asks_is_told_to_continue(lab):
    daemon = lab.daemon()
    host, port = daemon.address.rsplit(":", 1)
    asks = request_bytes(LENGTH, "Expect: 100-continue", body=b"")
    with socket.create_connection((host, int(port)), timeout=harness.PATIENCE_S) as connection:
        connection.sendall(asks)
        equal(statuses(connection.recv(65536)), [100])
        connection.sendall(EVENT_TEXT)
        equal(statuses(connection.recv(65536)), [200])
    for header, status in (("Content-Length: 99999999", 413), ("Content-Type: a/b", 415)):
        data = request_bytes(header, "Expect: 100-continue", body=b"")
        if "Type" in header:
            data = data.replace(b"Content-Type: application/json\r\n", b"")
        equal(statuses(exchange(daemon, data)), [status], "is asked for its body first")
    equal(stored(lab), 1)


@test
def http_1_0_and_chunks_are_served(lab):
    daemon = lab.daemon()
    old = request_bytes(LENGTH, line="POST /v1/events HTTP/1.0").replace(b"Host: test\r\n", b"")
    equal(statuses(exchange(daemon, old)), [200])
    chunked = request_bytes("Transfer-Encoding: chunked", body=CHUNKED)
    equal(statuses(exchange(daemon, chunked + last_request())), [200, 200])
    equal(stored(lab), 3)


@test
def a_slow_client_delays_no_other(lab):
    daemon = lab.daemon()
    host, port = daemon.address.rsplit(":", 1)
    whole = request_bytes(LENGTH)
    cuts = (10, 60, len(whole) - len(EVENT_TEXT), len(whole) - 1)
    slow = [socket.create_connection((host, int(port)), timeout=harness.PATIENCE_S) for _ in cuts]
    for connection, cut in zip(slow, cuts):
        connection.sendall(whole[:cut])
    for _ in range(50):
        equal(daemon.post(EVENT).status, 200)
    for connection, cut in zip(slow, cuts):
        connection.sendall(whole[cut:])
        equal(statuses(connection.recv(65536)), [200], cut)
        connection.close()
    equal(stored(lab), 54)


@test
def as_many_ready_connections_as_the_library_looks_at_in_one_go_are_served(lab):
    """libmicrohttpd's own loop sleeps its whole time-out of 30 s when 128 are ready at once."""
    daemon = lab.daemon()
    host, port = daemon.address.rsplit(":", 1)
    clients = [socket.create_connection((host, int(port)), timeout=harness.PATIENCE_S)
               for _ in range(128)]
    for client in clients:
        client.sendall(request_bytes(LENGTH))
        equal(statuses(client.recv(65536)), [200])
    time.sleep(0.2)  # until all are idle in the library, which nothing tells
    daemon.popen.send_signal(signal.SIGSTOP)
    os.waitpid(daemon.popen.pid, os.WUNTRACED)
    for client in clients:
        client.sendall(request_bytes(LENGTH))
    daemon.popen.send_signal(signal.SIGCONT)
    for client in clients:
        equal(statuses(client.recv(65536)), [200])
        client.close()


@test
def what_64_clients_are_told_is_stored_is_stored(lab):
    daemon = lab.daemon()
    acknowledged, problems = [], []

    def client():
        connection = daemon.connect()
        for _ in range(50):
            answer = daemon.post(EVENT, connection=connection)
            if answer.status == 200:
                acknowledged.extend(answer.ids())
            else:
                problems.append(answer.body)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(problems, [])
    equal(len(set(acknowledged)), 64 * 50)
    equal(sorted(acknowledged), [harness.ksuid_text(id) for id, in
                                 lab.sql("SELECT id FROM events ORDER BY id")])
    daemon.terminate()
    lab.verify()


@test
def health_is_told(lab):
    daemon = lab.daemon()
    answer = daemon.request("GET", "/healthz")
    equal((answer.status, answer.json()), (200, {"status": "ok"}))
    answer = daemon.request("HEAD", "/healthz")
    equal((answer.status, answer.body), (200, b""))
    answer = daemon.request("POST", "/healthz", b"{}")
    refused(lab, answer, 405)
    equal(answer.headers["Allow"], "GET, HEAD")


@test
def a_daemon_that_ends_takes_nothing_new_in(lab):
    wait = lab.script("wait", "touch begun; while [ -d . ] && [ ! -e go ]; do sleep 0.02; done")
    daemon = lab.daemon({"slow": {"kind": "command", "command": [wait], "events": ["*"]}})
    connection = daemon.connect()
    daemon.post(EVENT, connection=connection)
    wait_for(lambda: lab.has("begun"), "the command's start")
    daemon.signal(signal.SIGTERM)
    wait_for(lambda: "event=ending" in daemon.log(), "the beginning of the end")
    answer = daemon.post(EVENT, connection=connection)
    equal(answer.status, 503, answer.body)
    check(answer.headers["Retry-After"])
    equal(daemon.request("GET", "/healthz").status, 200)
    lab.write("go", "")
    equal(daemon.wait(), 0, daemon.log())
    equal(stored(lab), 1)
    equal(lab.live(), 0)


@test
def it_listens_on_ipv6(lab):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        raise Skip(f"no IPv6: {error}") from None
    lab.config(listen="[::1]:0")
    daemon = lab.launch().ready()
    matches(daemon.address, r"^\[::1\]:\d+$")
    daemon.address = daemon.address.replace("[", "").replace("]", "")
    equal(daemon.post(EVENT).status, 200)


if __name__ == "__main__":
    sys.exit(harness.main())
