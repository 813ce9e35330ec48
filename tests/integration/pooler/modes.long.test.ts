import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { applicationName } from '../../../src/lock/lease.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { tableOf } from '../../support/documents.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { hasHaproxy, startHaproxy } from '../../support/haproxy.js';
import { hasPgpool, startPgpool } from '../../support/pgpool.js';
import { hasPooler, startPooler } from '../../support/pooler.js';
import { childrenOf, endProcess } from '../../support/processes.js';
import { assertNothingLeft, CLI, NODE, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

/** The table "What works" of docs/connecting.md: each of its cells is a test here. */

const INTERVAL = new URL('../../support/fixtures/interval.mjs', import.meta.url).pathname;

let server: EmbeddedServer;
let db: TestDatabase;
let through: (url: string) => string;
/** To the database through the pooler. */
let url: string;
let clients: postgres.Sql[] = [];

const env = () => ({ DATABASE_URL: url, NODE, CLI, INTERVAL });
const start = (...words: string[]) => startCli(words, { env: env() });
const run = (...words: string[]) => start('run', '--wait-timeout', '50s', ...words);
const call = (...words: string[]) => runCli(words, { env: env(), auditOnly: false });

/** A client through the pooler; prepared statements do not survive a change of its session. */
function client(name = ''): postgres.Sql {
  const connection = { application_name: name };
  const made = postgres(url, {
    max: 1,
    prepare: false,
    fetch_types: false,
    onnotice: () => undefined,
    connection,
  });
  clients.push(made);
  return made;
}

const lease = () =>
  db.sql<{ free: boolean; over: boolean }[]>`
    SELECT released_at IS NOT NULL AS free, expires_at <= clock_timestamp() AS over FROM migrate_lock.migration_lock`;

/** What a session does that has the name of a lease that expired without a release. */
async function orphanedStatement(): Promise<'waited for' | 'ended'> {
  // A session that is older than the lease is never ended: a new role's pool has none but those that occupy it here.
  url = through((await db.createRole('SUPERUSER')).url);
  const holder = run('--ttl', '3s', '--kill-grace', '100ms', '--', 'sleep', '1000');
  const { instanceId } = await holder.waitForEvent('child.started');
  const others = [1, 2, 3].map(() => client()`SELECT pg_sleep(2)`.execute());
  await waitFor('they run', async () => {
    const running =
      await db.sql`SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(2)' AND state = 'active'`;
    return running.length === others.length;
  });
  const statement = client(applicationName(instanceId))`SELECT pg_sleep(6)`.then(
    () => 'waited for' as const,
    () => 'ended' as const,
  );
  await Promise.all(others);
  await waitFor('it runs', async () => {
    const running = await db.sql`
      SELECT FROM pg_stat_activity WHERE application_name = ${applicationName(instanceId)} AND state = 'active'`;
    return running.length === 1;
  });
  holder.kill('SIGSTOP'); // otherwise it would replace its guard
  for (const pid of childrenOf(holder.pid)) await endProcess(pid);
  holder.kill('SIGKILL');
  const { code, stderr } = await run('--', 'true').done;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return statement;
}

interface Feature {
  /** What is refused where this does not work. */
  words: string[][];
  /** Fails where it does not work; may say how it works. */
  use: () => Promise<'waited for' | 'ended' | undefined>;
}

const FEATURES: Record<string, Feature> = {
  '`run`, eight at once': {
    words: [['run', '--', 'true']],
    use: async () => {
      const runs = Array.from({ length: 8 }, () => run('--', 'node', INTERVAL).done);
      const results = await Promise.all(runs);
      expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
      expect(await db.sql`SELECT FROM ran WHERE NOT upper_inf(during)`).toHaveLength(8);
      return undefined;
    },
  },
  '`run --once`, `wait`': {
    words: [
      ['run', '--once', 'release 1', '--', 'true'],
      ['wait', '--once', 'release 1', '--wait-timeout', '0'],
    ],
    use: async () => {
      const waiting = start('wait', '--once', 'release 1', '--wait-timeout', '50s');
      await waiting.waitForEvent('wait.started');
      for (const event of ['child.exited', 'run.skipped']) {
        const { code, events } = await run('--once', 'release 1', '--', 'true').done;
        expect({ code, names: events.map((one) => one.event) }).toMatchObject({
          code: 0,
          names: expect.arrayContaining([event]),
        });
      }
      expect((await waiting.done).code).toBe(0);
      return undefined;
    },
  },
  '`init`, `status`, `history`, `cleanup`, `unlock`': {
    words: [['init'], ['status'], ['history'], ['cleanup'], ['unlock']],
    use: async () => {
      expect(await call('init')).toMatchObject({ code: 0 });
      const holder = run('--', 'sleep', '1000');
      const { instanceId } = await holder.waitForEvent('child.started');
      const { code, stdout } = await call('status', '--json');
      expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 0, state: 'held' });
      for (const words of [['history'], ['cleanup'], ['unlock', '--force', '--instance', instanceId]]) {
        const { code, stderr } = await call(...words);
        expect({ words, code, stderr }).toMatchObject({ code: 0 });
      }
      holder.kill('SIGTERM');
      expect((await holder.done).code).toBe(70);
      return undefined;
    },
  },
  '`extend`, a run inside a run': {
    words: [],
    use: async () => {
      const inner = '"$NODE" "$CLI" extend --ttl 10m && "$NODE" "$CLI" run -- "$NODE" "$INTERVAL"';
      const { code, stderr, events } = await run('--', 'sh', '-c', inner).done;
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(events.map(({ event }) => event)).toContain('lease.extended');
      return undefined;
    },
  },
  '`assert_held` in the migration': {
    words: [],
    use: async () => {
      const holder = run('--', 'sleep', '1000');
      const { instanceId, fencingToken } = await holder.waitForEvent('lock.acquired');
      const assert = () =>
        client().begin((sql) => sql`SELECT migrate_lock.assert_held(${instanceId}, ${fencingToken ?? 0})`);
      await assert();
      holder.kill('SIGTERM');
      expect((await holder.done).code).toBe(143);
      await expect(assert()).rejects.toMatchObject({ code: '55000' });
      return undefined;
    },
  },
  '`CREATE INDEX CONCURRENTLY` while others wait': {
    words: [],
    use: async () => {
      const holder = run('--', 'sleep', '1000');
      await holder.waitForEvent('child.started');
      const others = Array.from({ length: 3 }, () => run('--', 'true'));
      for (const other of others) await other.waitForEvent('lock.waiting');
      await client().unsafe('CREATE INDEX CONCURRENTLY ran_instance ON ran (instance_id)');
      expect(
        await db.sql`SELECT FROM pg_index WHERE indisvalid AND indexrelid = 'ran_instance'::regclass`,
      ).toHaveLength(1);
      holder.kill('SIGTERM');
      for (const other of others) expect((await other.done).code).toBe(0);
      expect((await holder.done).code).toBe(143);
      return undefined;
    },
  },
  'a killed `run`: its guard releases': {
    words: [],
    use: async () => {
      const holder = run('--ttl', '10m', '--', 'sleep', '1000');
      await holder.waitForEvent('child.started');
      holder.kill('SIGKILL');
      await waitFor('the release', async () => (await lease())[0]?.free === true);
      return undefined;
    },
  },
  'a statement that outlives its run': { words: [], use: orphanedStatement },
};

/** The ways to the server. Each starts it, and gives the same URL through it. */
interface Way {
  isHere: boolean;
  open: (server: string) => Promise<{ through: (url: string) => string; stop: () => Promise<void> }>;
}

const bouncer = (mode: string): Way => ({
  isHere: hasPooler,
  open: (url) => startPooler(url, { poolSize: 10, settings: { pool_mode: mode } }),
});

const WAYS: Record<string, Way> = {
  'PgBouncer, `session`': bouncer('session'),
  'PgBouncer, `transaction`': bouncer('transaction'),
  'PgBouncer, `statement`': bouncer('statement'),
  'pgpool-II': { isHere: hasPgpool, open: (url) => startPgpool([url], { num_init_children: 12 }) },
  'HAProxy, `mode tcp`': {
    isHere: hasHaproxy,
    open: (url) => startHaproxy([`server one 127.0.0.1:${new URL(url).port}`]),
  },
};

/** By the row and the column of the document. */
const documented = new Map(
  tableOf('docs/connecting.md', 'what', ...Object.keys(WAYS)).flatMap(([what = '', ...cells]) =>
    Object.keys(WAYS).map((way, at): [string, string] => [`${what}: ${way}`, cells[at] ?? '']),
  ),
);

test('the table of the document has these rows and no other', () => {
  const rows = Object.keys(FEATURES).flatMap((what) => Object.keys(WAYS).map((way) => `${what}: ${way}`));
  expect([...documented.keys()]).toEqual(rows);
});

describe.each(Object.entries(WAYS))('%s', (way, { isHere, open }) => {
  if (!isHere) {
    test.skip('it is not installed', () => undefined);
    return;
  }
  let between: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    server = await startServer();
    db = await createDatabase(server.url);
    await db.sql`CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))`;
    between = await open(server.url);
    through = between.through;
  });
  beforeEach(() => {
    url = through(db.url);
  });
  afterEach(async () => {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
    clients = [];
    await assertNothingLeft();
    await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
    await db.sql`TRUNCATE ran`;
  });
  afterAll(async () => {
    await between.stop();
    await db.drop();
    await server.stop();
  });

  test.each(Object.entries(FEATURES))('%s', async (what, { words, use }) => {
    const said = documented.get(`${what}: ${way}`);
    if (said === 'refused' || said === '-') {
      for (const refused of words) {
        const { code, stderr } = await call(...refused);
        expect({ refused, code, stderr }).toMatchObject({
          code: 78,
          stderr: expect.stringContaining('pool_mode = transaction'),
        });
      }
      expect(said === 'refused').toBe(words.length > 0);
    } else {
      expect((await use()) ?? 'works').toBe(said);
    }
  });
});
