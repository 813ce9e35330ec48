import type { ChildHappening } from '../child/supervise.js';
import type { EventStream } from '../event-stream.js';
import { redactCommand } from '../redact/command.js';
import type { RunOptions } from './run-context.js';

/**
 * Makes audit events of what happens to the child, which knows of none. `deadlineMs`: until it is asked to end; `expiresInMs`:
 * until its lease is over.
 */
export function tellOfChild(
  { emit }: EventStream,
  { command, args, connection, ttlMs }: RunOptions,
  happening: ChildHappening,
  { deadlineMs, expiresInMs }: { deadlineMs: number; expiresInMs: number },
): void {
  switch (happening.type) {
    case 'started':
      return emit({
        event: 'child.started',
        childPid: happening.pid,
        command: redactCommand([command, ...args], connection.secrets),
        deadlineMs: Math.max(0, Math.round(deadlineMs)),
      });
    case 'unseen':
      return emit({ event: 'child.unseen' });
    case 'exited': {
      const { exitCode, signal, durationMs } = happening;
      return emit({ event: 'child.exited', exitCode, signal, durationMs: Math.round(durationMs) });
    }
    case 'deadline':
      return emit({
        event: 'child.deadline',
        ttlMs,
        ranMs: Math.round(happening.ranMs),
        expiresInMs: Math.max(0, Math.round(expiresInMs)),
      });
    case 'leftover':
      return emit({ event: 'child.leftover', count: happening.count });
    case 'stuck':
      return; // what becomes of the lease then is told
  }
}
