import { formatDuration } from '../../duration.js';
import { MigrateLockError, UsageError } from '../../errors.js';
import { askHolder } from '../../run/ask-holder.js';
import { findEnclosing } from '../../run/enclosing.js';
import { readSocketList } from '../../run/socket-list.js';
import type { Surroundings } from '../surroundings.js';

export interface ExtendOptionValues {
  ttl: number;
  /** The lock whose lease it is; without it, that of the innermost run. */
  schema?: string;
  quiet: boolean;
}

/** Run from inside the command: makes the lease last for at least `ttl` from now. */
export async function extendCommand(
  { ttl, schema, quiet }: ExtendOptionValues,
  { env, reporterFor }: Surroundings,
): Promise<number> {
  const answer = await askHolder(await chooseHolder(env, schema), { request: 'extend', ttlMs: ttl });
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

/** @returns the holder's socket. */
async function chooseHolder(env: NodeJS.ProcessEnv, schema: string | undefined): Promise<string> {
  const [innermost] = readSocketList(env);
  if (schema !== undefined) {
    const found = await findEnclosing(env, (lease) => lease.schema === schema);
    if ('socketPath' in found) return found.socketPath;
    if (innermost !== undefined) {
      const why = found.problems.map((problem) => ` (${problem})`).join('');
      throw new UsageError(
        `No run that this process is inside of holds the lock ${JSON.stringify(schema)}${why}.`,
        'Write the --schema of the run that is to have more time.',
      );
    }
  }
  if (innermost !== undefined && innermost !== '') return innermost;
  if (env.MIGRATE_LOCK_INSTANCE_ID !== undefined && env.MIGRATE_LOCK_INSTANCE_ID !== '') {
    throw new UsageError(
      'The lease cannot be extended from here: the run has no socket to ask it over.',
      'It has said so when it started, and why, or its environment was not passed on. Give the run a longer --ttl.',
    );
  }
  throw new UsageError(
    'There is no holder to ask: this is not the command of a migrate-lock run.',
    'Use it inside the command of a migrate-lock run, as in: migrate-lock run -- sh -c "migrate-lock extend --ttl 10m; ..."',
  );
}
