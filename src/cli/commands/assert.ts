import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { OwnDatabase } from '../../db/own-database.js';
import { UsageError } from '../../errors.js';
import { assertLease } from '../../lock/assert-lease.js';
import { LockCalls } from '../../lock/calls.js';
import { findEnclosing } from '../../run/holder/enclosing.js';
import { readSocketList } from '../../run/holder/socket-list.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import type { AddCommand, ProcessContext } from '../process-context.js';

export const addAssert: AddCommand = (program, processContext, onExitCode) => {
  const assert = program
    .command('assert')
    .description('inside the command: exit 0 while its lease is held, 70 when it is not');
  for (const option of connectionOptions()) assert.addOption(option);
  assert.action(async (values: ConnectionOptionValues) => {
    onExitCode(await assertCommand(values, processContext));
  });
};

/** Run inside the command: exits 0 while its lease is held, 70 when it is not. */
async function assertCommand(
  values: ConnectionOptionValues,
  { env, reporterFor }: ProcessContext,
): Promise<number> {
  const { instanceId = '', fencingToken } = await findLease(env, values.schema);
  if (instanceId === '' || !Number.isSafeInteger(fencingToken)) {
    throw new UsageError(
      'There is no lease to assert: MIGRATE_LOCK_INSTANCE_ID and MIGRATE_LOCK_FENCING_TOKEN are not set.',
      'Use it inside the command of a migrate-lock run.',
    );
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const database = new OwnDatabase(connection);
  try {
    await assertLease(new LockCalls(database, values.schema), { instanceId, fencingToken });
  } finally {
    database.disconnect();
  }
  reporterFor(values.quiet).warn(`the lease ${instanceId} (token ${fencingToken}) is held`);
  return 0;
}

/** Inside several runs, the lease of the lock `schema`; otherwise the lease that the variables name. */
async function findLease(
  env: NodeJS.ProcessEnv,
  schema: string,
): Promise<{ instanceId: string | undefined; fencingToken: number }> {
  if (readSocketList(env).length > 1) {
    const found = await findEnclosing(env, (lease) => lease.schema === schema);
    if ('lease' in found) return found.lease;
  }
  return {
    instanceId: env.MIGRATE_LOCK_INSTANCE_ID,
    fencingToken: Number(env.MIGRATE_LOCK_FENCING_TOKEN),
  };
}
