import tty from 'node:tty';
import { CommanderError } from 'commander';
import { openOutputs } from '../output/open-output.js';
import { UsageError } from '../errors.js';
import { EXIT_CODES } from '../exit-codes.js';
import { wantsColour } from '../ui/colour.js';
import { LiveOutput } from '../ui/live-output.js';
import { createReporter, type Reporter } from '../ui/reporter.js';
import { canRedraw } from '../ui/terminal.js';
import { createCommandLine } from './command-line.js';
import { redactInput } from './redact-input.js';

/** A stalled reader of stdout or stderr keeps the exit waiting this long at most. */
const FLUSH_LIMIT_MS = 1_000;

/** The command line as a function. `program` is how to start it once more. @returns the exit code; never throws. */
export async function main(
  program: readonly string[],
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const opened = openOutputs();
  const live = canRedraw(env, 2) ? new LiveOutput(opened.stderr) : undefined;
  const stderr = live ?? opened.stderr;
  // On the same terminal, events too erase the live line first.
  const stdout = opened.stdout === opened.stderr ? stderr : opened.stdout;
  const colour = wantsColour(env, tty.isatty(2));
  const redact = (text: string): string => redactInput(text, args, env);
  const reporterFor = (quiet: boolean): Reporter => createReporter(stderr, { quiet, colour, live, redact });
  const flush = async (): Promise<void> => {
    await Promise.all([stdout.flush(FLUSH_LIMIT_MS), stderr.flush(FLUSH_LIMIT_MS)]);
  };
  let exitCode = 0;
  try {
    const processContext = { env, cwd: currentDirectory(), program, stdout, reporterFor, flush };
    const commands = createCommandLine(processContext, (code) => (exitCode = code));
    for (const command of [commands, ...commands.commands]) {
      command.exitOverride().configureOutput({
        writeOut: (text) => stdout.writeLine(text.trimEnd()),
        writeErr: (text) => stderr.writeLine(text.trimEnd()),
        outputError: () => undefined, // printed below
      });
    }
    await commands.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      exitCode = 0; // --help, --version
    } else if (error instanceof CommanderError && error.code === 'commander.help') {
      // No command was given, and the help went to stderr. A script must notice that nothing was run.
      exitCode = EXIT_CODES.usage.code;
    } else {
      const shown = error instanceof CommanderError ? asUsageError(error, args) : error;
      reporterFor(false).error(shown);
      exitCode =
        shown instanceof Object && 'exitCode' in shown ? Number(shown.exitCode) : EXIT_CODES.internal.code;
    }
  }
  await flush();
  stdout.close();
  stderr.close();
  return exitCode;
}

function asUsageError(error: CommanderError, [command = '']: readonly string[]): UsageError {
  const [, message = '', suggestion] =
    /^(?:error: )?(.*?)(?:\n\((Did you mean [^\n]*)\))?$/s.exec(error.message) ?? [];
  return new UsageError(
    `${message.charAt(0).toUpperCase()}${message.slice(1)}`,
    suggestion ?? whereToRead(error, command),
    error,
  );
}

function whereToRead({ code }: CommanderError, command: string): string {
  if (code === 'commander.unknownCommand')
    return 'See migrate-lock --help. To run a command under the lock: migrate-lock run -- knex migrate:latest';
  // Before the command, or instead of it, stands an option.
  return command.startsWith('-') ? 'See migrate-lock --help.' : `See migrate-lock ${command} --help.`;
}

/** The current directory may have been deleted. */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return '/';
  }
}
