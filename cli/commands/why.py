"""`spawn queue why`."""

from typing import Annotated

import typer

from spawn.cli.flags import At, QueueId, Where
from spawn.cli.located import located


@located
def why(
    queue_id: QueueId,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="The causes as objects.")] = False,
    at: At = None,
    *,
    where: Where,
) -> None:
    """Say why a job waits, is tried again, is blocked or has failed.

    In sentences: the answer, its causes, what came before, what to do next. Only what the log says.
    """
    import sys

    from spawn.cli import bootstrap
    from spawn.cli.account import expect_begun, opened
    from spawn.cli.jobs import expect_job
    from spawn.cli.render.style import style_for
    from spawn.cli.render.why import as_json, render
    from spawn.core.moments import stamp
    from spawn.core.replay import Replay
    from spawn.core.why.answer import explain, recall

    with opened(queue_id, at, where) as (
        source,
        then,
    ):
        expect_job(job, source.state.jobs, source.queue_id)
        expect_begun(source)
        asked = then is None and not source.state.ended
        seen = source.report(then or bootstrap.now())
        now = then or seen.as_of  # of a silent queue: when it was last heard of
        alive = seen.runner_alive if asked else None
        fold = Replay(source.queue_id)  # of its own: it says how far the log is read
        fold.feed(source.rows(), until=None if then is None else stamp(then))
        history = recall(fold.state, source.rows(), [job], last=fold.seq)
    answer = explain(
        fold.state,
        history,
        job,
        now=now,
        runner_alive=alive,
        seen=seen if asked else None,
        past=then is not None,
        elsewhere=seen.origin is not None and not seen.there,
        target=seen.target,
    )
    if json:
        import msgspec

        shaped = as_json(answer, None)
        print(msgspec.json.format(msgspec.json.encode(shaped), indent=2).decode())
    else:
        print("\n".join(render(answer, None, style_for(sys.stdout))))
