import { formatDuration } from '../../duration.js';
import { MigrateLockError, UsageError } from '../../errors.js';
import { askHolder } from '../../run/ask-holder.js';
import type { Surroundings } from '../surroundings.js';

export interface ExtendOptionValues {
  ttl: number;
  quiet: boolean;
}

/** Run from inside the command: makes the lease last for at least `ttl` from now. */
export async function extendCommand(
  { ttl, quiet }: ExtendOptionValues,
  { env, reporterFor }: Surroundings,
): Promise<number> {
  const answer = await askHolder(env, { request: 'extend', ttlMs: ttl });
  if (!answer.ok && answer.code === 'USAGE') {
    throw new UsageError(
      `The lease was not extended: ${answer.message}.`,
      'Ask for less, or let the owner of the lock raise the limit with migrate-lock init --max-ttl.',
    );
  }
  if (!answer.ok) {
    throw new MigrateLockError(`The lease was not extended: ${answer.message}.`, {
      code: 'EXTEND_REFUSED',
      exit: 'lost',
      hint: 'The lease is over, or about to be: stop, and run the migration again with a longer --ttl.',
    });
  }
  reporterFor(quiet).warn(
    `the lease lasts until ${answer.lease.expiresAt} now, at least ${formatDuration(ttl)}`,
  );
  return 0;
}
