import { isatty } from 'node:tty';
import { Chalk } from 'chalk';
import { escapeForTerminals } from '../../events/json-lines.js';
import { readConnectionConfig } from '../../db/settings/connection-config.js';
import { redactSecrets } from '../../redact/secrets.js';
import { describeCheck } from '../../ui/check-text.js';
import { PLAIN, wantsColour, type Paint } from '../../ui/colour.js';
import { connectionOptions, type ConnectionOptionValues } from '../options.js';
import type { AddCommand, ProcessContext } from '../process-context.js';
import { redactInput } from '../redact-input.js';
import { readStatusReport } from '../status-report.js';

export const addDoctor: AddCommand = (program, processContext, onExitCode) => {
  const doctor = program
    .command('doctor')
    .description('check the database, the rights and this machine as a run would find them; changes nothing')
    .option('--json', 'print one JSON object a check instead of text', false)
    .addHelpText('after', DOCTOR_HELP);
  for (const option of connectionOptions()) doctor.addOption(option);
  doctor.action(async (values: DoctorOptionValues) => {
    onExitCode(await doctorCommand(values, processContext));
  });
};

const DOCTOR_HELP = `
One line a check: ok, warn (a run works, with less than it could have) or fail (a run fails), each with what to do.
It exits with 0 when no check failed, and with 1 otherwise.`;

interface DoctorOptionValues extends ConnectionOptionValues {
  json: boolean;
}

async function doctorCommand(
  { json, schema, ...values }: DoctorOptionValues,
  { env, stdout }: ProcessContext,
): Promise<number> {
  const connection = readConnectionConfig({ url: values.databaseUrl, urlFile: values.databaseUrlFile, env });
  const { examine } = await import('../../doctor/doctor.js'); // no other command needs it
  const checks = await examine({
    connection,
    schema,
    env,
    readStatus: (database) => readStatusReport(database, connection.database, schema),
  });
  const redact = (text: string): string =>
    redactSecrets(redactInput(text, [values.databaseUrl ?? ''], env), connection.secrets);
  const paint = paintFor(env);
  for (const { name, status, detail, hint } of checks) {
    const shown = { name, status, detail: redact(detail), hint: hint && redact(hint) };
    stdout.writeLine(json ? escapeForTerminals(JSON.stringify(shown)) : describeCheck(shown, paint));
  }
  return checks.some(({ status }) => status === 'fail') ? 1 : 0;
}

function paintFor(env: NodeJS.ProcessEnv): Paint {
  if (!wantsColour(env, isatty(1))) return PLAIN;
  const chalk = new Chalk({ level: 1 });
  return { good: chalk.green, warn: chalk.yellow, bad: chalk.red, dim: chalk.dim };
}
