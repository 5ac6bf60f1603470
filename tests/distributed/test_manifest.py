"""The manifest for Kubernetes in the documentation, read as its parts would read it."""

import pathlib
import re

import pytest

from keras_strategies._internal.launcher.hosts import find_host_index
from keras_strategies.cli.main import build_parser

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "distributed.md"


@pytest.fixture(scope="module")
def documents():
    yaml = pytest.importorskip("yaml")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


def test_each_pod_is_a_host(documents):
    job = documents["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    assert program == "keras-strategies"
    parsed = build_parser().parse_args(arguments)
    hosts = parsed.hosts.split(",")
    service, name = documents["Service"], documents["Job"]["metadata"]["name"]
    subdomain = job["template"]["spec"]["subdomain"]
    assert service["metadata"]["name"] == subdomain
    assert service["spec"]["selector"] == {"job-name": name}
    assert hosts == [f"{name}-{i}.{subdomain}" for i in range(job["completions"])]
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]
    for index in range(len(hosts)):
        assert find_host_index(hosts, {"JOB_COMPLETION_INDEX": str(index)}) == index
    grace = job["template"]["spec"]["terminationGracePeriodSeconds"]
    assert parsed.grace_period < grace
    assert container["ports"] == [{"containerPort": parsed.port}]
    assert parsed.script == "train.py"


def test_every_command_of_the_page_is_one():
    lines = re.findall(r"^keras-strategies (launch .*)$", PAGE.read_text(), re.M)
    assert len(lines) >= 2
    for line in lines:
        parsed = build_parser().parse_args(line.split())
        assert parsed.script == "train.py"
