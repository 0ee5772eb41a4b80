"""`spawn queue why`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, LocationFlags, QueueId
from spawn.cli.support.location_flags import with_location_flags


@with_location_flags
def why(
    queue_id: QueueId,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Job ID.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Output in JSON format.")] = False,
    at: At = None,
    *,
    where: LocationFlags,
) -> None:
    """Explain why a job is waiting, retrying, blocked or failed.

    Prints the answer, its causes, earlier attempts and what to do next, as far as the log tells.

    Examples:
        spawn queue why pipeline-20260127 train
        spawn queue why i-0123456789abcdef0 evaluate --json
    """
    import sys

    from spawn.cli import host
    from spawn.cli.output.style import style_for
    from spawn.cli.output.why import as_json, render
    from spawn.cli.support.jobs import expect_job
    from spawn.cli.support.open_at import expect_events, open_queue_at
    from spawn.core.domain.replay import Replay
    from spawn.core.reports.why.explain import collect_history, explain
    from spawn.core.values.timestamps import format_timestamp

    with open_queue_at(queue_id, at, where) as (
        source,
        then,
    ):
        expect_job(job, source.state.jobs, source.queue_id)
        expect_events(source)
        current = then is None and not source.state.ended
        seen = source.report(then or host.now())
        now = then or seen.as_of  # for a silent runner: when it was last heard from
        alive = seen.runner_alive if current else None
        fold = Replay(source.queue_id)  # a separate fold, whose seq says how far the log was read
        fold.feed(source.rows(), until=None if then is None else format_timestamp(then))
        history = collect_history(fold.state, source.rows(), [job], last=fold.seq)
    answer = explain(
        fold.state,
        history,
        job,
        now=now,
        runner_alive=alive,
        seen=seen if current else None,
        past=then is not None,
        elsewhere=seen.origin is not None and not seen.target_can_resume,
        target=seen.target,
    )
    if json:
        import msgspec

        shaped = as_json(answer, None)
        print(msgspec.json.format(msgspec.json.encode(shaped), indent=2).decode())
    else:
        print("\n".join(render(answer, None, style_for(sys.stdout))))
