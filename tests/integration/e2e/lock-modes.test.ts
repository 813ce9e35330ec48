/** docs/protect-production.md: the lock that each statement takes, what it does with the rows, and who waits for it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import postgres from 'postgres';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { blocksOf, plain, tableOf } from '../../support/documents.js';
import { waitFor } from '../../support/wait-for.js';

const DOCUMENT = 'docs/protect-production.md';
const ROWS = tableOf(DOCUMENT, 'statement', 'lock on `orders`', 'rows', 'who waits');
const RECIPES = blocksOf(DOCUMENT)
  .filter(({ language, marks }) => language === 'sql' && marks['not run'] !== undefined)
  .map(({ text }) => text);
/** From the weakest to the strongest. */
const MODES = [
  ...['ACCESS SHARE', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE'],
  ...['SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'],
];
const LOCK_NOT_AVAILABLE = '55P03';
const isConcurrent = (statement: string) => statement.includes('CONCURRENTLY');

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
  await db.sql.unsafe(`
    CREATE TABLE customers AS SELECT id FROM generate_series(1, 10) AS id;
    ALTER TABLE customers ADD PRIMARY KEY (id);
    CREATE TABLE products AS SELECT id FROM generate_series(1, 10) AS id;
    ALTER TABLE products ADD PRIMARY KEY (id);
    CREATE TABLE orders AS
      SELECT id, 1 + id % 10 AS customer_id, 1 + id % 10 AS product_id, 1 AS quantity, 1 AS price, id AS number, id AS code
      FROM generate_series(1, 2500) AS id;
    ALTER TABLE orders ADD PRIMARY KEY (id)`);
});
afterAll(() => db.drop());

test('the table has statements that block others, and statements that do not', () => {
  expect(ROWS.length).toBeGreaterThan(15);
  expect(new Set(ROWS.map(([, , , who]) => who))).toEqual(
    new Set(['', 'writers', 'readers, writers', 'writers of the same rows']),
  );
});

describe('each statement, after those above it', () => {
  test.each(ROWS.map(([statement = '', ...said]) => [plain(statement), said] as const))(
    '%s',
    async (statement, said) => {
      const found = isConcurrent(statement) ? await concurrently(statement) : await inTransaction(statement);
      expect([found.mode, found.rows, found.waiting]).toEqual(said);
    },
  );
});

test('the recipes work one after another, and the last can be repeated', async () => {
  const [column = '', batch = '', notNull = '', index = '', ...more] = RECIPES;
  expect(more).toEqual([]);
  await each(column);
  let changed = 0;
  for (let round = 1; round > 0; changed += round) round = (await db.sql.unsafe(batch)).count;
  expect(changed).toBe(2500);

  for (const statement of statementsOf(notNull)) {
    const { rows } = await inTransaction(statement);
    expect([statement, rows]).toEqual([statement, statement.includes('VALIDATE') ? 'reads all' : 'none']);
  }
  // A violated UNIQUE leaves an INVALID index, which IF NOT EXISTS takes for a good one.
  await db.sql`UPDATE orders SET token = (SELECT token FROM orders WHERE id = 1) WHERE id = 2`;
  const create = 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS orders_token ON orders (token)';
  await expect(db.sql.unsafe(create)).rejects.toMatchObject({ code: '23505' });
  await db.sql`UPDATE orders SET token = DEFAULT WHERE id = 2`;
  await db.sql.unsafe(create);
  const isValid = async () =>
    (await db.sql`SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_token'::regclass`)[0]
      ?.indisvalid as unknown;
  expect(await isValid()).toBe(false);
  for (let time = 1; time <= 2; time++) {
    await each(index);
    expect(await isValid()).toBe(true);
  }
});

test('lock_timeout cuts off CREATE INDEX CONCURRENTLY too, which leaves an INVALID index', async () => {
  await db.sql.begin(async (older) => {
    await older`UPDATE orders SET quantity = quantity WHERE id = 1`;
    const migration = postgres(db.url, { max: 1, connection: { lock_timeout: 200 } });
    const create = migration.unsafe('CREATE INDEX CONCURRENTLY orders_price ON orders (price)');
    await expect(create).rejects.toMatchObject({ code: LOCK_NOT_AVAILABLE });
    await migration.end();
  });
  const [index] = await db.sql`SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_price'::regclass`;
  expect(index).toEqual({ indisvalid: false });
});

test('a foreign key takes its lock on the table that it refers to, too', async () => {
  await db.sql.begin(async (sql) => {
    await sql`ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (customer_id) REFERENCES customers NOT VALID`;
    const [pid] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    expect(await strongestLock(pid?.pid ?? 0, 'customers')).toBe('SHARE ROW EXCLUSIVE');
  });
});

interface Found {
  mode: string;
  rows: string;
  waiting: string;
}

/** Looks while the transaction is open, then commits it. */
async function inTransaction(statement: string): Promise<Found> {
  return db.sql.begin(async (sql) => {
    const before = await shapeIn(sql);
    await sql.unsafe(statement);
    const after = await shapeIn(sql);
    const [pid] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    const mode = await strongestLock(pid?.pid ?? 0);
    const isRewritten = after.file !== before.file;
    const writesEach = after.updated - before.updated > 2000;
    const isRead = after.scans > before.scans;
    const rows = isRewritten ? 'writes all' : writesEach ? 'writes each' : isRead ? 'reads all' : 'none';
    return { mode, rows, waiting: await whoWaits() };
  });
}

/** Looks while an older transaction, which has written to the table, keeps the statement waiting. */
async function concurrently(statement: string): Promise<Found> {
  const before = await scansSoFar();
  const migration = postgres(db.url, { max: 1, fetch_types: false });
  try {
    const [pid] = await migration<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
    let done: Promise<unknown> = Promise.resolve();
    const found = await db.sql.begin(async (older) => {
      await older`UPDATE orders SET quantity = quantity WHERE id = 1`;
      done = migration.unsafe(statement);
      done.catch(() => undefined);
      await waitFor('it waits', async () => {
        const [row] = await db.sql`SELECT 1 FROM pg_locks WHERE pid = ${pid?.pid ?? 0} AND NOT granted`;
        return row;
      });
      return { mode: await strongestLock(pid?.pid ?? 0), waiting: await whoWaits() };
    });
    await done;
    // The end of a session reports what it has read.
    await migration.end();
    const reads = !statement.startsWith('DROP');
    if (reads) await waitFor('it has read the table', async () => (await scansSoFar()) > before);
    return { ...found, rows: reads ? 'reads all' : 'none' };
  } finally {
    await migration.end({ timeout: 0 });
  }
}

async function shapeIn(
  sql: postgres.TransactionSql,
): Promise<{ file: string; scans: number; updated: number }> {
  const [shape] = await sql<{ file: string; scans: number; updated: number }[]>`
    SELECT pg_relation_filenode('orders')::text AS file,
      coalesce(pg_stat_get_xact_numscans('orders'::regclass), 0)::integer AS scans,
      coalesce(pg_stat_get_xact_tuples_updated('orders'::regclass), 0)::integer AS updated`;
  if (shape === undefined) throw new Error('there is no table');
  return shape;
}

async function scansSoFar(): Promise<number> {
  const [row] = await db.sql<{ scans: number }[]>`
    SELECT coalesce(pg_stat_get_numscans('orders'::regclass), 0)::integer AS scans`;
  return row?.scans ?? 0;
}

/** `AccessExclusiveLock` is ACCESS EXCLUSIVE. */
async function strongestLock(pid: number, table = 'orders'): Promise<string> {
  const locks = await db.sql<{ mode: string }[]>`
    SELECT mode FROM pg_locks WHERE pid = ${pid} AND relation = ${table}::regclass AND granted`;
  const modes = locks.map(({ mode }) =>
    mode
      .replace(/Lock$/, '')
      .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
      .toUpperCase(),
  );
  expect(MODES).toEqual(expect.arrayContaining(modes));
  return MODES.findLast((mode) => modes.includes(mode)) ?? 'none';
}

async function whoWaits(): Promise<string> {
  const readers = (await waits('SELECT count(*) FROM orders')) ? ['readers'] : [];
  if (await waits('INSERT INTO orders (id, customer_id, product_id, quantity, price) VALUES (0, 1, 1, 1, 1)'))
    return [...readers, 'writers'].join(', ');
  return (await waits('UPDATE orders SET quantity = quantity WHERE id = 2'))
    ? 'writers of the same rows'
    : '';
}

/** Whether another session waits with this. It is rolled back. */
async function waits(statement: string): Promise<boolean> {
  const rollback = new Error('rolled back');
  try {
    await db.sql.begin(async (sql) => {
      await sql`SET LOCAL lock_timeout = '200ms'`;
      await sql.unsafe(statement);
      throw rollback;
    });
  } catch (error) {
    if (error === rollback) return false;
    if ((error as { code?: string }).code === LOCK_NOT_AVAILABLE) return true;
    throw error;
  }
  throw new Error('it was committed');
}

const statementsOf = (text: string) => text.split(/;\n?/).filter((statement) => statement.trim() !== '');

async function each(text: string): Promise<void> {
  for (const statement of statementsOf(text)) await db.sql.unsafe(statement);
}
