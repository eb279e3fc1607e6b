"""`streamfilter canary`: how many of the dropped frames were useful after all."""

from __future__ import annotations

import json
from pathlib import Path

import click

from streamfilter.cli.output import say
from streamfilter.config import TASK_RULES


@click.command()
@click.argument("records", type=click.Path(path_type=Path))
@click.option("--feedback", type=click.Path(path_type=Path), help="JSON lines of input, index and useful (true|false).")
@click.option("--profile", "profile_path", type=click.Path(), help="The profile the run was made with.")
@click.option("--task", type=click.Choice(TASK_RULES), help="Tasks a frame must be useful to [the profile's, or any].")
@click.option("--block-seconds", type=float, help="Stretch of time whose frames are alike [60].")
def canary(
    records: Path, feedback: Path | None, profile_path: str | None, task: str | None, block_seconds: float | None
) -> None:
    """Print, as JSON, what the canaries in RECORDS and the answers on them say of all dropped frames.

    The share of them that was useful comes with its 95 % interval, and with a profile the share of useful frames lost
    beside the one promised, and how far the scores have drifted.
    """
    from streamfilter.audit import audit_records
    from streamfilter.canary_monitor import BLOCK_SECONDS
    from streamfilter.profile import Profile

    profile = None if profile_path is None else Profile.read(profile_path)
    found = audit_records(records, feedback, profile, task, BLOCK_SECONDS if block_seconds is None else block_seconds)
    told = {"records": found.records.read, "records_unreadable": len(found.records.bad), **found.trust.as_dict()}
    told["answers"] |= {"unreadable": len(found.feedback.bad), "ambiguous": found.ambiguous}
    told["events"] = [{"kind": event.kind, "detail": event.detail} for event in found.events]
    say(json.dumps(told, indent=2))
    problems = [found.records.problem(records), "" if feedback is None else found.feedback.problem(feedback)]
    for name, why in COUNTED_FOR_NOTHING.items():
        if told["answers"][name]:
            problems.append(f"{told['answers'][name]} answers {why}")
    for problem in filter(None, problems):
        click.echo(f"Warning: {problem}", err=True)


COUNTED_FOR_NOTHING = {
    "unknown": "are on frames that the records do not have as passed; they count for nothing",
    "ambiguous": "are on frames that the records have more than once; they count for nothing, split the records by run",
    "contradicting": "contradict an earlier one on the same frame; the earlier one stands",
    "repeated": "repeat an earlier one on the same frame",
}
