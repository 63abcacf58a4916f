"""Lets pytest run moto's tests of Kinesis against another server than moto's, as the service's callers go about it.

Nothing that a test asserts is changed. Around it:
- Streams are removed before each test through the API, where moto's server has a call that forgets everything.
- Who makes, changes or removes a stream waits until it is ACTIVE, or gone: the service asks that of its callers, and
  moto's server does all of it within the call.
- The account number that tests expect stands for the server's, in requests and answers.
- STS, which tests ask for nothing but that number, is answered here.

What became of each test goes to the file that OUTCOMES names, as JSON.
"""

import functools
import json
import os
import time

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.handlers import BUILTIN_HANDLERS

ENDPOINT = os.environ["TEST_SERVER_MODE_ENDPOINT"]
OUR_ACCOUNT = os.environ["ACCOUNT"].encode()
THEIR_ACCOUNT = b"123456789012"
# What is done some time after its answer.
SLOW = ["CreateStream", "DeleteStream", "MergeShards", "SplitShard", "UpdateShardCount", "UpdateStreamMode"]

# Before moto's decorators put another function there.
make_client = boto3.client
outcomes = {}


@functools.cache
def kinesis():
    return make_client("kinesis", endpoint_url=ENDPOINT, region_name="us-east-1")


def streams():
    return kinesis().list_streams()["StreamSummaries"]


def settle(**_):
    # Counted, not timed: some tests stop the clock.
    for _ in range(3_000):
        found = streams()
        if all(stream["StreamStatus"] == "ACTIVE" for stream in found):
            return
        time.sleep(0.01)
    raise AssertionError(f"these did not all become ACTIVE: {found}")


def to_ours(params, **_):
    params["body"] = params["body"].replace(THEIR_ACCOUNT, OUR_ACCOUNT)


def to_theirs(response_dict, **_):
    response_dict["body"] = response_dict["body"].replace(OUR_ACCOUNT, THEIR_ACCOUNT)


def identity(**_):
    return AWSResponse("", 200, {}, None), {"Account": THEIR_ACCOUNT.decode()}


BUILTIN_HANDLERS.extend(
    [("before-call.kinesis", to_ours), ("before-parse.kinesis", to_theirs)]
    + [("before-call.sts.GetCallerIdentity", identity)]
    + [(f"after-call.kinesis.{operation}", settle) for operation in SLOW]
)


@pytest.fixture(autouse=True)
def nothing_is_left():
    for stream in streams():
        kinesis().delete_stream(StreamName=stream["StreamName"], EnforceConsumerDeletion=True)


def pytest_runtest_logreport(report):
    """Keeps a test's outcome: that of its call, or of whatever else went wrong or was skipped."""
    if report.when == "call" or report.outcome != "passed":
        said = report.longrepr.reprcrash.message if report.failed else ""
        outcomes[report.nodeid.removeprefix("tests/test_kinesis/")] = [report.outcome, said]


def pytest_sessionfinish():
    with open(os.environ["OUTCOMES"], "w") as file:
        json.dump(outcomes, file)
