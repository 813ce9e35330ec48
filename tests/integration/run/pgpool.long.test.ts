import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { query, ReplicatedPair } from '../../adversarial/failover/replicated-pair.js';
import { applicationName } from '../../../src/lock/lease.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { hasPgpool, poolNodes, startPgpool, type Pgpool } from '../../support/pgpool.js';
import { assertNothingLeft, runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';

(hasPgpool ? describe : describe.skip)('behind pgpool-II with 4 children', () => {
  let server: EmbeddedServer;
  let pgpool: Pgpool;
  let env: { DATABASE_URL: string };
  let clients: postgres.Sql[] = [];
  beforeAll(async () => {
    server = await startServer();
    pgpool = await startPgpool([server.url]);
    env = { DATABASE_URL: pgpool.through(server.url) };
  });
  afterEach(async () => {
    await Promise.all(clients.map((sql) => sql.end({ timeout: 1 })));
    clients = [];
    await assertNothingLeft();
  });
  afterAll(async () => {
    await pgpool.stop();
    await server.stop();
  });

  function client(name: string): postgres.Sql {
    const connection = { application_name: name };
    const made = postgres(env.DATABASE_URL, {
      max: 1,
      fetch_types: false,
      onnotice: () => undefined,
      connection,
    });
    clients.push(made);
    return made;
  }

  test('8 runs at once all get their turn', async () => {
    const runs = Array.from({ length: 8 }, () =>
      runCli(['run', '--wait-timeout', '2m', '--', 'sleep', '0.2'], { env }),
    );
    const results = await Promise.all(runs);
    expect(results.filter(({ code }) => code !== 0).map(({ stderr }) => stderr)).toEqual([]);
  });

  test('a session that a command left is waited for, by its release and by a takeover; the server stays in use', async () => {
    const other = client('other');
    await other`SELECT 1`;
    const holder = startCli(['run', '--ttl', '3s', '--kill-grace', '100ms', '--', 'sleep', '1000'], { env });
    const { instanceId } = await holder.waitForEvent('child.started');
    const orphan = client(applicationName(instanceId));
    const statement = orphan`SELECT pg_sleep(6)`;
    const next = startCli(['run', '--', 'true'], { env });
    const until = await Promise.all([statement, holder.done, next.done]);
    expect(until[2].code).toBe(0);
    expect(next.events().find(({ event }) => event === 'lock.takeover')).toMatchObject({ sessionsEnded: 0 });
    expect(await other`SELECT 1 AS one`).toMatchObject([{ one: 1 }]);
    expect(await poolNodes(env.DATABASE_URL)).toMatchObject([{ status: 'up' }]);
    expect(pgpool.log()).not.toMatch(/degenerat|failover: set/i);
  });
});

(hasPgpool ? describe : describe.skip)('behind pgpool-II that balances load', () => {
  let pair: ReplicatedPair;
  beforeAll(async () => {
    pair = await ReplicatedPair.start();
  });
  afterAll(() => pair.stop());

  test.each([
    ['with its defaults', {}],
    ['with every function declared as read-only', { read_only_function_list: '.*' }],
  ])('no call reaches a replica: %s', async (_, settings) => {
    const statements = (): string[] =>
      readFileSync(pair.standby.logFile, 'utf8')
        .split('\n')
        .filter((line) => /migrate_lock|pg_is_in_recovery\(\) AS is_replica/.test(line));
    await query(pair.standby.url, `ALTER SYSTEM SET log_statement = 'all'`, 'SELECT pg_reload_conf()');
    // Everything that may be balanced goes to the replica.
    const pgpool = await startPgpool([pair.primary.url, pair.standby.url], {
      load_balance_mode: 'on',
      backend_weight0: 0,
      backend_weight1: 1,
      ...settings,
    });
    const env = { DATABASE_URL: pgpool.through(pair.primary.url) };
    try {
      await waitFor('load is balanced', async () => {
        const [row] = await query(env.DATABASE_URL, `SELECT current_setting('port')::int AS port`);
        return row?.port === pair.standby.port;
      });
      const before = statements();
      const runs = Array.from({ length: 3 }, () => runCli(['run', '--', 'true'], { env }));
      for (const { code, stderr } of await Promise.all(runs)) expect(code === 0 ? '' : stderr).toBe('');
      for (const words of [['status', '--json'], ['history'], ['cleanup']])
        expect(await runCli(words, { env, auditOnly: false })).toMatchObject({ code: 0 });
      expect(statements()).toEqual(before);
    } finally {
      await pgpool.stop();
    }
  });
});
