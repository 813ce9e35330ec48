/** Errors repeat user input, but never a password in it, in the right or a wrong place. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createCommandLine } from '../../../src/cli/command-line.js';
import { assertNothingLeft, runCli } from '../../support/run-cli.js';
import { leaksIn } from '../../support/secret-forms.js';
import { openStage, outputsOf, PASSWORD, withPassword, type Stage } from './stage.js';

let stage: Stage;

beforeAll(async () => {
  stage = await openStage();
});
afterEach(() => assertNothingLeft());
afterAll(() => stage.close());

/** No recognizable part of it may be left either. */
const PARTS = [PASSWORD, 'hunter2@s3', 's3cret:a/'];
/** With a password that is in no configuration. */
const URL_LIKE = `postgres://u:${encodeURIComponent(PASSWORD.replace('hunter2', 'hunter3'))}@127.0.0.1:1/d`;

async function expectNoSecret(args: string[], env: Record<string, string>, codes: number[]): Promise<void> {
  const result = await runCli(args, { env, auditOnly: false });
  const at = [args.join(' ').slice(0, 60), Object.keys(env).join()];
  expect([at, codes.includes(result.code ?? -1), result.stderr]).toEqual([at, true, expect.any(String)]);
  expect(result.stdout + result.stderr).not.toBe('');
  expect(leaksIn(outputsOf(at.join(), result), PARTS)).toEqual([]);
  expect(result.stdout + result.stderr).not.toMatch(/hunter[23]|s3cret|\n\s+at /);
}

const COMMANDS = [
  ['run', '--wait-timeout', '0', '--', 'true'],
  ['wait', '--wait-timeout', '0', '--once', 'release 1', '--', 'true'],
  ...[['doctor'], ['doctor', '--json'], ['status'], ['history'], ['unlock'], ['init'], ['cleanup']],
];

test.each(COMMANDS.map((args) => ({ name: args[0], args })))(
  '$name: no message of the database or the network shows a secret',
  async ({ args }) => {
    const elsewhere = (change: (url: URL) => void) => {
      const url = new URL(stage.url);
      change(url);
      return url.href;
    };
    const urls: [string, number[]][] = [
      [elsewhere((url) => (url.password = `${PASSWORD} wrong`)), [78]],
      [elsewhere((url) => (url.port = '1')), [69]],
      [elsewhere((url) => (url.hostname = 'no-such-host.invalid')), [69]],
      [elsewhere((url) => (url.pathname = '/no_such_database')), [78]],
      [elsewhere((url) => url.searchParams.set('sslmode', 'require')), [78]],
      [elsewhere((url) => url.searchParams.set('sslmode', PASSWORD)), [64]],
    ];
    // For doctor, each of them but a wrong setting is a check that failed.
    const codesOf = (codes: number[]) => (args[0] === 'doctor' && !codes.includes(64) ? [1] : codes);
    await Promise.all(
      urls.map(([DATABASE_URL, codes]) => expectNoSecret(args, { DATABASE_URL }, codesOf(codes))),
    );
  },
);

test('a URL that is invalid because its password is not encoded', async () => {
  const raw = [
    PASSWORD,
    PASSWORD.replace('@', ''),
    'hunter2/s3cret',
    'hunter2?s3cret',
    'hunter2#s3cret',
    '12/hunter2@s3cret',
    '%hunter2',
  ];
  const urls = raw.map((written) => withPassword(stage.url, written));
  const malformed = ['hunter2', `'${stage.url}'`, `host=h password=hunter2`, `mysql://u:hunter2@h/d`];
  const file = join(stage.folder, 'broken');
  for (const url of [...urls, ...malformed]) {
    writeFileSync(file, url);
    const run = ['run', '--wait-timeout', '0'];
    await Promise.all([
      expectNoSecret([...run, '--', 'true'], { DATABASE_URL: url }, [64, 69, 78]),
      expectNoSecret([...run, `--database-url=${url}`, '--', 'true'], {}, [64, 69, 78]),
      expectNoSecret([...run, '--database-url-file', file, '--', 'true'], {}, [64, 69, 78]),
    ]);
  }
});

const noWait = (command: string) => (/^(run|wait)$/.test(command) ? ['--wait-timeout', '0'] : []);

/** Every option that takes a value, once. */
function options(): { command: string; long: string; variable: string | undefined }[] {
  const commands = createCommandLine(
    {
      env: {},
      cwd: '/',
      program: [],
      stdout: undefined as never,
      reporterFor: undefined as never,
      flush: undefined as never,
    },
    () => undefined,
  ).commands;
  const all = commands.flatMap((command) =>
    command.options
      .filter(({ required }) => required)
      .map(({ long, envVar }) => ({ command: command.name(), long: long ?? '', variable: envVar })),
  );
  return all.filter(({ long }, at) => all.findIndex((other) => other.long === long) === at);
}

test.each(options())('a URL as the value of $long', async ({ command, long, variable }) => {
  // Without a database all of them end here.
  const ways: [string[], Record<string, string>][] = [
    [[command, ...noWait(command), long, URL_LIKE], {}],
    [[command, ...noWait(command), `${long}=${URL_LIKE}`], {}],
    ...(variable === undefined
      ? []
      : [
          [
            [
              command,
              ...(command === 'run' && variable !== 'MIGRATE_LOCK_WAIT_TIMEOUT'
                ? [...noWait(command), '--', 'true']
                : []),
            ],
            { [variable]: URL_LIKE },
          ] as [string[], Record<string, string>],
        ]),
  ];
  await Promise.all(ways.map(([args, env]) => expectNoSecret(args, env, [64, 69])));
});

test('a URL, an assignment or an unknown option in the wrong place', async () => {
  const found = { DATABASE_URL: stage.url };
  await Promise.all([
    expectNoSecret([URL_LIKE], {}, [64]),
    expectNoSecret([`--databse-url=${URL_LIKE}`], {}, [64]),
    expectNoSecret(['run', `--databse-url=${URL_LIKE}`, '--', 'true'], {}, [64]),
    expectNoSecret(['status', `--password=${PASSWORD}`], {}, [64]),
    expectNoSecret(['status', URL_LIKE], {}, [64]),
    expectNoSecret(['run', '--', URL_LIKE], found, [127]),
    expectNoSecret(['run', '--', 'PGPASSWORD=hunter3', 'psql'], found, [127]),
    expectNoSecret(['run', '--', PASSWORD], found, [127]),
    expectNoSecret(['run', '--metrics-file', `/nowhere/${URL_LIKE}`, '--', 'true'], found, [64]),
    ...['PGHOST', 'PGDATABASE', 'PGUSER'].map((name) =>
      expectNoSecret(['run', '--', 'true'], { [name]: URL_LIKE }, [64]),
    ),
  ]);
});
