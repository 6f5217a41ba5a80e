"""Lints exchanges by REDbot, which lints each message by httplint and, of what GET brought, asks again in its own ways: conditionally, for
ranges, with and without gzip.

Reads a JSON array of exchanges on standard input:
    {"method": "GET", "url": "http://…", "headers": [["Name", "value"], …], "body": "…", "again": true, "endless": false}
`again`: whether REDbot may ask again. `endless`: the body does not end, so only the head is linted.
Writes a JSON array, one answer each:
    {"status": 200, "headers": [["name", "value"], …], "notes": [{"level": "warning", "note": "CC_WRONG_MAXAGE", "summary": "…"}, …]}
"""

import http.client
import json
import sys
from configparser import ConfigParser
from urllib.parse import urlsplit

import thor
from httplint import HttpResponseLinter
from redbot.resource import HttpResource

CONFIG = ConfigParser()
CONFIG.read_dict({"redbot": {"enable_local_access": "True"}})


def judged(response):
    notes = [note for top in response.notes for note in [top, *top.subnotes]]
    return {
        "status": response.status_code,
        "headers": [list(header) for header in response.headers.text],
        "notes": [
            {"level": note.level.value if note.level else "", "note": type(note).__name__, "summary": str(note.summary)}
            for note in notes
        ],
    }


def of_head(exchange):
    """Lints an answer without waiting for the end of its body."""
    url = urlsplit(exchange["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request(exchange["method"], f"{url.path}?{url.query}".rstrip("?"), headers=dict(exchange["headers"]))
    answer = connection.getresponse()
    response = HttpResponseLinter(no_content=True)
    response.process_response_topline(b"1.1", str(answer.status).encode(), answer.reason.encode())
    response.process_headers([(name.encode(), value.encode()) for name, value in answer.getheaders()])
    response.finish_content(True)
    connection.sock.close()
    return judged(response)


def of_whole(exchange, done):
    """Calls `done` with the answer once all is asked that REDbot asks."""
    resource = HttpResource(CONFIG["redbot"], active_checks_enabled=exchange["again"])
    # Some rules need to know what was asked, a preflight for one.
    resource.response.request = resource.request
    resource.set_request(
        exchange["url"], exchange["method"], [tuple(header) for header in exchange["headers"]], exchange["body"].encode()
    )

    @thor.events.on(resource)
    def check_done():
        if resource.fetch_error:
            sys.exit(f"{exchange}: {resource.fetch_error.desc} {resource.fetch_error.detail}")
        answer = judged(resource.response)
        # What its further requests were told counts as well.
        for check in resource.subreqs.values():
            answer["notes"] += judged(check.response)["notes"] if check.response.complete else []
        done(answer)

    resource.check()


exchanges = json.load(sys.stdin)
answers = []


def go_on(answer=None):
    """One after the other, in one run of the loop: connections live on in it."""
    if answer:
        answers.append(answer)
    if len(answers) == len(exchanges):
        thor.stop()
        return
    exchange = exchanges[len(answers)]
    if exchange["endless"]:
        thor.schedule(0, go_on, of_head(exchange))
    else:
        of_whole(exchange, lambda answer: thor.schedule(0, go_on, answer))


thor.schedule(0, go_on)
thor.run()
json.dump(answers, sys.stdout)
