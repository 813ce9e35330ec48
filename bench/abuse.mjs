import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { ratio } from './findings.mjs';
import { environmentOf, followToEnd } from './processes.mjs';

/** @type {typeof import('../src/index.js')} */
const { MigrationLock } = await import(new URL('../dist/index.js', import.meta.url).href);

const PROGRAM = fileURLToPath(new URL('./abusive-client.mjs', import.meta.url));
const ROUNDS = 20;
/** The waiter has polled a few times when the lock comes free. */
const SETTLE_MS = 300;
/** By then the attempts that are allowed in advance are used up. */
const BURST_MS = 8_000;

/** One role asks for the lock without a pause, over 20 connections. Measures the effect on a waiter of another role. */
/** @type {import('./rows.mjs').Row} */
export const abuse = {
  name: 'abuse',
  async measure({ server, say }) {
    const url = await server.newDatabase();
    const abuser = await admitAbuser(url, server.admin);
    const before = await rounds(url);
    const client = fork(PROGRAM, [], { env: environmentOf({ DATABASE_URL: abuser }), execArgv: [] });
    followToEnd(client);
    await sleep(BURST_MS);
    await asked(client);
    const startedMs = performance.now();
    const during = await rounds(url);
    const seconds = (performance.now() - startedMs) / 1000;
    const { attempts, refused } = await asked(client);
    const ended = once(client, 'exit');
    client.disconnect();
    await ended;
    const after = await rounds(url);
    const rate = (/** @type {number} */ count) => `${(count / seconds).toFixed(0)} /s`;
    say(`the client in the loop made ${rate(attempts)} attempts, of which ${rate(refused)} were refused`);
    return [
      ratio(
        'release to acquisition, an honest waiter, while another role asks over 20 connections without a pause, against before and after',
        { name: 'beside it', values: during },
        { name: 'without it', values: [...before, ...after] },
        { must: 2, unit: 'ms' },
      ),
    ];
  },
};

/**
 * @param {string} url
 * @param {import('postgres').Sql} admin
 * @returns {Promise<string>} the URL of another role, which may use the lock
 */
async function admitAbuser(url, admin) {
  const password = randomBytes(18).toString('base64url');
  await admin.unsafe(`DROP ROLE IF EXISTS abuser; CREATE ROLE abuser LOGIN PASSWORD '${password}'`);
  await new MigrationLock({ connection: url }).status();
  const owner = postgres(url, { max: 1, onnotice: () => undefined });
  await owner`SELECT migrate_lock.admit('abuser', '[]')`;
  await owner`
    INSERT INTO migrate_lock.migration_lock_run (run_key, command_sha256, succeeded, exit_code, finished_at, duration_ms, instance_id, fencing_token, db_role)
    VALUES ('done', 'sha', true, 0, now(), 1, 'somebody', 0, 'app')`;
  await owner.end();
  const its = new URL(url);
  its.username = 'abuser';
  its.password = password;
  return its.href;
}

/**
 * @param {string} url
 * @returns {Promise<number[]>} milliseconds from the release to the acquisition
 */
async function rounds(url) {
  const tookMs = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [holder, waiter] = [0, 1].map(() => {
      return new MigrationLock({ connection: url, ttlMs: 60_000, waitTimeoutMs: 60_000 });
    });
    if (holder === undefined || waiter === undefined) throw new Error('two instances');
    await holder.wait();
    const waiting = waiter.wait();
    await sleep(SETTLE_MS);
    await holder.release();
    const releasedAtMs = performance.now();
    await waiting;
    tookMs.push(performance.now() - releasedAtMs);
    await waiter.release();
  }
  return tookMs;
}

/**
 * @param {import('node:child_process').ChildProcess} client
 * @returns {Promise<{ attempts: number, refused: number }>} since the last report
 */
async function asked(client) {
  const answer = once(client, 'message');
  client.send('how many');
  return (await answer)[0];
}
