#!/usr/bin/env python3
"""Runs the conformance suites against a real AWS account: `aws-account.py CARGO --region REGION --yes`.

It makes a table, a bucket, two queues and a topic of names that nothing has, for each case, by the account of the usual
credential chain (which AWS's command line tool must find, too), and removes them when all is done: what begins with the prefix that it prints. That costs money, a few dollars at
most, and takes hours: AWS makes a table in ten seconds or more. `--case WORD` runs only the cases whose names contain WORD.
Time is real there, so cases that wait for leases wait for them.
"""

import argparse
import os
import pathlib
import secrets
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cargo")
    parser.add_argument("--region", required=True)
    parser.add_argument("--case", default="aws::")
    parser.add_argument("--yes", action="store_true", help="make and remove resources in the account")
    arguments = parser.parse_args()
    if not arguments.yes:
        sys.exit("this makes resources in a real account and pays for them: say --yes")
    prefix = f"clarity-test-{secrets.token_hex(4)}-"
    print(f"resources begin with {prefix}", flush=True)
    number = aws(arguments.region, "sts", "get-caller-identity", "--query", "Account")[0]
    named = {"REGION": arguments.region, "NUMBER": number, "PREFIX": prefix}
    environment = os.environ | {f"CLARITY_AWS_ACCOUNT_{name}": value for name, value in named.items()}
    command = [arguments.cargo, "test", "-p", "adapters-aws", "--all-features", "--test", "it", arguments.case, "--"]
    tested = subprocess.run([*command, "--skip", "at_faults", "--test-threads", "4"], cwd=ROOT, env=environment)
    remove(arguments.region, prefix)
    sys.exit(tested.returncode)


def aws(region, *words):
    """The lines that AWS's own command line tool prints."""
    command = ["aws", "--region", region, "--output", "text", *words]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [word for word in printed.split() if word != "None"]


def remove(region, prefix):
    """Removes what the cases left. One thing that cannot be removed does not keep the others."""
    tables = aws(region, "dynamodb", "list-tables", "--query", f"TableNames[?starts_with(@, '{prefix}')]")
    buckets = aws(region, "s3api", "list-buckets", "--query", f"Buckets[?starts_with(Name, '{prefix}')].Name")
    queues = aws(region, "sqs", "list-queues", "--queue-name-prefix", prefix, "--query", "QueueUrls")
    topics = aws(region, "sns", "list-topics", "--query", f"Topics[?contains(TopicArn, ':{prefix}')].TopicArn")
    named = aws(region, "secretsmanager", "list-secrets", "--filters", f"Key=name,Values={prefix}",
                "--query", "SecretList[].Name")
    parameters = aws(region, "ssm", "describe-parameters", "--parameter-filters",
                     f"Key=Name,Option=BeginsWith,Values=/{prefix}", "--query", "Parameters[].Name")
    commands = [("dynamodb", "delete-table", "--table-name", name) for name in tables]
    commands += [("s3", "rb", "--force", f"s3://{name}") for name in buckets]
    commands += [("sqs", "delete-queue", "--queue-url", url) for url in queues]
    commands += [("sns", "delete-topic", "--topic-arn", arn) for arn in topics]
    commands += [("secretsmanager", "delete-secret", "--force-delete-without-recovery", "--secret-id", name) for name in named]
    commands += [("ssm", "delete-parameter", "--name", name) for name in parameters]
    for command in commands:
        if subprocess.run(["aws", "--region", region, *command], stdout=subprocess.DEVNULL).returncode:
            print(f"left: {command[-1]}", file=sys.stderr)


if __name__ == "__main__":
    main()
