import type { Occurrence } from '../events.js';
import { ensureSchema } from '../schema/apply.js';
import type { Attempt } from './answers.js';
import type { LockCalls } from './calls.js';
import type { ClientDescription, Identity } from './lease.js';
import type { PollOptions } from './poll-call.js';

/**
 * The first attempt. The lock schema is almost always there: it is looked at in the same call, and applied or upgraded only
 * where that finds that it must be.
 * @throws what ensureSchema() and the calls throw.
 */
export async function enter(
  calls: LockCalls,
  me: Identity,
  client: ClientDescription,
  options: PollOptions,
  { emit, signal }: { emit: (occurrence: Occurrence) => void; signal: AbortSignal },
): Promise<Attempt> {
  const attempt = await calls.enter(me, client, options);
  if (attempt !== null) return attempt;
  const applied = await ensureSchema(calls.database, calls.schema);
  if (applied !== null) emit({ event: 'schema.applied', ...applied });
  signal.throwIfAborted();
  return calls.poll(me, client, options);
}
