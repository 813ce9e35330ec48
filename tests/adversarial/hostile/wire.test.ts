/** Real runs and commands with hostile values: none of them is SQL on the connection. */
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { HOSTILE, RAW_CONTROL_IN_LINES } from '../../support/hostile-text.js';
import { assertNothingLeft, CLI, runCli, startCli } from '../../support/run-cli.js';
import { startWire, type Wire } from '../../support/wire.js';

const HOST_NAME = fileURLToPath(new URL('../../support/fixtures/host-name.cjs', import.meta.url));
/** In every value of the test, so that none can be in a statement unnoticed. */
const MARK = 'ZQ7';
const marked = (text: string) => `${MARK}${text}${MARK}`;

let db: TestDatabase;
let wire: Wire;
let url: string;

beforeAll(async () => {
  db = await createDatabase();
  const { hostname, port } = new URL(db.url);
  wire = await startWire({ host: hostname, port: Number(port) });
  url = wire.through(db.url);
});
afterEach(async () => {
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await wire.close();
  await db.drop();
});

const holding = (type: string) =>
  wire.messages().filter((message) => message.type === type && message.body.includes(MARK));

/** A few at a time: every run of the program takes time. */
const groups = [0, 6, 12].map((at) => HOSTILE.slice(at, at + 6));

test.each(groups.map((texts) => [texts]))('hostile values arrive unchanged, part %#', async (texts) => {
  const value = marked(texts.join(MARK));
  // A run key must not contain an unexpanded variable.
  const key = `${value.replace(/[$%{}<>`]/g, '')}${MARK}`;
  const before = holding('B').length;
  const settings = {
    program: ['--require', HOST_NAME, CLI],
    env: { DATABASE_URL: url, TEST_HOST_NAME: value, MIGRATE_LOCK_ONCE: key },
  };
  const command = ['sh', '-c', 'sleep 1000', value, `-${value}`];
  const holder = startCli(['run', '--', ...command], settings);
  await holder.waitForEvent('child.started');
  const others = await Promise.all([
    runCli(['run', '--wait-timeout', '0', '--once', key, '--', ...command], settings),
    ...[
      ['status'],
      ['status', '--json'],
      ['unlock'],
      ['unlock', '--force', `--instance=${value}`],
      ['history'],
      ['history', '--json'],
    ].map((args) => runCli(args, { ...settings, auditOnly: false })),
    runCli(['assert'], {
      ...settings,
      env: { ...settings.env, MIGRATE_LOCK_INSTANCE_ID: value, MIGRATE_LOCK_FENCING_TOKEN: '1' },
    }),
  ]);
  expect(others.map(({ code }) => code)).toEqual([75, 0, 0, 75, 75, 0, 0, 70]);
  holder.kill('SIGTERM');
  const done = await holder.done;
  expect(done.code).toBe(143);
  for (const { stdout, stderr } of [...others, done])
    expect(stdout + stderr).not.toMatch(RAW_CONTROL_IN_LINES);

  // They were sent as parameters, so the search would have found them.
  expect(holding('B').length).toBeGreaterThanOrEqual(before + 4);
  for (const type of ['start', 'Q', 'P'])
    expect(holding(type).map(({ body }) => body.toString())).toEqual([]);
});

test("the session's name is sent in the start-up message only", async () => {
  const value = marked(`x' "\\ -- $$`);
  const nobody = new URL(url);
  nobody.username = encodeURIComponent(value);
  nobody.pathname = `/${encodeURIComponent(value)}`;
  const { code } = await runCli(['run', '--wait-timeout', '0', '--', 'true'], {
    env: { DATABASE_URL: nobody.href },
  });
  expect(code).toBe(78);
  expect(holding('start').length).toBeGreaterThan(0);
  for (const type of ['Q', 'P']) expect(holding(type)).toEqual([]);
});
