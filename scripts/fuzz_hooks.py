"""What the fuzzer needs to know of Clarity: who is calling, and what would end the caller's own session."""

import json
import os
import re
import urllib.request
import uuid

import schemathesis

BASE = os.environ["CLARITY_FUZZ_BASE"]

# What these do ends the session, the second factor or the account that asks. Somebody new asks each time, so that the rest
# goes on.
ENDS_THE_CALLER = re.compile(r"^/api/v1/(auth/(logout|mfa|sessions|password)|users/me$)")


def call(method, path, body=None, token=None):
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=30) as answer:
        return json.load(answer)


class Person:
    """Somebody who signed up."""

    def __init__(self):
        body = {"email": f"{uuid.uuid4().hex}@example.org", "password": uuid.uuid4().hex}
        self.token = call("POST", "/api/v1/auth/register", body)["access_token"]
        self.user_id = call("GET", "/api/v1/auth/me", token=self.token)["user_id"]


CALLER = Person()


@schemathesis.auth(refresh_interval=None)
class Auth:
    def get(self, case, ctx):
        return CALLER

    def set(self, case, person, ctx):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {person.token}"


def is_uuid(value):
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


@schemathesis.hook
def before_call(context, case, kwargs):
    person = CALLER
    if ENDS_THE_CALLER.match(case.operation.path) and case.method.upper() != "GET":
        if (case.headers or {}).get("Authorization") == f"Bearer {CALLER.token}":
            person = Person()
            case.headers["Authorization"] = f"Bearer {person.token}"
    # Any user's id fits the schema, and any but the caller's is refused at the door: half of them become the caller's own.
    for holder in (case.body, case.path_parameters):
        if isinstance(holder, dict) and is_uuid(holder.get("user_id")) and int(holder["user_id"][-1], 16) % 2 == 0:
            holder["user_id"] = person.user_id
