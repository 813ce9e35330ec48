import type { Guard } from '../child/guard.js';
import { startChild, type ChildEnd, type ChildHappening, type Timeline } from '../child/supervise.js';
import type { HeldLease } from './holder-socket.js';
import type { InheritedLease } from './inherit.js';
import type { RunOptions } from './run.js';
import type { SignalDesk } from './signals.js';

/** Runs the child under the lease of the outer run, with the deadline that the lease already has. */
export async function runUnderInheritedLease(
  options: RunOptions,
  instanceId: string,
  file: string,
  inherited: InheritedLease,
  {
    desk,
    guard,
    on,
    forwarded,
  }: {
    desk: SignalDesk;
    guard: Guard;
    on: (happening: ChildHappening) => void;
    forwarded: Set<NodeJS.Signals>;
  },
): Promise<ChildEnd> {
  const early: NodeJS.Signals[] = [];
  desk.handTo((signal) => early.push(signal));
  const timeline = timelineOf(inherited.lease);
  guard.moveDeadline(timeline.killAtMs);
  await guard.ready;
  const child = await startChild({
    file,
    command: options.command,
    args: options.args,
    env: options.env, // the outer run's: the lease is the same
    instanceId,
    stdio: [0, options.childStdout === 'stdout' ? 1 : 2, 2],
    timeline,
    killGraceMs: options.killGraceMs,
    guard,
    on,
  });
  inherited.watch(
    (lease) => {
      const moved = timelineOf(lease);
      if (child.moveTimeline(moved)) guard.moveDeadline(moved.killAtMs);
    },
    () => child.stop('lost'), // nobody holds the lease for us any more
  );
  const forward = (signal: NodeJS.Signals): void => {
    forwarded.add(signal);
    child.forward(signal);
  };
  early.forEach(forward);
  desk.handTo(forward);
  return child.ended;
}

function timelineOf({ termInMs, killInMs }: HeldLease): Timeline {
  const nowMs = performance.now();
  return { termAtMs: nowMs + termInMs, killAtMs: nowMs + killInMs };
}
