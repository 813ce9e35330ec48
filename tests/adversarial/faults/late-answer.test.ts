import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { REQUESTS } from './inflict.js';
import { startRelay, type Relay } from '../../support/relay.js';
import { assertNothingLeft, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let relay: Relay;
let folder: string;

beforeAll(async () => {
  db = await createDatabase();
  const { hostname, port } = new URL(db.url);
  relay = await startRelay({ host: hostname, port: Number(port) });
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-late-'));
});
afterEach(async () => {
  await assertNothingLeft();
  relay.set('pass');
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(async () => {
  await relay.close();
  await db.drop();
  rmSync(folder, { recursive: true });
});

test('a holder that is stopped during its acquisition and continues after a takeover starts no child', async () => {
  const late = startCli(
    ['run', '--ttl', '2s', '--kill-grace', '100ms', '--', 'sh', '-c', 'echo >"$0/late"', folder],
    {
      env: { DATABASE_URL: relay.through(db.url) },
    },
  );
  // The parameters of the poll, after its text: they execute the acquisition, whose answer finds the run stopped.
  let isStopped = false;
  relay.beforeRequest(REQUESTS['poll, values'], () => (isStopped = late.kill('SIGSTOP')));
  await waitFor('it is stopped', () => isStopped);
  await waitFor(
    'it has the lease',
    async () => (await db.sql`SELECT FROM migrate_lock.migration_lock`).length === 1,
  );
  const other = startCli(['run', '--', 'sh', '-c', 'echo >"$0/other"; read line <"$0/go"', folder], {
    env: { DATABASE_URL: db.url },
  });
  await other.waitForEvent('child.started');
  late.kill('SIGCONT');
  const { code, events } = await late.done;
  expect(code).toBe(124);
  expect(events.map(({ event }) => event)).not.toContain('child.started');
  expect(existsSync(join(folder, 'late'))).toBe(false);
  other.kill('SIGTERM');
  await other.done;
});

test('an instance whose acquisition lost its answer and expired can acquire the lock again', async () => {
  const unlucky = startCli(
    ['run', '--ttl', '2s', '--kill-grace', '100ms', '--wait-timeout', '1m', '--', 'true'],
    {
      env: { DATABASE_URL: relay.through(db.url) },
    },
  );
  let isLost = false;
  relay.beforeRequest(REQUESTS['poll, values'], () => {
    relay.dropAnswersAfter(0);
    isLost = true;
  });
  await waitFor('the answer is lost', () => isLost);
  const other = await startCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } }).done;
  expect(other.events.map(({ event }) => event)).toContain('lock.takeover');
  relay.set('pass');
  const { code, stderr } = await unlucky.done;
  expect({ code, stderr }).toMatchObject({ code: 0 });
});
