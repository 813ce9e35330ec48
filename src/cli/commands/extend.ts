import { formatDuration } from '../../text/duration.js';
import { MigrateLockError, UsageError } from '../../errors.js';
import type { ExitReason } from '../../exit-codes.js';
import { sendToHolder } from '../../run/holder/holder-client.js';
import { findEnclosing } from '../../run/holder/enclosing.js';
import { readSocketList } from '../../run/holder/socket-list.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { checkSchemaName } from '../../schema/schema-name.js';
import { quietOption } from '../options.js';
import { OwnOption } from '../own-option.js';
import { durationReader } from '../values.js';

export const addExtend: AddCommand = (program, processContext, onExitCode) => {
  const extend = program.command('extend').description('inside the command: make its lease last longer');
  for (const option of extendOptions()) extend.addOption(option);
  extend.action(async (values: ExtendOptionValues) => {
    onExitCode(await extendCommand(values, processContext));
  });
};

function extendOptions(): OwnOption[] {
  const ttl = new OwnOption('--ttl <duration>', 'how long the lease lasts from now, at least');
  const schema = new OwnOption(
    '--schema <name>',
    'which lock, inside several runs on different ones; default: that of the innermost run',
  );
  return [
    ttl.readBy(durationReader('10m')).makeOptionMandatory(),
    schema.readBy(checkSchemaName),
    quietOption(),
  ];
}

interface ExtendOptionValues {
  ttl: number;
  /** The lock whose lease it is; without it, that of the innermost run. */
  schema?: string;
  quiet: boolean;
}

/** Run inside the command: makes the lease last for at least `ttl` from now. */
async function extendCommand(
  { ttl, schema, quiet }: ExtendOptionValues,
  { env, reporterFor }: ProcessContext,
): Promise<number> {
  const { warn } = reporterFor(quiet);
  let isWarned = false;
  const answer = await sendToHolder(
    await chooseHolder(env, schema),
    { request: 'extend', ttlMs: ttl },
    {
      onTrying: (trying) => {
        if (!trying.ok && !isWarned) warn(`the holder tries again: ${trying.message}`);
        isWarned = true;
      },
    },
  );
  if (!answer.ok) throw notExtended(answer.code, answer.message);
  warn(`the lease now lasts until ${answer.lease.expiresAt}, at least ${formatDuration(ttl)}`);
  return 0;
}

/** `lost` means that the lease has ended, or that the holder cannot be reached. */
const EXITS: Record<string, ExitReason> = {
  TOO_LATE: 'deadline',
  DATABASE_UNREACHABLE: 'unreachable',
  DATABASE_REFUSED: 'refused',
  DATABASE_FAULT: 'refused',
  INVALID_ANSWER: 'refused',
  PERMISSION_DENIED: 'denied',
  SCHEMA_NOT_TRUSTED: 'denied',
};

function notExtended(code: string, reason: string): MigrateLockError {
  const message = `The lease was not extended: ${reason}.`;
  if (code === 'USAGE') {
    return new UsageError(
      message,
      'Use a shorter --ttl, or let the owner of the lock raise the limit with migrate-lock init --max-ttl.',
    );
  }
  const exit = EXITS[code] ?? 'lost';
  const hint =
    exit === 'lost' || exit === 'deadline'
      ? 'The lease has ended, or is about to end: stop, and run the migration again with a longer --ttl.'
      : 'The command is ended before the lease. Until then you can try extend again.';
  return new MigrateLockError(message, { code: 'EXTEND_REFUSED', exit, hint });
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
        `No enclosing run holds the lock ${JSON.stringify(schema)}${why}.`,
        'Use the --schema of the run that needs more time.',
      );
    }
  }
  if (innermost !== undefined && innermost !== '') return innermost;
  if (env.MIGRATE_LOCK_INSTANCE_ID !== undefined && env.MIGRATE_LOCK_INSTANCE_ID !== '') {
    throw new UsageError(
      'The lease cannot be extended from here: the run has no socket.',
      'It has warned about that when it started, or its environment was not passed on. Give the run a longer --ttl.',
    );
  }
  throw new UsageError(
    'There is no lease to extend: this is not the command of a migrate-lock run.',
    'Use it inside the command of a migrate-lock run, as in: migrate-lock run -- sh -c "migrate-lock extend --ttl 10m; ..."',
  );
}
