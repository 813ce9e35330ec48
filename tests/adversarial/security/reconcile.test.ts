import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { verifyHistory } from '../../../src/admin/verify-history.js';
import { createDatabase, serverUrl, type TestDatabase } from '../../support/database.js';
import { openLock } from '../../support/lock.js';
import { REQUESTS } from '../faults/inflict.js';
import { startRelay } from '../../support/relay.js';
import { assertNothingLeft, CLI, NODE, startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** How the runs of the storm end; each of these that many times. */
const STORM = { ends: 6, fails: 2, extends: 2, killed: 2, stopped: 2 } as const;
type Fate = keyof typeof STORM;

const COMMANDS: Record<Fate, string[]> = {
  ends: ['true'],
  fails: ['false'],
  extends: [NODE, CLI, 'extend', '--ttl', '1m'],
  killed: ['sleep', '1000'],
  stopped: ['sleep', '1000'],
};

interface Row {
  event: string;
  instanceId: string;
  fencingToken: number;
  hash: string;
  by: string | null;
}

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(assertNothingLeft);
afterAll(() => db.drop());

function start(fate: Fate, url = db.url): RunningCli {
  const options = ['--ttl', '20s', '--kill-grace', '200ms', '--wait-timeout', '2m'];
  const cli = startCli(['run', ...options, '--', ...COMMANDS[fate]], { env: { DATABASE_URL: url } });
  if (fate === 'killed') void cli.waitForEvent('child.started').then(() => cli.kill('SIGKILL'));
  if (fate === 'stopped') void cli.waitForEvent('child.started').then(() => cli.kill('SIGTERM'));
  return cli;
}

/** The events with a chained row, as that row is described. */
function audited({ events }: Pick<RunningCli, 'events'>): Omit<Row, 'by'>[] {
  return events().flatMap((event) =>
    'auditHash' in event
      ? [
          {
            event: event.event,
            instanceId: event.instanceId,
            fencingToken: event.fencingToken ?? 0,
            hash: event.auditHash ?? 'none',
          },
        ]
      : [],
  );
}

const isReleaseOf = (row: Row, instanceId: string) =>
  row.event === 'lock.released' && row.instanceId === instanceId;

const chained = () => db.sql<Row[]>`
  SELECT event, instance_id AS "instanceId", fencing_token::int AS "fencingToken", encode(hash, 'hex') AS hash,
         details ->> 'by' AS by
    FROM migrate_lock.migration_lock_audit WHERE chain_seq IS NOT NULL ORDER BY chain_seq`;

test('the events on stdout and the rows of the history agree, also for killed runs and lost answers', async () => {
  const server = new URL(serverUrl());
  const relay = await startRelay({ host: server.hostname, port: Number(server.port) });
  const lock = await openLock(db.url);
  const runs = Object.entries(STORM).flatMap(([fate, n]) =>
    Array.from({ length: n }, () => ({ fate: fate as Fate, cli: start(fate as Fate) })),
  );
  // Its release is executed and the answer is lost: it finds its own row at the second attempt.
  const unheard = { fate: 'stopped' as const, cli: start('stopped', relay.through(db.url)) };
  let isUnheard = false;
  relay.beforeRequest(REQUESTS['release, values'], () => {
    relay.dropAnswersAfter(0);
    isUnheard = true;
  });
  const { instanceId } = await unheard.cli.waitForEvent('child.started', undefined, 60_000);
  await waitFor('its release', async () => (await chained()).some((row) => isReleaseOf(row, instanceId)));
  expect(isUnheard).toBe(true);
  relay.set('pass');
  relay.cut();
  await Promise.all([...runs, unheard].map(({ cli }) => cli.done));
  await relay.close();
  // The guards of the killed runs release their leases.
  await waitFor('the last release', async () => (await lock.status()).state !== 'held');

  const rows = await chained();
  const lines = [...runs, unheard].flatMap(({ cli }) => audited(cli));
  const byHash = new Map(rows.map((row) => [row.hash, row]));
  for (const line of lines) expect(byHash.get(line.hash)).toMatchObject(line);
  expect(new Set(lines.map(({ hash }) => hash)).size).toBe(lines.length);

  // A row without a line belongs to a run that could not write any more.
  const told = new Set(lines.map(({ hash }) => hash));
  const untold = rows.filter(({ hash }) => !told.has(hash));
  expect(untold.map(({ event, by }) => [event, by])).toEqual(
    Array.from({ length: STORM.killed }, () => ['lock.released', 'guard']),
  );
  const acquired = rows.filter(({ event }) => event === 'lock.acquired');
  expect(acquired).toHaveLength(runs.length + 1);
  expect(rows.filter(({ event }) => event === 'lock.released')).toHaveLength(acquired.length);
  expect(rows.filter(({ event }) => event === 'lease.extended')).toHaveLength(STORM.extends);
  expect(await verifyHistory(lock)).toMatchObject({ rows: rows.length, headHash: rows.at(-1)?.hash });
  lock.database.disconnect();
});
