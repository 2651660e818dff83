"""What the fuzzer needs to know of Clarity: who is calling, and what would end the caller's own session."""

import itertools
import json
import os
import re
import urllib.request
import uuid

import schemathesis

BASE = os.environ["CLARITY_FUZZ_BASE"]

# What these do ends the session, the second factor or the account that asks. Somebody new asks each time, so that the rest
# goes on.
ENDS_THE_CALLER = re.compile(r"^/api/v1/(auth/(logout|mfa|sessions|me)|users/me$)")


def call(method, path, body=None, token=None):
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=30) as answer:
        return json.load(answer)


class Person:
    """Somebody who is signed in: with the given e-mail and password, or newly signed up."""

    def __init__(self, sign_in=None):
        path = "/api/v1/auth/login" if sign_in else "/api/v1/auth/register"
        self.sign_in = sign_in or {"email": f"{uuid.uuid4().hex}@example.org", "password": uuid.uuid4().hex}
        tokens = call("POST", path, self.sign_in)
        self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        self.user_id = call("GET", "/api/v1/auth/me", token=self.token)["user_id"]


CALLER = Person()
CLINICIAN = Person(json.loads(os.environ["CLARITY_FUZZ_CLINICIAN"]))
OPERATOR = Person(json.loads(os.environ["CLARITY_FUZZ_OPERATOR"]))
COUNT = itertools.count()


@schemathesis.auth(refresh_interval=None)
class Auth:
    def get(self, case, ctx):
        path = case.operation.path
        if path.startswith("/api/v1/operator/"):
            return OPERATOR
        return CLINICIAN if path.startswith("/api/v1/clinician/") else CALLER

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
    if ENDS_THE_CALLER.match(case.operation.path) and case.method != "GET":
        if (case.headers or {}).get("Authorization") == f"Bearer {CALLER.token}":
            person = Person()
            case.headers["Authorization"] = f"Bearer {person.token}"
    # An operator bars people, and takes their roles away: never those who do the asking.
    is_operator = case.operation.path.startswith("/api/v1/operator/users/")
    if is_operator and isinstance(case.path_parameters, dict) and is_uuid(case.path_parameters.get("user_id")):
        case.path_parameters["user_id"] = Person().user_id
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    # Any user's id fits the schema, and any but the caller's is refused at the door: most become the caller's own.
    for holder in () if is_operator else (case.body, case.path_parameters):
        if isinstance(holder, dict) and is_uuid(holder.get("user_id")) and int(holder["user_id"][-1], 16) % 4:
            holder["user_id"] = person.user_id
    if isinstance(case.body, dict) and "clinician_email" in case.body and case.body.get("clinician_id") is None:
        case.body["clinician_email"] = CLINICIAN.sign_in["email"]
    is_fourth = next(COUNT) % 4 == 0
    # One key belongs to one request.
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    # Nobody guesses a password or a refresh token.
    if not is_fourth and case.operation.path == "/api/v1/auth/login":
        case.body = dict(case.body, **CALLER.sign_in)
    if not is_fourth and case.operation.path == "/api/v1/auth/refresh" and isinstance(case.body, dict):
        case.body = dict(case.body, refresh_token=Person().refresh_token)
    # As many timestamps as counts: JSON Schema cannot say it.
    if isinstance(case.body, dict) and {"step_counts", "timestamps"} <= case.body.keys():
        count = min(len(case.body["step_counts"]), len(case.body["timestamps"]))
        for name in ("step_counts", "timestamps"):
            case.body[name] = case.body[name][:count]
