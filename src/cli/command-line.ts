import type { Command } from 'commander';
import { EXIT_CODES } from '../exit-codes.js';
import { addAssert } from './commands/assert.js';
import { addCleanup } from './commands/cleanup.js';
import { addDoctor } from './commands/doctor.js';
import { addExtend } from './commands/extend.js';
import { addGuard } from './commands/guard.js';
import { addHistory } from './commands/history.js';
import { addInit } from './commands/init.js';
import { addReleaseAfterCrash } from './commands/release-after-crash.js';
import { addRun } from './commands/run.js';
import { addStatus } from './commands/status.js';
import { addUnlock } from './commands/unlock.js';
import { addWait } from './commands/wait.js';
import { OwnCommand } from './own-command.js';
import { readVariables } from './own-option.js';
import type { ProcessContext } from './process-context.js';
import { VERSION } from './version.js';

/** In the order of `--help`. */
const COMMANDS = [
  ...[
    addRun,
    addWait,
    addInit,
    addExtend,
    addAssert,
    addStatus,
    addHistory,
    addUnlock,
    addCleanup,
    addDoctor,
  ],
  ...[addReleaseAfterCrash, addGuard],
];

/** The command line. The exit code of the command that is chosen is given to `onExitCode`. */
export function createCommandLine(
  processContext: ProcessContext,
  onExitCode: (code: number) => void,
): Command {
  const program = new OwnCommand('migrate-lock')
    .description('Lets exactly one process at a time run a database migration, whatever tool runs it.')
    .version(VERSION)
    .enablePositionalOptions()
    .addHelpText('after', `\n${EXAMPLE}\n\n${exitCodesHelp()}`)
    .hook('preAction', (_, command) => readVariables(command, processContext.env));
  for (const add of COMMANDS) add(program, processContext, onExitCode);
  return program;
}

function exitCodesHelp(): string {
  const rows = Object.values(EXIT_CODES).map(({ code, meaning }) => `  ${String(code).padEnd(5)} ${meaning}`);
  return [
    'Exit codes of run: those of the command, and',
    ...rows,
    '  128+n the command was killed by signal n, or the wait was interrupted by it',
  ].join('\n');
}

const EXAMPLE = `With DATABASE_URL set:
  migrate-lock run -- knex migrate:latest`;
