#!/usr/bin/env python3
"""How good a run's estimate of its time left was: reads OUTPUT/cleave/events.jsonl of runs that have ended, and compares what `cleave` showed with what came.

    eta.py OUTPUT...

Of each run's last attempt: the error of the estimate at each tenth of the tiles, as a share of the time that was then left until the last of them, and the
largest from the first tenth to the last but one, at the ends of blocks and at all stages. Within the last tenth shares of nearly nothing say little.
"""
import datetime
import json
import pathlib
import sys


def seconds(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


def moments(path):
    """(share of tiles done, seconds since the start, estimate of seconds left, whether a block ends) of each stage and block, and the seconds of all."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    begin = max(index for index, event in enumerate(events) if event["event"] == "phase_begin" and event["phase"] == "compress")
    events = events[begin:]
    start = seconds(events[0])
    stages = [event for event in events if event["event"] == "stage_end"]
    total = sum(event["solved"] + event["reused"] for event in stages)
    end = max(seconds(event) for event in events if event["event"] == "block_end")
    done = 0
    found = []
    for event in events:
        if event["event"] == "stage_end":
            done += event["solved"] + event["reused"]
        if event["event"] in ("stage_end", "block_end") and event.get("secondsLeft") is not None:
            found.append((done / total, seconds(event) - start, event["secondsLeft"], event["event"] == "block_end"))
    return found, end - start


for output in sys.argv[1:]:
    found, whole = moments(pathlib.Path(output) / "cleave/events.jsonl")
    errors = [(share, (left - (whole - elapsed)) / (whole - elapsed), ends) for share, elapsed, left, ends in found if 0.1 <= share <= 0.9]
    tenths = [next((f"{share:.0%} {error:+.0%}" for share, error, _ in errors if share >= tenth / 10), None) for tenth in range(1, 10)]
    print(f"{output}: {whole:.1f} s, " + ", ".join(filter(None, tenths)))
    largest = [max((abs(error) for _, error, ends in errors if ends or every), default=0) for every in (False, True)]
    print(f"  largest error from the first tenth on: {largest[0]:.1%} at the ends of blocks, {largest[1]:.1%} at all stages")
