"""moto's server with what its own lacks: `python moto_server.py PORT`.

- It ends when whoever started it has ended, and removes the folder that it lies in.
- A clock for each region, which `POST /_clock/REGION?by_ms=N` moves, so that tests of leases do not wait. It answers by how
  many milliseconds the region's clock is ahead.
- One request at a time. moto's stores are plain dictionaries, so its own server, with its threads, breaks the promises that
  the services keep: atomic transactions, one receiver of a message. Long polls wait outside of the lock.
- A repeated call is the same call, as AWS documents: a transaction with the token of one that was done changes nothing and
  succeeds, a receive with the attempt id of an earlier one gets the same messages, and a message with the deduplication id of
  one that was sent in the last five minutes is not sent, also where that one is gone.
- A transaction of 100 writes copies the table once and not deeply, where moto copies it deeply for each write.
"""

import copy
import os
import re
import shutil
import sys
import threading
import time
import types
from pathlib import Path
from urllib.parse import parse_qs

import moto.dynamodb.models as dynamodb
import moto.dynamodb.responses as dynamodb_answers
import moto.sns.responses as sns_answers
import moto.sqs.models as sqs
import moto.sqs.responses as sqs_answers
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")
POLL_SECONDS = 0.02

lock = threading.Lock()
ahead_ms: dict[str, int] = {}
request = threading.local()


def now_ms(_=None):
    return time.time() * 1000 + ahead_ms.get(request.region, 0)


sqs.unix_time_millis = now_ms
sqs.unix_time = lambda _=None: now_ms() / 1000

receive_at_once = sqs.SQSBackend.receive_message


def receive_message(self, queue_name, count, wait_seconds_timeout, *rest, **more):
    end = time.monotonic() + wait_seconds_timeout
    while True:
        with lock:
            messages = receive_at_once(self, queue_name, count, 0, *rest, **more)
        if messages or time.monotonic() >= end:
            return messages
        time.sleep(POLL_SECONDS)


sqs.SQSBackend.receive_message = receive_message


# Calls by what makes them one, with when they succeeded and what they answered.
done = {}


def once(response, call, name, minutes):
    """Lets `call` of the service's `response` answer what it answered before, when it is made again under the same name soon."""
    first = getattr(response, call)

    def repeatable(self, *rest, **more):
        name_of_it = name(self)
        if name_of_it is None:
            return first(self, *rest, **more)
        key = (call, request.region, name_of_it)
        since, answer = done.get(key, (None, None))
        if since is None or now_ms() - since >= minutes * 60_000:
            since, answer = now_ms(), first(self, *rest, **more)
            done[key] = (since, answer)
        return answer

    setattr(response, call, repeatable)


def in_group(response):
    """A message of a FIFO queue or topic."""
    dedup = response._get_param("MessageDeduplicationId")
    return dedup and (response._get_param("QueueUrl") or response._get_param("TopicArn"), dedup)


once(dynamodb_answers.DynamoHandler, "transact_write_items", lambda self: self.body.get("ClientRequestToken"), 10)
once(sqs_answers.SQSResponse, "receive_message", lambda self: self._get_param("ReceiveRequestAttemptId"), 5)
once(sqs_answers.SQSResponse, "send_message", in_group, 5)
once(sns_answers.SNSResponse, "publish", in_group, 5)


def snapshot(value, *rest):
    """What a transaction that fails puts back: its writes replace items, and change none."""
    if not isinstance(value, dynamodb.Table):
        return copy.deepcopy(value, *rest)
    same = copy.copy(value)
    same.items = value.items.copy()
    for key, items in value.items.items():
        same.items[key] = dict(items)
    return same


dynamodb.copy = types.SimpleNamespace(deepcopy=snapshot, copy=copy.copy)


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    shutil.rmtree(Path(__file__).parent, ignore_errors=True)
    os._exit(0)


class Server:
    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].startswith("/_clock/"):
            return self.move_clock(environ, start_response)
        scope = SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
        request.region = scope[1] if scope else ""
        if environ.get("HTTP_X_AMZ_TARGET", "").endswith(".ReceiveMessage"):
            return self.moto(environ, start_response)
        with lock:
            return self.moto(environ, start_response)

    def move_clock(self, environ, start_response):
        region = environ["PATH_INFO"].removeprefix("/_clock/")
        by_ms = int(parse_qs(environ["QUERY_STRING"])["by_ms"][0])
        with lock:
            ahead_ms[region] = ahead_ms.get(region, 0) + by_ms
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(ahead_ms[region]).encode()]


class Handler(WSGIRequestHandler):
    # The default, HTTP/1.0, closes the connection after each answer.
    protocol_version = "HTTP/1.1"


threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
run_simple("127.0.0.1", int(sys.argv[1]), Server(), threaded=True, request_handler=Handler)
