import type { ChildEvent } from '../child/supervise.js';
import type { EventStream } from '../events/event-stream.js';
import { redactCommand } from '../redact/command.js';
import type { RunOptions } from './run-context.js';

/**
 * Makes audit events of what happens to the child, which knows of none. `deadlineMs`: until it is asked to end; `expiresInMs`:
 * until its lease is over.
 */
export function tellOfChild(
  { emit }: EventStream,
  { command, args, connection, ttlMs }: RunOptions,
  event: ChildEvent,
  { deadlineMs, expiresInMs }: { deadlineMs: number; expiresInMs: number },
): void {
  switch (event.type) {
    case 'started':
      return emit({
        event: 'child.started',
        childPid: event.pid,
        command: redactCommand([command, ...args], connection.secrets),
        deadlineMs: Math.max(0, Math.round(deadlineMs)),
      });
    case 'unseen':
      return emit({ event: 'child.unseen' });
    case 'exited': {
      const { exitCode, signal, durationMs } = event;
      return emit({ event: 'child.exited', exitCode, signal, durationMs: Math.round(durationMs) });
    }
    case 'deadline':
      return emit({
        event: 'child.deadline',
        ttlMs,
        ranMs: Math.round(event.ranMs),
        expiresInMs: Math.max(0, Math.round(expiresInMs)),
      });
    case 'leftover':
      return emit({ event: 'child.leftover', count: event.count });
    case 'stuck':
      return; // what becomes of the lease then is told
  }
}
