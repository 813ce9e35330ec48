import { startChild, type ChildEnd, type Timeline } from '../child/supervise.js';
import type { HeldLease } from './holder-socket.js';
import type { InheritedLease } from './inherit.js';
import type { RunContext } from './run-context.js';
import { tellOfChild } from './tell-of-child.js';

/**
 * Runs the child under the lease of the outer run, with the deadline that the lease already has. Signals are handed to it.
 * @throws {MigrateLockError} when it could not be started, {Interrupted} when a signal came before that.
 */
export async function runUnderInheritedLease(
  { options, mark, events, desk, guard }: RunContext,
  file: string,
  inherited: InheritedLease,
  forwarded: Set<NodeJS.Signals>,
): Promise<ChildEnd> {
  const early = desk.hold();
  let timeline = timelineOf(inherited.lease);
  guard.moveDeadline(timeline.killAtMs);
  await guard.ready;
  early.throwIfAny();
  const child = await startChild({
    file,
    command: options.command,
    args: options.args,
    env: options.env, // the outer run's: the lease is the same
    instanceId: mark,
    stdio: [0, options.childStdout === 'stdout' ? 1 : 2, 2],
    timeline,
    killGraceMs: options.killGraceMs,
    guard,
    on: (happening) =>
      tellOfChild(events, options, happening, {
        deadlineMs: inherited.lease.termInMs,
        // At least: the lease lasts longer than its command may.
        expiresInMs: timeline.killAtMs - performance.now(),
      }),
  });
  inherited.watch(
    (lease) => {
      const moved = timelineOf(lease);
      if (!child.moveTimeline(moved)) return;
      timeline = moved;
      guard.moveDeadline(moved.killAtMs);
    },
    () => child.stop('lost'), // nobody holds the lease for us any more
  );
  early.passTo((signal) => {
    forwarded.add(signal);
    child.forward(signal);
  });
  return child.ended;
}

function timelineOf({ termInMs, killInMs }: HeldLease): Timeline {
  const nowMs = performance.now();
  return { termAtMs: nowMs + termInMs, killAtMs: nowMs + killInMs };
}
