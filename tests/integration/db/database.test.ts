import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { readConnectionConfig } from '../../../src/db/settings/connection-config.js';
import type { OwnDatabase } from '../../../src/db/own-database.js';
import { CALLS } from '../../../src/generated/sql.js';
import { newIdentity } from '../../../src/lock/lease.js';
import { releaseLease } from '../../../src/lock/release.js';
import type { EventBody } from '../../../src/events/events.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { openDatabase, openLock, tryToAcquire } from '../../support/lock.js';
import { startRelay, type Relay } from '../../support/relay.js';
import { waitFor } from '../../support/wait-for.js';

let db: TestDatabase;
let relay: Relay;
let database: OwnDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(async () => {
  const [server] = readConnectionConfig({ url: db.url, env: {} }).hosts;
  if (server === undefined) throw new Error('no host');
  relay = await startRelay(server);
  database = openDatabase(relay.through(db.url));
});
afterEach(async () => {
  database.disconnect();
  await relay.close();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const ASK = { name: 'ask', statement: 'SELECT 1 AS answer', parameters: [], limitMs: 5_000 };

async function connections(): Promise<number> {
  const [found] =
    await db.sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = ${db.name} AND application_name = 'migrate-lock'`;
  return Number(found?.n);
}

describe('a call', () => {
  test('uses the existing connection', async () => {
    for (let n = 0; n < 3; n++) expect(await database.call(ASK)).toBe(1);
    expect(relay.accepted()).toBe(1);
  });

  test('reads its precondition once in a session, and again after ten seconds and in another session', async () => {
    let reads = 0;
    const check = () => ({ storesUnicode: true, owner: `read ${++reads}` });
    const asked = { ...ASK, precondition: { statement: CALLS.backend, check } };
    for (let n = 0; n < 3; n++) await database.call(asked);
    expect(reads).toBe(1);
    await database.call({ ...asked, precondition: { statement: `${CALLS.backend} `, check } });
    expect(reads).toBe(2);
    const now = performance.now.bind(performance);
    const later = jest.spyOn(performance, 'now').mockImplementation(() => now() + 10_000);
    await database.call(asked).finally(() => later.mockRestore());
    expect(reads).toBe(3);
    database.disconnect();
    await database.call(asked);
    expect(reads).toBe(4);
  });

  test('is not made after a precondition that failed', async () => {
    const check = () => {
      throw new Error('not trusted');
    };
    const asked = { ...ASK, precondition: { statement: CALLS.backend, check } };
    for (let n = 0; n < 2; n++) await expect(database.call(asked)).rejects.toThrow('not trusted');
  });

  test('has its own time limit on a half-open connection, and the next call reconnects', async () => {
    await database.call(ASK);
    relay.set('silent');
    await expect(database.call({ ...ASK, limitMs: 200 })).rejects.toMatchObject({ code: 'CALL_TIMEOUT' });
    relay.set('pass');
    expect(await database.call(ASK)).toBe(1);
    expect(relay.accepted()).toBe(2);
  });

  test('has a time limit also before the connection is open', async () => {
    relay.set('silent');
    await expect(database.call({ ...ASK, limitMs: 200 })).rejects.toMatchObject({
      code: expect.stringMatching(/TIMEDOUT|CALL_TIMEOUT/),
    });
  });

  test('is named in its time limit error', async () => {
    await expect(
      database.call({ ...ASK, name: 'poll the lock', statement: 'SELECT pg_sleep(5)', limitMs: 200 }),
    ).rejects.toThrow('poll the lock: no answer from the database within 200 ms');
  });

  test('reports that the connection was lost, and the next call reconnects', async () => {
    await database.call(ASK);
    relay.cut();
    await waitFor('the server has noticed', async () => (await connections()) === 0);
    expect(await waitFor('an answer', () => database.call(ASK))).toBe(1);
  });

  test('that fails leaves the connection usable', async () => {
    await expect(database.call({ ...ASK, statement: 'SELECT 1/0 AS answer' })).rejects.toMatchObject({
      code: '22012',
    });
    expect(await database.call(ASK)).toBe(1);
    expect(relay.accepted()).toBe(1);
  });
});

describe('a disconnect', () => {
  test('ends the session', async () => {
    await database.call(ASK);
    database.disconnect();
    await waitFor('the session is gone', async () => (await connections()) === 0);
  });
});

describe('an answer that is lost after the commit', () => {
  test('of an acquisition: the next attempt recognizes the lease', async () => {
    const calls = await openLock(relay.through(db.url));
    const me = newIdentity();
    relay.beforeRequest('.poll(', () => relay.dropAnswersAfter(1));
    const attempt = tryToAcquire(calls, { me }).catch((error: unknown) => error);
    await waitFor('it is acquired', async () => {
      return (await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).length === 1;
    });
    relay.set('pass');
    relay.cut();
    expect(await attempt).toMatchObject({ code: expect.any(String) });
    const { answer } = await tryToAcquire(calls, { me });
    expect(answer).toMatchObject({ outcome: 'acquired', lease: { fencingToken: 1 } });
    calls.database.disconnect();
  });

  test('of a release: the next attempt finds it released', async () => {
    const calls = await openLock(relay.through(db.url));
    const { me, answer } = await tryToAcquire(calls);
    if (answer.outcome !== 'acquired') throw new Error('not acquired');
    relay.beforeRequest('.release(', () => relay.dropAnswersAfter(1));
    const events: EventBody[] = [];
    const releasing = releaseLease(calls, me, answer.lease, { end: {}, emit: (event) => events.push(event) });
    await waitFor('it is released', async () => {
      const [row] = await db.sql`SELECT released_at FROM migrate_lock.migration_lock`;
      return row?.released_at !== null;
    });
    relay.set('pass');
    relay.cut();
    expect(await releasing).toBe('released');
    expect(events.map(({ event }) => event)).toEqual(['lock.release_delayed', 'lock.released']);
    calls.database.disconnect();
  });
});
