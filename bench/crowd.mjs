import { setTimeout as sleep } from 'node:timers/promises';
import { printingTimes, timesIn, UNTIL_LET_GO } from './clock-command.mjs';
import { hasOption, migrateLock } from './contenders.mjs';
import { figure, ratio } from './findings.mjs';
import { handOverOnce } from './handover.mjs';
import { Running } from './processes.mjs';

const WAITERS = 100;
const LONE_ROUNDS = 15;
const COMMAND = printingTimes('sleep 0.05');
/** By then the processes that have started do no more work. */
const SETTLE_MS = 1_000;

/** The lock passes through a crowd of waiting processes, one after the other. Measures each handover. */
/** @type {import('./rows.mjs').Row} */
export const crowd = {
  name: 'crowd',
  async measure({ server, say }) {
    const url = await server.newDatabase();
    const what = `handover, ${WAITERS} waiters (processes), child \`sleep 0.05\``;
    /** @type {number[]} */
    const lone = [];
    for (let round = 0; round < LONE_ROUNDS; round++) {
      lone.push(await handOverOnce(migrateLock(url), (waiter) => waiter.event('lock.waiting'), COMMAND));
    }
    const crowded = await handOverThrough(url, []);
    const findings = [
      ratio(
        `${what}, against 1 waiter`,
        { name: `${WAITERS} waiters`, values: crowded },
        { name: '1 waiter', values: lone },
        { must: 1.5, aim: 1, unit: 'ms' },
      ),
    ];
    if (!hasOption('--no-listen')) say('no --no-listen yet: left out');
    else {
      const polled = await handOverThrough(url, ['--no-listen']);
      const series = { name: `${WAITERS} waiters`, values: polled };
      findings.push(figure(`${what}, --no-listen`, series, { must: 60, unit: 'ms' }));
    }
    return findings;
  },
};

/**
 * @param {string} url
 * @param {readonly string[]} options
 * @returns {Promise<number[]>} milliseconds from the end of each command to the start of the next
 */
async function handOverThrough(url, options) {
  const contender = migrateLock(url, ['--ttl', '4m', '--wait-timeout', '4m', ...options]);
  const holder = new Running(contender(UNTIL_LET_GO));
  await holder.line((line) => line === 'ready');
  const waiters = Array.from({ length: WAITERS }, () => new Running(contender(COMMAND)));
  await Promise.all(waiters.map((waiter) => waiter.event('lock.waiting')));
  await sleep(SETTLE_MS);
  holder.letGo();
  await Promise.all([holder, ...waiters].map((instance) => instance.success()));
  const [firstEndMs = NaN] = timesIn(holder.lines);
  const ran = waiters.map(({ lines }) => timesIn(lines)).sort(([a = 0], [b = 0]) => a - b);
  const gaps = ran.map(
    ([startMs = NaN], index) => startMs - (index === 0 ? firstEndMs : (ran[index - 1]?.[1] ?? NaN)),
  );
  if (!gaps.every((gap) => gap > 0)) throw new Error('two commands ran at the same time');
  return gaps;
}
