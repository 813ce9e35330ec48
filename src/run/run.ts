import { hostname } from 'node:os';
import { Guard } from '../child/guard.js';
import { newMark } from '../child/instance-mark.js';
import { OwnDatabase } from '../db/own-database.js';
import { createEventStream, type EventStream } from '../events/event-stream.js';
import type { EventListener } from '../events/events.js';
import { CALL_LIMIT_MS, LockCalls } from '../lock/calls.js';
import { newIdentity } from '../lock/lease.js';
import { tellFailure } from './failure.js';
import type { RunResult } from './outcome.js';
import type { RunOptions } from './run-context.js';
import { SignalRouter } from './signals.js';
import { Story } from './story.js';

/** What the guard and its release program need of our environment: nothing that could be a secret. */
const GUARD_VARIABLES = [
  'PATH',
  'HOME',
  'LANG',
  'TZ',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
];

/**
 * The one story: apply the schema, acquire the lease or wait for it, run the child, release.
 * @returns the exit code; never throws. Everything that happens is told to the listeners, last `run.finished`.
 */
export async function run(options: RunOptions, listeners: readonly EventListener[]): Promise<number> {
  const startedAtMs = performance.now();
  const me = newIdentity();
  const events = createEventStream(
    {
      instanceId: me.instanceId,
      host: hostname(),
      pid: process.pid,
      database: options.connection.database,
      schema: options.schema,
    },
    listeners,
  );
  const router = new SignalRouter();
  const database = new OwnDatabase(options.connection);
  // While the server makes a session for us, the guard is started.
  database.prepare(CALL_LIMIT_MS);
  const mark = newMark();
  const guard = startGuard(options, mark, events);
  let result: RunResult;
  try {
    const calls = new LockCalls(database, options.schema, options.orphans);
    result = await new Story({ options, mark, events, router, calls, guard }, me).play();
  } catch (error) {
    result = tellFailure(error, options, events);
  } finally {
    guard.dismiss();
    database.disconnect();
    router.close();
  }
  const durationMs = Math.round(performance.now() - startedAtMs);
  events.emit({ event: 'run.finished', ...result, durationMs });
  return result.exitCode;
}

/** Early: it costs nothing while the database is being asked. */
function startGuard(options: RunOptions, mark: string, { emit }: EventStream): Guard {
  let restarts = 0;
  return new Guard({
    mark,
    releaseProgram: options.releaseProgram,
    env: Object.fromEntries(GUARD_VARIABLES.map((name) => [name, options.env[name]])),
    on: (event) => {
      if (event.type === 'restarted') emit({ event: 'guard.restarted', restarts: ++restarts });
      else emit({ event: 'guard.absent', reason: event.reason });
    },
  });
}
