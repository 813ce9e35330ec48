import { setTimeout as sleep } from 'node:timers/promises';
import { isTime, PRINT_TIME, timesIn, UNTIL_LET_GO } from './clock-command.mjs';
import { migrateLock, withlock } from './contenders.mjs';
import { ratio } from './findings.mjs';
import { Running } from './processes.mjs';

const WARM_UP = 2;
const ROUNDS = 25;
/** How long the waiter has waited when the lock becomes free. */
const SETTLE_MS = 300;

/** One process waits, and the holder's command ends. Measures the time until the waiter's command starts. */
/** @type {import('./rows.mjs').Row} */
export const handover = {
  name: 'handover',
  async measure({ server }) {
    const url = await server.newDatabase();
    /** @type {number[]} */
    const ours = [];
    /** @type {number[]} */
    const theirs = [];
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const ourMs = await handOverOnce(migrateLock(url), (waiter) => waiter.event('lock.waiting'));
      const theirMs = await handOverOnce(withlock(url), () => advisoryLockWaits(server.admin));
      if (round < 0) continue;
      ours.push(ourMs);
      theirs.push(theirMs);
    }
    return [
      ratio(
        "handover, 1 waiter: child's end to next child's start, against withlock",
        { name: 'migrate-lock', values: ours },
        { name: 'withlock', values: theirs },
        { must: 2.2, aim: 1, unit: 'ms' },
      ),
    ];
  },
};

/**
 * @param {import('./contenders.mjs').Contender} contender
 * @param {(waiter: Running) => Promise<unknown>} isWaiting
 * @param {readonly string[]} [command] the waiter's, which prints the time first
 * @returns {Promise<number>} milliseconds from the end of the holder's command to the start of the waiter's
 */
export async function handOverOnce(contender, isWaiting, command = PRINT_TIME) {
  const holder = new Running(contender(UNTIL_LET_GO));
  await holder.line((line) => line === 'ready');
  const waiter = new Running(contender(command));
  await isWaiting(waiter);
  // At a random point between two polls.
  await sleep(SETTLE_MS + Math.random() * SETTLE_MS);
  holder.letGo();
  await waiter.line(isTime);
  await Promise.all([holder.success(), waiter.success()]);
  const [endMs = NaN] = timesIn(holder.lines);
  const [startMs = NaN] = timesIn(waiter.lines);
  return startMs - endMs;
}

/** @param {import('postgres').Sql} admin */
async function advisoryLockWaits(admin) {
  for (;;) {
    const waiting = await admin`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
    if (waiting.length > 0) return;
    await sleep(10);
  }
}
