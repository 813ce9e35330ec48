import type { Command } from 'commander';
import { EXIT_CODES } from '../exit-codes.js';
import { checkTimes } from './check-times.js';
import { assertCommand } from './commands/assert.js';
import { cleanupCommand, type CleanupOptionValues } from './commands/cleanup.js';
import { RELEASE_AFTER_CRASH, releaseAfterCrashCommand } from './commands/release-after-crash.js';
import { extendCommand, type ExtendOptionValues } from './commands/extend.js';
import { historyCommand, type HistoryOptionValues } from './commands/history.js';
import { initCommand, type InitOptionValues } from './commands/init.js';
import { runCommand } from './commands/run.js';
import { statusCommand, type StatusOptionValues } from './commands/status.js';
import { unlockCommand, type UnlockOptionValues } from './commands/unlock.js';
import {
  cleanupOptions,
  connectionOptions,
  extendOptions,
  historyOptions,
  ownerOptions,
  runOptions,
  type ConnectionOptionValues,
  type RunOptionValues,
} from './options.js';
import { OwnCommand } from './own-command.js';
import { nameGiven, readVariables } from './own-option.js';
import type { Surroundings } from './surroundings.js';
import { VERSION } from './version.js';

type OnExitCode = (code: number) => void;

/** The command line. The exit code of the command that is chosen is given to `onExitCode`. */
export function createProgram(surroundings: Surroundings, onExitCode: OnExitCode): Command {
  const program = new OwnCommand('migrate-lock')
    .description('Lets exactly one process at a time run a database migration, whatever tool runs it.')
    .version(VERSION)
    .enablePositionalOptions()
    .addHelpText('after', `\n${EXAMPLE}\n\n${exitCodesHelp()}`)
    .hook('preAction', (_, command) => readVariables(command, surroundings.env));

  addRun(program, surroundings, onExitCode);
  addOthers(program, surroundings, onExitCode);
  return program;
}

function addRun(program: Command, surroundings: Surroundings, onExitCode: OnExitCode): void {
  const run = program
    .command('run')
    .description(
      'acquire the lock or wait for it, run the command, release the lock, exit as the command did',
    )
    .usage('[options] -- <command> [args...]')
    .argument('[command...]', 'the command to run under the lock')
    .passThroughOptions()
    .addHelpText('after', RUN_HELP);
  for (const option of [...connectionOptions(), ...runOptions()]) run.addOption(option);
  run.action(async (command: string[], values: RunOptionValues) => {
    checkTimes(values, (key) => nameGiven(run, key));
    onExitCode(await runCommand(command, values, surroundings));
  });
}

function addOthers(program: Command, surroundings: Surroundings, onExitCode: OnExitCode): void {
  const init = program
    .command('init')
    .description("apply the lock schema and nothing else, and set what the lock's owner decides")
    .option('--print', 'print the SQL for a database administrator to apply, and change nothing', false);
  for (const option of [...ownerOptions(), ...connectionOptions()]) init.addOption(option);
  init.action(async (values: InitOptionValues) => {
    onExitCode(await initCommand(values, surroundings));
  });

  const extend = program.command('extend').description('inside the command: make its lease last longer');
  for (const option of extendOptions()) extend.addOption(option);
  extend.action(async (values: ExtendOptionValues) => {
    onExitCode(await extendCommand(values, surroundings));
  });

  const assert = program
    .command('assert')
    .description('inside the command: exit 0 while its lease is held, 70 when it is not');
  for (const option of connectionOptions()) assert.addOption(option);
  assert.action(async (values: ConnectionOptionValues) => {
    onExitCode(await assertCommand(values, surroundings));
  });

  const status = program
    .command('status')
    .description('show the holder and the waiters; changes nothing')
    .option('--json', 'print one JSON object instead of text', false);
  for (const option of connectionOptions()) status.addOption(option);
  status.action(async (values: StatusOptionValues) => {
    onExitCode(await statusCommand(values, surroundings));
  });

  const history = program
    .command('history')
    .description('show the history of the lock, the newest row last; changes nothing')
    .option('--json', 'print one JSON object a line instead of text', false)
    .option('--verify', 'check that no row was changed, inserted or removed, and print none', false);
  for (const option of [...historyOptions(), ...connectionOptions()]) history.addOption(option);
  history.action(async (values: HistoryOptionValues) => {
    onExitCode(await historyCommand(values, surroundings));
  });

  const unlock = program
    .command('unlock')
    .description("show the holder, and end another run's lease")
    .option('--instance <id>', 'only if this is the holder')
    .option('--force', 'also while the lease runs; asks on a terminal', false)
    .option('--yes', 'do not ask', false)
    .option('--leave-sessions', 'also when database sessions of the lease do not end', false);
  for (const option of connectionOptions()) unlock.addOption(option);
  unlock.action(async (values: UnlockOptionValues) => {
    onExitCode(await unlockCommand(values, surroundings));
  });

  const cleanup = program
    .command('cleanup')
    .description('clear an expired lease and stale waiters, as the next run would, and remove old run keys');
  for (const option of [...cleanupOptions(), ...connectionOptions()]) cleanup.addOption(option);
  cleanup.action(async (values: CleanupOptionValues) => {
    onExitCode(await cleanupCommand(values, surroundings));
  });

  program
    .command(RELEASE_AFTER_CRASH, { hidden: true })
    .action(async () => onExitCode(await releaseAfterCrashCommand()));
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

const RUN_HELP = `
Every option can also be given as an environment variable MIGRATE_LOCK_..., for example MIGRATE_LOCK_TTL=5m.

The command must end before the lease expires: with the defaults it has 23 s, then SIGTERM, and SIGKILL after 28 s
in all. Give a migration that takes longer a longer --ttl.

stdout carries JSON audit events, one a line; the command's own stdout goes to stderr.

Examples:
  migrate-lock run -- knex migrate:latest
  migrate-lock run --ttl 10m --wait-timeout 15m -- npx prisma migrate deploy
  migrate-lock run -- npm run migrate | jq .event`;
