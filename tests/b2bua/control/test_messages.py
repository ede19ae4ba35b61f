"""The list of verbs in the documentation of the protocol is what a worker answers."""

import re

from b2bua.control import messages
from b2bua.worker import Worker
from conf.settings import Settings


def test_worker_answers_exactly_the_verbs_that_are_documented() -> None:
    assert messages.__doc__ is not None
    documented = set(re.findall(r"^    (\w+) .*->", messages.__doc__, re.MULTILINE))
    assert documented == set(Worker(Settings(), "sip-1")._verbs())
