import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { UNTIL_LET_GO } from './clock-command.mjs';
import { migrateLock, withlock } from './contenders.mjs';
import { ratio } from './findings.mjs';
import { Running } from './processes.mjs';

const PAIRS = 5;
const WAIT_MS = 60_000;
/** Far enough apart that no start disturbs another one. */
const EVERY_MS = 1_500;

/** @typedef {{ cpuMs: number, peakMb: number }} Cost */

/** What a process costs that waits for a minute, its start included. Each is alone with its lock; all wait side by side. */
/** @type {import('./rows.mjs').Row} */
export const waiter = {
  name: 'waiter',
  async measure({ server: { newDatabase } }) {
    const pairs = await Promise.all(
      Array.from({ length: PAIRS }, async (_, pair) => {
        const url = await newDatabase();
        const beginMs = 2 * pair * EVERY_MS;
        return Promise.all([
          waitAMinute(migrateLock(url, ['--ttl', '4m', '--wait-timeout', '2m']), beginMs),
          waitAMinute(withlock(url), beginMs + EVERY_MS),
        ]);
      }),
    );
    /** @param {keyof Cost} what */
    const ours = (what) => ({ name: 'migrate-lock', values: pairs.map(([cost]) => cost[what]) });
    /** @param {keyof Cost} what */
    const theirs = (what) => ({ name: 'withlock', values: pairs.map(([, cost]) => cost[what]) });
    const about = 'a waiter for 60 s, its start included';
    return [
      ratio(`${about}: CPU time, against withlock`, ours('cpuMs'), theirs('cpuMs'), {
        must: 1.8,
        aim: 1.2,
        unit: 'ms',
      }),
      ratio(`${about}: peak memory, against withlock`, ours('peakMb'), theirs('peakMb'), {
        must: 1.05,
        aim: 0.9,
        unit: 'MiB',
      }),
    ];
  },
};

/**
 * @param {import('./contenders.mjs').Contender} contender
 * @param {number} beginMs
 */
async function waitAMinute(contender, beginMs) {
  await sleep(beginMs);
  const holder = new Running(contender(UNTIL_LET_GO));
  await holder.line((line) => line === 'ready');
  const waiting = new Running(contender(['true']));
  await sleep(WAIT_MS);
  const cost = costOf(waiting.pid);
  holder.letGo();
  await Promise.all([holder.success(), waiting.success()]);
  return cost;
}

/**
 * As the kernel counts it, in ticks of 10 ms, with what the process started and waited for.
 * @param {number | undefined} pid
 * @returns {Cost}
 */
export function costOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const times = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15);
  const [, peakKb] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return { cpuMs: times.reduce((sum, ticks) => sum + Number(ticks) * 10, 0), peakMb: Number(peakKb) / 1024 };
}
