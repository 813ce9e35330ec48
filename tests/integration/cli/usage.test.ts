import { expect, test } from '@jest/globals';
import { runCli } from '../../support/run-cli.js';

const ask = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(args, { auditOnly: false });
  return { code, stdout, stderr };
};

const WITHOUT_RUN =
  'See migrate-lock --help. To run a command under the lock: migrate-lock run -- knex migrate:latest';

test('without arguments, prints the help on stderr and exits with 64', async () => {
  const asked = await ask('--help');
  expect(asked).toMatchObject({ code: 0, stderr: '' });
  expect(asked.stdout).toContain('\n  migrate-lock run -- knex migrate:latest\n');
  expect(await ask()).toEqual({ code: 64, stdout: '', stderr: asked.stdout });
  expect(await ask('help')).toEqual(asked);
});

test.each([
  ['rn', "Unknown command 'rn'", 'Did you mean run?'],
  ['run --tll 5s -- true', "Unknown option '--tll'", 'Did you mean --ttl?'],
  ['init --chld-role x', "Unknown option '--chld-role'", 'Did you mean --child-role?'],
  ['nonsense', "Unknown command 'nonsense'", WITHOUT_RUN],
  ['knex migrate:latest', "Unknown command 'knex'", WITHOUT_RUN],
  ['-- knex migrate:latest', "Unknown command 'knex'", WITHOUT_RUN],
  ['-v', "Unknown option '-v'", 'See migrate-lock --help.'],
  ['run -x -- true', "Unknown option '-x'", 'See migrate-lock run --help.'],
  [
    'status now',
    "Too many arguments for 'status'. Expected 0 arguments but got 1.",
    'See migrate-lock status --help.',
  ],
])('%s', async (line, problem, hint) => {
  expect(await ask(...line.split(' '))).toEqual({
    code: 64,
    stdout: '',
    stderr: `migrate-lock: ${problem}\nmigrate-lock: ${hint}\n`,
  });
});
