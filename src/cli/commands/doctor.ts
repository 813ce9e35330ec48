import { isatty } from 'node:tty';
import type { EventListener } from '../../events/events.js';
import { escapeForTerminals } from '../../events/json-lines.js';
import type { Database } from '../../db/database.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { redactSecrets } from '../../redact/secrets.js';
import { describeCheck, type Check } from '../../ui/check-text.js';
import type { StatusReport } from '../../ui/status-text.js';
import { paintFor, wantsColour } from '../../ui/colour.js';
import { checkTimes } from '../check-times.js';
import { connectionOptions } from '../options.js';
import { nameGiven } from '../own-option.js';
import { printLines } from '../print-lines.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { redactInput } from '../redact-input.js';
import { readStatusReport } from '../status-report.js';
import { runCommand, runOptions, type RunOptionValues } from './run.js';
import { examine, runAndWatch } from '../../doctor/doctor.js';

export const addDoctor: AddCommand = (program, processContext, onExitCode) => {
  const doctor = program
    .command('doctor')
    .description(
      'check the database, the rights and this machine as a run would find them; with a command, run it and say whether its sessions were seen',
    )
    .usage('[options] [-- <command> [args...]]')
    .argument('[command...]', 'run this command under the lock when no check failed')
    .passThroughOptions()
    .option('--json', 'print one JSON object a check instead of text', false)
    .addHelpText('after', DOCTOR_HELP);
  for (const option of [...connectionOptions(), ...runOptions()]) doctor.addOption(option);
  doctor.action(async (command: string[], values: DoctorOptionValues) => {
    checkTimes(values, (key) => nameGiven(doctor, key));
    onExitCode(await doctorCommand(command, values, processContext));
  });
};

const DOCTOR_HELP = `
One line a check: ok, warn (a run works, with a limitation) or fail (a run fails), each with what to do.
It exits with 0 when no check failed, and with 1 otherwise. Without a command it changes nothing in the database.

With a command it RUNS the command under the lock, as run would with the same options, when no check failed; it exits with
the command's code, and says whether the command's database sessions were seen in this database, under the lease's name.
Events are not written to stdout then.

Examples:
  migrate-lock doctor
  migrate-lock doctor -- knex migrate:latest`;

interface DoctorOptionValues extends RunOptionValues {
  json: boolean;
}

async function doctorCommand(
  command: readonly string[],
  values: DoctorOptionValues,
  processContext: ProcessContext,
): Promise<number> {
  const { json, schema } = values;
  const { env, stdout, reporterFor } = processContext;
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const redact = (text: string): string =>
    redactSecrets(redactInput(text, [values.databaseUrl ?? ''], env), connection.secrets);
  const paint = paintFor(wantsColour(env, isatty(1)));
  const show = async ({ name, status, detail, hint }: Check): Promise<void> => {
    const shown = { name, status, detail: redact(detail), hint: hint && redact(hint) };
    await printLines(stdout, [
      json ? escapeForTerminals(JSON.stringify(shown)) : describeCheck(shown, paint),
    ]);
  };
  const checks: Check[] = [];
  const readStatus = (database: Database): Promise<StatusReport> =>
    readStatusReport(database, connection.database, schema);
  for await (const check of examine({ connection, schema, env, readStatus })) {
    await show(check);
    checks.push(check);
  }
  const failed = checks.some(({ status }) => status === 'fail');
  if (command.length === 0) return failed ? 1 : 0;
  const reporter = reporterFor(values.quiet);
  if (failed) {
    reporter.warn('a check failed: the command is not run');
    return 1;
  }
  reporter.warn('no check failed: now the command is run under the lock');
  const run = (listener: EventListener): Promise<number> =>
    runCommand(command, values, processContext, listener);
  const { exitCode, seen } = await runAndWatch({ checks, connection, schema, env, command, run });
  if (seen !== undefined) await show(seen);
  return exitCode;
}
