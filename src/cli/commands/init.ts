import { hostname } from 'node:os';
import { createEventLog } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { OwnDatabase } from '../../db/own-database.js';
import { explain } from '../../db/explain.js';
import { UsageError } from '../../errors.js';
import { createEventStream } from '../../events/event-stream.js';
import { newIdentity } from '../../lock/lease.js';
import {
  sendOwnerCalls,
  ownerCalls,
  printCall,
  type Admission,
  type OwnerCall,
} from '../../admin/owner-calls.js';
import { ensureSchema, type SchemaApplied } from '../../schema/apply.js';
import { printSchema } from '../../schema/print.js';
import { printLines } from '../print-lines.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { OwnOption } from '../own-option.js';
import { durationReader, numberReader } from '../values.js';

export const addInit: AddCommand = (program, processContext, onExitCode) => {
  const init = program
    .command('init')
    .description('apply the lock schema, and set who may use the lock and its limits')
    .option('--print', 'print the SQL for a database administrator to apply, and change nothing', false);
  for (const option of [...initOptions(), ...connectionOptions()]) init.addOption(option);
  init.action(async (values: InitOptionValues) => {
    onExitCode(await initCommand(values, processContext));
  });
};

/** More is no limit. */
const MOST_ATTEMPTS = 100_000;

/** What the owner of the lock decides with `init`. */
function initOptions(): OwnOption[] {
  return [
    new OwnOption('--grant-to <role>', 'let this role use the lock, and nothing else'),
    new OwnOption('--revoke <role>', 'take the right to use the lock from this role'),
    new OwnOption(
      '--child-role <role>',
      'a role as which the commands of the runs connect to the database; can be repeated. With --grant-to: of the runs ' +
        "of that role; with --revoke: it is one no longer; alone: of the owner's own runs",
    )
      .default([], 'none')
      .argParser((value: string, before: string[]) => [...before, value]),
    new OwnOption('--max-ttl <duration>', 'the longest lease that this lock allows').readBy(
      durationReader('1h'),
    ),
    new OwnOption(
      '--rate-limit <n>',
      'how many attempts a second each client may make (a role at an address), and five times as many all together',
    ).readBy(numberReader('a number', 1, MOST_ATTEMPTS, 200)),
  ];
}

interface OwnerOptionValues {
  grantTo?: string;
  revoke?: string;
  childRole: string[];
  /** Milliseconds. */
  maxTtl?: number;
  /** Attempts a second. */
  rateLimit?: number;
}

interface InitOptionValues extends ConnectionOptionValues, OwnerOptionValues {
  print: boolean;
}

/**
 * Applies the lock schema, the grants and the limits, or prints the SQL for a database administrator to apply.
 */
async function initCommand(values: InitOptionValues, processContext: ProcessContext): Promise<number> {
  const { env, stdout, reporterFor } = processContext;
  const calls = readDecisions(values);
  if (values.print) {
    const following = calls.map((call) => printCall(values.schema, call));
    await printLines(stdout, [printSchema(values.schema, following).trimEnd()]);
    return 0;
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const reporter = reporterFor(values.quiet);
  const database = new OwnDatabase(connection);
  try {
    const applied = await ensureSchema(database, values.schema);
    if (applied !== null) {
      const context = {
        instanceId: newIdentity().instanceId,
        host: hostname(),
        pid: process.pid,
        database: connection.database,
        schema: values.schema,
      };
      const { emit } = createEventStream(context, [createEventLog(stdout), reporter.onEvent]);
      emit({ event: 'schema.applied', ...applied });
    }
    const admission = await sendOwnerCalls(database, values.schema, calls);
    for (const line of describeDecided(values, applied, calls, admission)) reporter.warn(line);
    return 0;
  } catch (error) {
    throw explain(error, connection.describe, values.schema);
  } finally {
    database.disconnect();
  }
}

function readDecisions({ grantTo, revoke, childRole, maxTtl, rateLimit }: OwnerOptionValues): OwnerCall[] {
  if (grantTo !== undefined && revoke !== undefined) {
    throw new UsageError('--grant-to and --revoke exclude each other.', 'Run init once for each.');
  }
  return ownerCalls({
    childRoles: childRole,
    ...(revoke === undefined ? {} : { expelled: revoke }),
    ...(grantTo === undefined ? {} : { role: grantTo }),
    ...(maxTtl === undefined ? {} : { maxTtlMs: maxTtl }),
    ...(rateLimit === undefined ? {} : { attemptsPerSecond: rateLimit }),
  });
}

function describeDecided(
  { schema, grantTo, revoke, childRole }: InitOptionValues,
  applied: SchemaApplied | null,
  calls: readonly OwnerCall[],
  admission: Admission | null,
): string[] {
  const unchanged = calls.length === 0 ? ', nothing was changed' : '';
  const lines = applied === null ? [`the lock schema "${schema}" is there already${unchanged}`] : [];
  if (calls.some(({ statement }) => statement === 'configure')) lines.push('the limits of the lock are set');
  if (revoke !== undefined) {
    lines.push(
      childRole.length > 0
        ? `${childRole.join(', ')} is no longer a child role of ${revoke}`
        : `${revoke} may no longer use the lock; a lease that it holds expires`,
    );
  }
  if (admission === null) return lines;
  if (grantTo !== undefined) lines.push(`${grantTo} may now use the lock, and do nothing else with it`);
  return [...lines, ...admission.roles.flatMap((reach) => describeReach(admission.owner, reach))];
}

/** Shows whether a takeover can end the sessions of a role, and whether the role can read the lock's tables. */
function describeReach(
  owner: string,
  { role, canSee, canEnd, tables }: Admission['roles'][number],
): string[] {
  const lacks = [...(canSee ? [] : ['pg_read_all_stats']), ...(canEnd ? [] : ['pg_signal_backend'])];
  return [
    lacks.length === 0
      ? `${owner}, the owner of the lock, can see and end the sessions of ${role}`
      : `${owner}, the owner of the lock, lacks ${lacks.join(' and ')}: sessions of ${role} that a crashed run leaves are waited for, not ended`,
    ...(tables
      ? [`${role} can still read or change the lock's tables, through a role that it is a member of`]
      : []),
  ];
}
