"""Countdown of the micro world (see countdown_micro.py) on the tuning problems, on which settings are chosen."""

from agrae_lab.tasks.text.countdown_micro import CountdownMicro, splits


class CountdownMicroTune(CountdownMicro):
    name = "countdown_micro_tune"

    def problems(self, split: str) -> list[dict[str, str | int]]:
        return splits()["tune" if split == "test" else split]


TASK = CountdownMicroTune()
