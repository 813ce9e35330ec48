/** All data reaches SQL as a parameter, except the schema's name, which is a quoted identifier. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Call, Database } from '../../../src/db/database.js';
import { CALLS } from '../../../src/generated/sql.js';
import { LockCalls } from '../../../src/lock/calls.js';
import { describeThisProcess, type Identity } from '../../../src/lock/lease.js';
import { ensureSchema } from '../../../src/schema/apply.js';
import { renderSql } from '../../../src/schema/render.js';
import { checkSchemaName } from '../../../src/schema/schema-name.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { anyText, hostileText, HOSTILE } from '../../support/hostile-text.js';
import { LIMIT_MS, openDatabase, openLock } from '../../support/lock.js';

const TEMPLATES = new Set<string>(Object.values(CALLS));

/** Any name that PostgreSQL can have. */
const schemaName: fc.Arbitrary<string> = fc
  .oneof(fc.constantFrom<string>(...HOSTILE), hostileText)
  .map((text) => cutToBytes(text.replace(/[\0\p{Surrogate}]/gu, ''), 63))
  .filter((name) => name !== '' && !name.startsWith('pg_') && !name.includes('://'));

function cutToBytes(text: string, bytes: number): string {
  let cut = text;
  while (Buffer.byteLength(cut) > bytes) cut = Array.from(cut).slice(0, -1).join('');
  return cut;
}

/** Answers nothing, and keeps the requests. */
function recorder(): { database: Database; calls: Call[] } {
  const calls: Call[] = [];
  const database: Database = {
    description: 'a recorder',
    name: 'none',
    isPooled: false,
    isDirect: true,
    notification: undefined,
    hosts: 1,
    connectTimeoutMs: undefined,
    findPooler: () => Promise.resolve(false),
    call: (call) => {
      calls.push(call);
      return Promise.resolve({ outcome: 'refused', lease: {} });
    },
    transaction: () => Promise.reject(new Error('no call has one')),
    disconnect: () => undefined,
  };
  return { database, calls };
}

async function callEverything(lock: LockCalls, [id, secret, host, command, key]: string[]): Promise<void> {
  const me: Identity = { instanceId: id ?? '', secret: secret ?? '' };
  const client = {
    host: host ?? '',
    pid: 1,
    command: command ?? '',
    commandSha256: 'sha',
    runKey: key ?? '',
  };
  const orphans = { sessions: [{ pid: 1, xid: null, role: host ?? '', state: command ?? '' }], denied: 0 };
  const options = {
    ttlMs: 1,
    pollIntervalMs: 1,
    isLast: false,
    limitMs: LIMIT_MS,
    respect: null,
    orphans: orphans as never,
  };
  const settled = await Promise.allSettled([
    lock.poll(me, client, options),
    lock.readRunKey(client, 1),
    lock.leave(me, LIMIT_MS),
    lock.release(me, { end: { reason: client.command }, orphans: orphans as never }),
    lock.extend(me, 1),
    lock.assertHeld(me.instanceId, 1),
    lock.status(),
    lock.history(1, null),
    lock.unlock(me.instanceId, { force: true }),
    lock.cleanup(),
    lock.prune(1),
  ]);
  expect(settled.length).toBeGreaterThan(0);
}

test('every call sends a text of sql/ with the quoted schema name, for any values', async () => {
  const texts = fc.array(anyText, { minLength: 5, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(schemaName, texts, async (schema, values) => {
      const { database, calls } = recorder();
      await callEverything(new LockCalls(database, schema), values);
      expect(calls.length).toBeGreaterThanOrEqual(11);
      const written = `"${schema.replaceAll('"', '""')}"`;
      for (const { statement } of calls) {
        // The schema's name appears in one known place: the text around it is the template's, byte for byte.
        const template = [...TEMPLATES].find(
          (text) => text.split('"migrate_lock"').join(written) === statement,
        );
        expect([statement, template]).toEqual([statement, expect.any(String)]);
      }
    }),
    { numRuns: 100 },
  );
});

test('a schema name is accepted or refused, and never changed', () => {
  fc.assert(
    fc.property(anyText, (name) => {
      try {
        expect(checkSchemaName(name)).toBe(name);
      } catch (error) {
        expect(error).toMatchObject({ code: 'USAGE', exitCode: 64 });
      }
    }),
    { numRuns: 500 },
  );
  const broken = `"migrate_lock" $body$ "migrate_lock" $body$`;
  expect(renderSql(broken, '$body$"')).toBe(`"$body$""" $body1$ "$body$""" $body1$`);
  const literal = `'migrate_lock' "migrate_lock"`;
  expect(renderSql(literal, `'"migrate_lock"'`)).toBe(`'''"migrate_lock"''' "'""migrate_lock""'"`);
});

describe('in PostgreSQL', () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await createDatabase();
  });
  afterAll(() => db.drop());

  const schemas = async () =>
    (
      await db.sql<
        { name: string }[]
      >`SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1`
    )
      .map(({ name }) => name)
      .filter((name) => !['public', 'information_schema'].includes(name));

  test('a schema with any name is created, used and found under that name only', async () => {
    await fc.assert(
      fc.asyncProperty(schemaName, async (name) => {
        const database = openDatabase(db.url);
        try {
          await ensureSchema(database, name);
          const lock = new LockCalls(database, name);
          expect(await lock.status()).toMatchObject({ state: 'free', lease: null });
          expect(await schemas()).toEqual([name]);
        } finally {
          database.disconnect();
          await db.sql.unsafe(`DROP SCHEMA IF EXISTS "${name.replaceAll('"', '""')}" CASCADE`);
        }
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });

  test('instance id, host, command, run key and details are stored unchanged', async () => {
    const lock = await openLock(db.url);
    const short = hostileText.map((text) => cutToBytes(text.replace(/\p{Surrogate}/gu, ''), 200));
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(short, short, short, short, async (id, host, command, key) => {
        // Neither is ever used twice, nor empty.
        const me = { instanceId: `${++runs} ${id}`, secret: `s${id}` };
        const runKey = `${runs} ${key}`;
        const client = { host: `h${host}`, pid: 7, command: `c${command}`, commandSha256: 'sha', runKey };
        const options = {
          ttlMs: 60_000,
          pollIntervalMs: 1_000,
          isLast: true,
          limitMs: LIMIT_MS,
          respect: null,
          orphans: null,
        };
        expect(await lock.poll(me, client, options)).toMatchObject({
          outcome: 'acquired',
          lease: { instanceId: me.instanceId },
        });
        const { instanceId } = me;
        const shown = { host: client.host, pid: client.pid, command: client.command, runKey };
        expect((await lock.status()).lease).toMatchObject({ ...shown, instanceId });
        const end = { reason: `r${command}` };
        const work = { succeeded: true, exitCode: 0, durationMs: 1 };
        expect(await lock.release(me, { end, work })).toMatchObject({ outcome: 'released' });
        expect(await lock.readRunKey(client, null)).toMatchObject({
          run: { instanceId, host: client.host, command: client.command },
        });
        expect((await lock.history(1, null)).at(-1)).toMatchObject({ instanceId, details: end });
      }),
      { numRuns: 60, endOnFailure: true },
    );
    lock.database.disconnect();
  });

  test('any command, from the library too, is stored, cut and reported', async () => {
    const lock = await openLock(db.url);
    const commands = fc.oneof(
      anyText,
      fc.constantFrom(
        '\u{1F600}'.repeat(1_500),
        `x${'\u{1F600}'.repeat(1_500)}`,
        '\0'.repeat(3_000),
        'y'.repeat(1_000_000),
      ),
    );
    await fc.assert(
      fc.asyncProperty(commands, async (command) => {
        const client = describeThisProcess(command);
        expect(client.command?.length).toBeLessThanOrEqual(2_000);
        if (command.length > 2_000) expect(client.command).toMatch(/… \(cut\)$/);
        const me = { instanceId: Math.random().toString(36), secret: 's' };
        const options = {
          ttlMs: 60_000,
          pollIntervalMs: 1_000,
          isLast: true,
          limitMs: LIMIT_MS,
          respect: null,
          orphans: null,
        };
        await lock.poll(me, client, options);
        expect((await lock.status()).lease).toMatchObject({
          instanceId: me.instanceId,
          command: client.command,
        });
        await lock.release(me);
      }),
      { numRuns: 40, endOnFailure: true },
    );
    lock.database.disconnect();
  });
});
