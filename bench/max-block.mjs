import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { migrateLock } from './contenders.mjs';
import { figure } from './findings.mjs';
import { drawLatency } from './latency-picture.mjs';
import { Running } from './processes.mjs';

const ROUNDS = 3;
const WRITERS = 20;
/** How long a transaction reads the table that is altered. */
const READER_MS = 6_000;
const MAX_BLOCK_MS = 1_000;
/** For the look, the cancellation, and the end of a session that ignores it. */
const BOUND_MS = MAX_BLOCK_MS + 1_500;
const BEFORE_MS = 1_000;
const STATEMENTS = fileURLToPath(new URL('../tests/support/fixtures/statements.mjs', import.meta.url));
const PICTURE = fileURLToPath(new URL('./max-block.svg', import.meta.url));

/** @typedef {{ atMs: number, tookMs: number }} Write when it began, and how long it took */

/** An ALTER TABLE comes while a long transaction reads the table and 20 clients write to it. Measures how long a write takes at most. */
/** @type {import('./rows.mjs').Row} */
export const maxBlock = {
  name: 'max-block',
  async measure({ server, progress }) {
    const without = { name: 'without', options: [], values: /** @type {number[]} */ ([]) };
    const withIt = {
      name: 'with --max-block 1s --retries 5',
      options: ['--max-block', `${MAX_BLOCK_MS}ms`, '--retries', '5'],
      values: /** @type {number[]} */ ([]),
    };
    /** @type {{ title: string, writes: Write[] }[]} */
    let panels = [];
    for (let round = 1; round <= ROUNDS; round++) {
      panels = [];
      for (const { name, options, values } of [without, withIt]) {
        const writes = await alterUnderTraffic(await server.newDatabase(), options);
        const longestMs = Math.max(...writes.map(({ tookMs }) => tookMs));
        values.push(longestMs);
        panels.push({ title: `${name}: ${(longestMs / 1000).toFixed(1)} s at most`, writes });
        progress(`round ${round} of ${ROUNDS}: ${name} ${longestMs.toFixed(0)} ms`);
      }
    }
    writeFileSync(
      PICTURE,
      drawLatency(panels, `ALTER TABLE under ${WRITERS} writers and a reader of 6 s: what a write takes`),
    );
    const what = `${WRITERS} writers, a reader of ${READER_MS / 1000} s, an ALTER TABLE: the longest write`;
    return [
      figure(`${what}, without --max-block`, without, { unit: 'ms' }),
      figure(`${what}, --max-block 1s (the picture)`, withIt, { must: BOUND_MS, unit: 'ms' }),
    ];
  },
};

/**
 * @param {string} url
 * @param {readonly string[]} options
 * @returns {Promise<Write[]>}
 */
async function alterUnderTraffic(url, options) {
  const sql = postgres(url, { max: WRITERS + 2, onnotice: () => undefined });
  try {
    await sql`CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY)`;
    const traffic = startWriters(sql);
    await pause(BEFORE_MS);
    const reader = sql.begin(async (own) => {
      await own`SELECT count(*) FROM orders`;
      await pause(READER_MS);
    });
    const contender = migrateLock(url, ['--ttl', '60s', ...options])([process.execPath, STATEMENTS]);
    const run = new Running({
      // A retry needs a stdin that a second try finds as the first did.
      file: 'sh',
      args: ['-c', 'exec "$0" "$@" < /dev/null', contender.file, ...contender.args],
      env: {
        ...contender.env,
        DIRECT_URL: url,
        STATEMENTS: JSON.stringify(['ALTER TABLE orders ADD COLUMN note text']),
        ON_ERROR_STOP: '1',
      },
    });
    await Promise.all([reader, run.success()]);
    await pause(BEFORE_MS);
    return await traffic.stop();
  } finally {
    await sql.end();
  }
}

/** @param {import('postgres').Sql} sql */
function startWriters(sql) {
  let isStopped = false;
  /** @type {Write[]} */
  const writes = [];
  const beganAtMs = performance.now();
  const write = async () => {
    while (!isStopped) {
      const sentAtMs = performance.now();
      await sql`INSERT INTO orders DEFAULT VALUES`;
      writes.push({ atMs: sentAtMs - beganAtMs, tookMs: performance.now() - sentAtMs });
      await pause(50);
    }
  };
  const all = Promise.all(Array.from({ length: WRITERS }, write));
  all.catch(() => undefined);
  return {
    stop: async () => {
      isStopped = true;
      await all;
      return writes;
    },
  };
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
