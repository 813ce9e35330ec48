import { describe, expect, test } from '@jest/globals';
import type { TestDatabase } from '../../support/database.js';
import { runCli, startCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { useDatabase } from '../../support/use-database.js';

let db: TestDatabase;
useDatabase((made) => (db = made));

function run(args: string[], env: Record<string, string> = {}) {
  return runCli(['run', ...args], { env: { DATABASE_URL: db.url, ...env } });
}

async function history(): Promise<string[]> {
  const rows = await db.sql<
    { event: string }[]
  >`SELECT event FROM migrate_lock.migration_lock_audit ORDER BY id`;
  return rows.map(({ event }) => event);
}

describe('a run', () => {
  test('applies the schema, acquires, runs, releases, and reports each step', async () => {
    const { code, events, stderr } = await run(['--', 'sh', '-c', 'echo hello; exit 0']);
    expect(events.map(({ event }) => event)).toEqual([
      'schema.applied',
      'lock.acquired',
      'child.started',
      'child.exited',
      'lock.released',
      'run.finished',
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain('hello');
    expect(new Set(events.map(({ instanceId }) => instanceId)).size).toBe(1);
    const tokens = events.map(({ fencingToken }) => fencingToken);
    expect(tokens).toEqual([undefined, 1, 1, 1, 1, 1]);
    expect(events.at(-1)).toMatchObject({ outcome: 'completed', exitCode: 0 });
    expect(events[0]).toMatchObject({ database: db.name, schema: 'migrate_lock' });
    expect(await history()).toEqual(['lock.acquired', 'lock.released']);
  });

  test('needs no schema the second time, and gets the next token', async () => {
    await run(['--', 'true']);
    const { events } = await run(['--', 'true']);
    expect(events.map(({ event }) => event)).not.toContain('schema.applied');
    expect(events.at(-1)?.fencingToken).toBe(2);
  });

  test("passes the lease's id and token to the child, and never the secret", async () => {
    const { stderr, events } = await run(['--', 'env'], { 'A.B': 'dotted', X: 'it\'s; $(x)\n"' });
    const instanceId = events[0]?.instanceId ?? 'none';
    expect(stderr).toContain(`MIGRATE_LOCK_INSTANCE_ID=${instanceId}\n`);
    expect(stderr).toContain('MIGRATE_LOCK_FENCING_TOKEN=1\n');
    expect(stderr).toMatch(/^MIGRATE_LOCK_EXPIRES_AT=\d{4}-.*Z$/m);
    expect(stderr).toContain(`PGAPPNAME=migrate-lock:${instanceId}\n`);
    expect(stderr).toContain('A.B=dotted\n');
    expect(stderr).toContain('X=it\'s; $(x)\n"\n');
    const names = [...stderr.matchAll(/^(MIGRATE_LOCK_\w+)=/gm)].map(([, name]) => name).sort();
    expect(names).toEqual([
      'MIGRATE_LOCK_EXPIRES_AT',
      'MIGRATE_LOCK_FENCING_TOKEN',
      'MIGRATE_LOCK_INSTANCES',
      'MIGRATE_LOCK_INSTANCE_ID',
      'MIGRATE_LOCK_SOCKET',
    ]);
  });

  test('does not change a PGAPPNAME of the user', async () => {
    const { stderr } = await run(['--', 'env'], { PGAPPNAME: 'mine' });
    expect(stderr).toContain('PGAPPNAME=mine\n');
  });

  test('--child-stdout stdout shares stdout', async () => {
    const { stdout, code } = await runCli(
      ['run', '--child-stdout', 'stdout', '--', 'echo', 'from the child'],
      {
        env: { DATABASE_URL: db.url },
        auditOnly: false,
      },
    );
    expect(code).toBe(0);
    expect(stdout.split('\n')).toContain('from the child');
  });

  test('passes its stdin to the child', async () => {
    const { stderr } = await runCli(['run', '--', 'cat'], {
      env: { DATABASE_URL: db.url },
      input: 'through stdin',
    });
    expect(stderr).toContain('through stdin');
  });

  test('--quiet leaves stderr to the child', async () => {
    const { stderr } = await run(['--quiet', '--', 'sh', '-c', 'echo only this']);
    expect(stderr).toBe('only this\n');
  });

  test.each([
    ['1', true],
    ['0', false],
    ['false', false],
  ])('MIGRATE_LOCK_QUIET=%s', async (value, isQuiet) => {
    const { stderr } = await run(['--', 'true'], { MIGRATE_LOCK_QUIET: value });
    expect(stderr === '').toBe(isQuiet);
  });

  test('ends leftover processes before the release', async () => {
    const { code, events } = await run(['--', 'sh', '-c', 'sleep 1000 & sleep 1000 & exit 3']);
    expect(code).toBe(3);
    expect(events.map(({ event }) => event).slice(-4)).toEqual([
      'child.exited',
      'child.leftover',
      'lock.released',
      'run.finished',
    ]);
    expect(events.find(({ event }) => event === 'child.leftover')).toMatchObject({ count: 2 });
  });

  test('reads options from the environment too, and a flag overrides them', async () => {
    const { events } = await run(['--ttl', '20s', '--', 'true'], {
      MIGRATE_LOCK_TTL: '5m',
      MIGRATE_LOCK_SCHEMA: 'other',
    });
    expect(events.find(({ event }) => event === 'lock.acquired')).toMatchObject({
      ttlMs: 20_000,
      schema: 'other',
    });
    await db.sql`DROP SCHEMA other CASCADE`;
  });

  test('passes metacharacters in the command, its environment and the schema unchanged', async () => {
    const hostile = `'; DROP TABLE x; -- "$(touch /nope)" \\ $$ $1 %s \u2028 \u{1F600}`;
    const { stderr, code } = await run(['--schema', `a"b'c;$$`, '--', 'printf', '%s', hostile], {
      HOSTILE: hostile,
    });
    expect(code).toBe(0);
    expect(stderr).toContain(hostile);
    const [lease] = await db.sql`SELECT command FROM ${db.sql(`a"b'c;$$`)}.migration_lock`;
    expect(lease?.command).toContain('DROP TABLE x');
    await db.sql`DROP SCHEMA ${db.sql(`a"b'c;$$`)} CASCADE`;
  });

  test("ignores parameters of other tools' URLs with a notice", async () => {
    const url = db.urlWith((changed) => {
      changed.searchParams.set('schema', 'public');
      changed.searchParams.set('connection_limit', '5');
      changed.searchParams.set('pgbouncer', 'true');
    });
    const { code, stderr } = await runCli(['run', '--', 'true'], { env: { DATABASE_URL: url } });
    expect(code).toBe(0);
    expect(stderr).toContain('connection_limit');
  });
});

describe('waiting', () => {
  test('names the holder and its command, then takes its turn', async () => {
    const holder = startCli(['run', '--', 'sh', '-c', 'read line'], { env: { DATABASE_URL: db.url } });
    // stdin is /dev/null, where `read` ends at once, so a process that waits for a row keeps it open instead.
    await holder.done;
    const first = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    await first.waitForEvent('child.started');
    const second = startCli(['run', '--', 'true'], { env: { DATABASE_URL: db.url } });
    const waiting = await second.waitForEvent('lock.waiting');
    const { instanceId } = await first.waitForEvent('lock.acquired');
    expect(waiting).toMatchObject({ holder: instanceId, holderCommand: 'sleep 1000', queueLength: 1 });
    first.kill('SIGTERM');
    expect((await first.done).code).toBe(143);
    const { code, events } = await second.done;
    expect(code).toBe(0);
    expect(events.map(({ event }) => event).slice(-4)).toEqual([
      'child.started',
      'child.exited',
      'lock.released',
      'run.finished',
    ]);
  });

  test('holds no connection between polls', async () => {
    const first = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
    await first.waitForEvent('child.started');
    const second = startCli(['run', '--no-listen', '--poll-interval', '5s', '--', 'true'], {
      env: { DATABASE_URL: db.url },
    });
    await second.waitForEvent('lock.waiting');
    await waitFor('only the holder is connected', async () => {
      const clients = await db.clients();
      return clients.filter((name) => name === 'migrate-lock').length === 1;
    });
    second.kill('SIGINT');
    first.kill('SIGTERM');
    await Promise.all([first.done, second.done]);
  });
});
