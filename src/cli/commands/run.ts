import { resolve } from 'node:path';
import { createAuditLog } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { UsageError } from '../../errors.js';
import { MetricsFile } from '../../metrics/metrics-file.js';
import { hasOwnApplicationName } from '../../run/child-environment.js';
import { run } from '../../run/run.js';
import type { OnceOptions } from '../../run/run-context.js';
import type { RunOptionValues } from '../options.js';
import { RELEASE_AFTER_CRASH } from './release-after-crash.js';
import type { Surroundings } from '../surroundings.js';

export async function runCommand(
  [command, ...args]: readonly string[],
  values: RunOptionValues,
  { env, cwd, program, stdout, reporterFor }: Surroundings,
): Promise<number> {
  if (command === undefined) {
    throw new UsageError(
      'There is no command to run.',
      'Write it after --, as in: migrate-lock run -- knex migrate:latest',
    );
  }
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const reporter = reporterFor(values.quiet);
  if (connection.ignored.length > 0) {
    reporter.warn(`ignored parameters of the database URL: ${connection.ignored.join(', ')}`);
  }
  if (hasOwnApplicationName(env)) {
    reporter.warn('PGAPPNAME is set: database sessions of the command cannot be found if it is killed');
  }
  const metrics = values.metricsFile === undefined ? null : new MetricsFile(resolve(cwd, values.metricsFile));
  const exitCode = await run(
    {
      command,
      args,
      env,
      cwd,
      connection,
      schema: values.schema,
      ttlMs: values.ttl,
      waitTimeoutMs: values.waitTimeout,
      pollIntervalMs: values.pollInterval,
      killGraceMs: values.killGrace,
      orphans: values.orphans,
      listen: values.listen,
      once: readOnce(values),
      releaseProgram: [...program, RELEASE_AFTER_CRASH],
      childStdout: values.childStdout,
      conflictExitCode: values.conflictExitCode,
    },
    [createAuditLog(stdout), reporter.onEvent, ...(metrics === null ? [] : [metrics.onEvent])],
  );
  await metrics?.write().catch((error: unknown) => {
    reporter.warn(
      `the metrics could not be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  });
  return exitCode;
}

function readOnce({ once, onFailure, failureMemory }: RunOptionValues): OnceOptions | null {
  if (once === undefined) return null;
  return { runKey: once, failureMemoryMs: onFailure === 'fail' ? failureMemory : null };
}
