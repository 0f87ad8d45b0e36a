"""Countdown (see countdown.py) on the tuning problems, on which settings are chosen."""

from agrae_lab.tasks.text.countdown import Countdown


class CountdownTune(Countdown):
    name = "countdown_tune"


TASK = CountdownTune()
