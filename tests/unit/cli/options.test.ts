/** Hostile text in every option and variable is used as it is or refused with a message, and never causes a crash. */
import { CommanderError, type Command } from 'commander';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { OwnOption } from '../../../src/cli/own-option.js';
import { createCommandLine } from '../../../src/cli/command-line.js';
import { redactInput } from '../../../src/cli/redact-input.js';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import { MigrateLockError } from '../../../src/errors.js';
import { createReporter } from '../../../src/ui/reporter.js';
import { anyText, RAW_CONTROL } from '../../support/hostile-text.js';
import { processorTimeMs } from '../../support/processor-time.js';

/** Linux limits one argument to 128 kB; a file or the library can pass more. */
const HUGE = ['x', '"', "'", '\\', '$(', '://', '=', ' ', '\u{1F600}', '{"a":'].map((piece) =>
  piece.repeat(1_000_000 / piece.length),
);
const PROCESS_CONTEXT = { cwd: '/', program: [], env: {}, flush: () => Promise.resolve() };

interface Given {
  command: string;
  option: string;
  variable: string | undefined;
  takesValue: boolean;
}

function program(env: NodeJS.ProcessEnv): {
  commands: Command;
  lines: string[];
  reporter: ReturnType<typeof createReporter>;
} {
  const lines: string[] = [];
  const output = {
    writeLine: (line: string) => void lines.push(line),
    flush: () => Promise.resolve(true),
    close: () => undefined,
  };
  const reporter = createReporter(output, { quiet: false, colour: false });
  const commands = createCommandLine(
    { ...PROCESS_CONTEXT, env, stdout: output, reporterFor: () => reporter },
    () => undefined,
  );
  for (const command of [commands, ...commands.commands]) {
    command.exitOverride().configureOutput({ writeOut: () => undefined, outputError: () => undefined });
  }
  return { commands, lines, reporter };
}

/** Every option of every command, read from the program itself. */
const OPTIONS: Given[] = program({}).commands.commands.flatMap((command) =>
  command.options.map((option) => ({
    command: command.name(),
    option: option.long ?? '',
    variable: option instanceof OwnOption ? option.variable : undefined,
    takesValue: option.required,
  })),
);

/** Parses and runs a command line without a database, which ends in an error. */
async function outcome(args: string[], env: NodeJS.ProcessEnv): Promise<unknown> {
  const { commands, lines, reporter } = program(env);
  return commands.parseAsync(args, { from: 'user' }).then(
    () => 'done',
    (error: unknown) => {
      reporter.error(error);
      expect(lines.join('')).not.toMatch(RAW_CONTROL);
      return error;
    },
  );
}

function isUsage(error: unknown): boolean {
  // A second `--help` and similar options end with 0.
  return (error instanceof MigrateLockError && error.exitCode === 64) || error instanceof CommanderError;
}

test('finds every command and option', () => {
  expect(OPTIONS.length).toBeGreaterThan(40);
  expect(OPTIONS).toContainEqual({
    command: 'run',
    option: '--once',
    variable: 'MIGRATE_LOCK_ONCE',
    takesValue: true,
  });
});

test('every option ends in a usage error for any value', async () => {
  const chosen = fc.constantFrom(...OPTIONS.filter(({ takesValue }) => takesValue));
  await fc.assert(
    fc.asyncProperty(chosen, anyText, fc.boolean(), async ({ command, option }, text, isOne) => {
      const given = isOne ? [`${option}=${text}`] : [option, text];
      const ended = await outcome([command, ...given, '--', 'true'], {});
      expect([ended, isUsage(ended)]).toEqual([ended, true]);
    }),
    { numRuns: 1_000 },
  );
});

test('every variable ends in a usage error for any value', async () => {
  const chosen = fc.constantFrom(...OPTIONS.filter(({ variable }) => variable !== undefined));
  await fc.assert(
    fc.asyncProperty(chosen, anyText, async ({ command, variable = '' }, text) => {
      const ended = await outcome([command], { [variable]: text.replaceAll('\0', '') });
      expect([ended, isUsage(ended)]).toEqual([ended, true]);
    }),
    { numRuns: 1_000 },
  );
});

test('reads the variables', async () => {
  expect(await outcome(['run', '--', 'true'], { MIGRATE_LOCK_TTL: 'a\u009bb' })).toMatchObject({
    message: 'MIGRATE_LOCK_TTL "a\u009bb" is not a duration.',
  });
});

const TAKING = OPTIONS.filter(({ takesValue }) => takesValue);
const VARIABLES = OPTIONS.filter(({ variable }) => variable !== undefined);

/** The words that a command needs to get as far as the missing database. */
const REST: Partial<Record<string, string[]>> = {
  run: ['--', 'true'],
  wait: ['--once', 'release 1'],
  extend: ['--ttl', '5m'],
};
const plain = (command: string) => [command, ...(REST[command] ?? [])];

describe('an option does not take the next word as its value by accident', () => {
  test.each(TAKING)('$command $option refuses an empty word and a word that begins with -', async (given) => {
    const { command, option } = given;
    for (const next of ['--', '-', '--quiet', option, '-x', '-5s', '--help', '--schema=a']) {
      expect(await outcome([command, option, next, '--', 'true'], {})).toMatchObject({
        exitCode: 64,
        message: `${option} is followed by ${next}, not by its value.`,
        hint: expect.stringContaining('variable empty or unset'),
      });
    }
    expect(await outcome([command, option], {})).toMatchObject({ message: `${option} has no value.` });
    for (const empty of [[option, ''], [`${option}=`]]) {
      expect(await outcome([command, ...empty, '--', 'true'], {})).toMatchObject({
        exitCode: 64,
        message: `${option} is empty.`,
      });
    }
  });

  test('accepts a value that begins with - when it is joined to its option', async () => {
    // The value was read: the error names it, or the next missing setting.
    expect(await outcome(['run', '--ttl=-5s', '--', 'true'], {})).toMatchObject({
      message: '--ttl "-5s" is not a duration.',
    });
    expect(await outcome(['run', '--metrics-file=-x', '--', 'true'], {})).toMatchObject({
      message: 'No database is named.',
    });
  });

  test('does not check the words of the command', async () => {
    for (const args of [
      ['--', 'knex', '--schema', '--once', ''],
      ['knex', '--schema', '--once', ''],
      ['--ttl=5m', 'knex', '--once', '--'],
    ]) {
      expect(await outcome(['run', ...args], {})).toMatchObject({ message: 'No database is named.' });
    }
  });

  test.each(['--once', '--schema', '--ttl'])(
    'run %s $UNSET npx knex is refused: with an empty variable, npx would become the value',
    async (option) => {
      expect(await outcome(['run', option, 'npx', 'knex'], {})).toMatchObject({
        exitCode: 64,
        message: expect.stringContaining(option),
        hint: expect.stringContaining('--'),
      });
    },
  );
});

describe('an environment variable', () => {
  test.each(VARIABLES)(
    '$variable of $command: an empty value counts as unset',
    async ({ command, variable = '' }) => {
      const bare = await outcome(plain(command), {});
      expect(await outcome(plain(command), { [variable]: '' })).toEqual(bare);
    },
  );

  test.each(VARIABLES.filter(({ option }) => !option.startsWith('--database-url')))(
    'an error about $variable of $command names the variable, not the flag',
    async ({ command, option, variable = '' }) => {
      // A line for the shell may contain anything.
      const wrong = ['--recover', '--check', '--on-event'].includes(option) ? ' ' : '${X}://';
      // The flag would win.
      const words = plain(command).includes(option) ? [command] : plain(command);
      const ended = await outcome(words, { [variable]: wrong });
      expect(ended).toMatchObject({ exitCode: 64, message: expect.stringMatching(`^${variable} `) });
      expect(`${String(ended)} ${(ended as MigrateLockError).hint}`).not.toContain(`${option} `);
    },
  );

  test('is overridden by its flag', async () => {
    const ended = await outcome(['run', '--ttl', '1m', '--', 'true'], { MIGRATE_LOCK_TTL: 'nonsense' });
    expect(ended).toMatchObject({ message: 'No database is named.' });
  });
});

test('random words end in a usage error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyText, { minLength: 1, maxLength: 3 }), async (words) => {
      for (const args of [words, ['run', ...words], ['status', ...words], ['unlock', ...words, '--force']]) {
        const ended = await outcome(args, {});
        expect([args, isUsage(ended)]).toEqual([args, true]);
      }
    }),
    { numRuns: 300 },
  );
});

const ADDRESSES = [
  'DATABASE_URL',
  'PGHOST',
  'PGHOSTADDR',
  'PGPORT',
  'PGDATABASE',
  'PGUSER',
  'PGPASSWORD',
  'PGPASSFILE',
].concat([
  'PGSSLMODE',
  'PGSSLROOTCERT',
  'PGSSLCERT',
  'PGSSLKEY',
  'PGOPTIONS',
  'PGTARGETSESSIONATTRS',
  'PGSERVICE',
  'HOME',
]);

test('any text in a connection variable or URL is accepted or is a usage error', () => {
  const value = anyText.map((text) => text.replaceAll('\0', ''));
  const encoded = value.map((text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, '')));
  const url = fc.oneof(
    value,
    value.map((text) => `postgres://${text}`),
    value.map((text) => `postgres://u@h/${text}`),
    value.map((text) => `postgres://u@h/d?options=${text}`),
    fc
      .tuple(encoded, encoded, encoded, encoded, value)
      .map(
        ([user, word, host, name, more]) =>
          `postgres://${user}:${word}@${host}/${name}?host=${encodeURIComponent(user)}&${more}`,
      ),
  );
  fc.assert(
    fc.property(fc.constantFrom(...ADDRESSES), value, url, fc.boolean(), (name, text, address, withUrl) => {
      const env = { PGHOST: '127.0.0.1', [name]: text, ...(withUrl ? { DATABASE_URL: address } : {}) };
      try {
        const { hosts, secrets } = readConnectionConfig({ env });
        expect(hosts.length).toBeGreaterThan(0);
        expect(secrets).toEqual(expect.any(Array));
      } catch (error) {
        expect([error, error instanceof MigrateLockError && error.exitCode]).toEqual([error, 64]);
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each(HUGE.map((text, kind) => ({ kind, text })))(
  'refuses a million characters, kind $kind, in linear time',
  async ({ text }) => {
    const tookMs = await processorTimeMs(async () => {
      for (const option of ['--ttl', '--once', '--schema', '--database-url', '--metrics-file', '--nope']) {
        const args = ['run', option, text, '--', 'true'];
        const ended = await outcome(args, {});
        expect(isUsage(ended)).toBe(true);
        redactInput(String(ended), args, { MIGRATE_LOCK_TTL: text });
      }
      expect(isUsage(await outcome(['status', '--schema', text], {}))).toBe(true);
    });
    expect(tookMs).toBeLessThan(5_000);
  },
);
