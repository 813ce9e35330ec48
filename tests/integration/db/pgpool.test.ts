import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { BorrowedDatabase } from '../../../src/db/borrowed-database.js';
import type { Database } from '../../../src/db/database.js';
import { isRdsProxy } from '../../../src/db/pooler.js';
import { LockCalls } from '../../../src/lock/calls.js';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { LIMIT_MS, openDatabase, openLock, tryToAcquire } from '../../support/lock.js';
import { hasPgpool, startPgpool, type Pgpool } from '../../support/pgpool.js';
import { startRelay } from '../../support/relay.js';

test.each([
  ['app.proxy-abcdef123456.eu-west-1.rds.amazonaws.com', true],
  ['app-ro.endpoint.proxy-abcdef123456.eu-west-1.rds.amazonaws.com.', true],
  ['app.proxy-abcdef123456.cn-north-1.rds.amazonaws.com.cn', true],
  ['app.abcdef123456.eu-west-1.rds.amazonaws.com', false],
  ['my.proxy-1.example.com', false],
])('%s is an RDS Proxy: %s', (host, isProxy) => {
  expect(isRdsProxy(host)).toBe(isProxy);
  const database = openDatabase(`postgres://u@${host}/d`);
  expect([database.isPooled, database.isDirect]).toEqual([isProxy, false]);
});

describe("a proxy that passes on the server's process id", () => {
  let server: EmbeddedServer;
  let pgpool: Pgpool | undefined;
  let endings: (() => unknown)[] = [];
  beforeAll(async () => {
    server = await startServer({ settings: { log_statement: 'all' } });
    (await openLock(server.url)).database.disconnect();
    if (hasPgpool) pgpool = await startPgpool([server.url]);
  });
  afterEach(async () => {
    for (const end of endings.reverse()) await end();
    endings = [];
  });
  afterAll(async () => {
    await pgpool?.stop();
    await server.stop();
  });

  function questions(): number {
    return readFileSync(server.logFile, 'utf8').split('statement: SHOW pool_version').length - 1;
  }

  /** Makes calls, reconnects and calls again; counts the queries about pgpool-II, which must be `asked`. */
  async function expectPath(database: Database, { isPooled, asked }: { isPooled: boolean; asked: number }) {
    endings.push(() => database.disconnect());
    const before = questions();
    const calls = new LockCalls(database, 'migrate_lock');
    for (let i = 0; i < 2; i++) {
      const { me, answer } = await tryToAcquire(calls);
      expect(answer.outcome).toBe('acquired');
      expect(await calls.release(me)).toMatchObject({ outcome: 'released' });
      expect(await database.findPooler(LIMIT_MS)).toBe(isPooled);
      expect([database.isPooled, database.isDirect]).toEqual([isPooled, !isPooled]);
      expect(calls.endsOrphans).toBe(!isPooled);
      database.disconnect();
    }
    expect(questions() - before).toBe(asked);
  }

  /** On Unix sockets, each program's in its own folder. */
  const onSocket = (folder: string, port: number | string): string => {
    const url = new URL(server.url);
    url.searchParams.set('host', folder);
    url.port = String(port);
    return url.href;
  };

  test('a direct connection is recognized without a query', async () => {
    await expectPath(openDatabase(server.url), { isPooled: false, asked: 0 });
  });

  test('a direct connection to the Unix socket is recognized without a query', async () => {
    const url = onSocket(server.socketDirectory, server.port);
    await expectPath(openDatabase(url), { isPooled: false, asked: 0 });
  });

  test('a relay costs one query', async () => {
    const relay = await startRelay(server);
    endings.push(relay.close);
    await expectPath(openDatabase(relay.through(server.url)), { isPooled: false, asked: 1 });
  });

  test("the application's instance is queried only where it matters", async () => {
    const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
    endings.push(() => sql.end());
    const before = questions();
    const calls = new LockCalls(new BorrowedDatabase(sql), 'migrate_lock');
    const { me } = await tryToAcquire(calls);
    expect(await calls.release(me)).toMatchObject({ outcome: 'released' });
    expect(questions()).toBe(before);
    await expectPath(new BorrowedDatabase(sql), { isPooled: false, asked: 1 });
  });

  (hasPgpool ? test : test.skip)('pgpool-II is recognized without a query to the server', async () => {
    if (pgpool === undefined) throw new Error('it did not start');
    const { through, port, folder } = pgpool;
    await expectPath(openDatabase(through(server.url)), { isPooled: true, asked: 0 });
    await expectPath(openDatabase(onSocket(folder, port)), { isPooled: true, asked: 0 });
    const sql = postgres(through(server.url), { max: 1, onnotice: () => undefined });
    endings.push(() => sql.end());
    await expectPath(new BorrowedDatabase(sql), { isPooled: true, asked: 0 });
  });

  (hasPgpool ? test : test.skip)('pgpool-II on Unix sockets is recognized', async () => {
    const between = await startPgpool([server.url], { backend_hostname0: server.socketDirectory });
    endings.push(between.stop);
    await expectPath(openDatabase(onSocket(between.folder, between.port)), { isPooled: true, asked: 0 });
  });
});
