import { setTimeout as sleep } from 'node:timers/promises';
import { figure, ratio } from './findings.mjs';
import { holdLock } from './held-lock.mjs';
import { Instances } from './instances.mjs';
import { countConnections, statementsPerSecond } from './server-load.mjs';
import { simulatePace } from './simulated-pace.mjs';

const FEW = 50;
const MANY = 1_000;
const TOO_MANY_TO_START = 10_000;
/** Half the pace of all their polls: their arrival must not count. */
const EVERY_MS = 40;
/** By then they know their number. With 1,000 of them, a pause is up to 30 s. */
const SETTLE_MS = 15_000;
const SETTLE_AFTER_MANY_MS = 30_000;
const WINDOW_MS = 20_000;

/** Measures the server's load for different numbers of waiters. */
/** @type {import('./rows.mjs').Row} */
export const manyWaiters = {
  name: 'many-waiters',
  async measure({ server: { admin, newDatabase }, say, progress }) {
    const url = await newDatabase();
    const holder = await holdLock(url);
    const few = new Instances(url, 1);
    const others = new Instances(url, 5);
    /**
     * @param {number} waiters
     * @param {number} [settleMs]
     */
    const load = async (waiters, settleMs = SETTLE_MS) => {
      progress(`${waiters} wait`);
      await sleep(settleMs);
      return statementsPerSecond(admin, WINDOW_MS);
    };

    await few.come(FEW, EVERY_MS);
    const before = await load(FEW);
    const coming = countConnections(admin);
    await others.come(MANY - FEW, EVERY_MS);
    const mostComing = await coming.stop();
    const connections = countConnections(admin);
    const crowded = await load(MANY);
    const most = await connections.stop();
    await others.go(EVERY_MS);
    const after = await load(FEW, SETTLE_AFTER_MANY_MS);
    await few.go(EVERY_MS);
    progress('all are gone');
    await holder.end();
    say(`${mostComing} connections at most while ${MANY - FEW} came, one every ${EVERY_MS} ms`);

    const simulated = await simulatePace();
    const what = 'waiters (library instances in 6 processes)';
    return [
      ratio(
        `${MANY} ${what}: statements a second, against ${FEW} before and after`,
        { name: `${MANY} waiters`, values: [crowded] },
        { name: `${FEW} waiters`, values: [before, after] },
        { must: 1.5, unit: '/s' },
      ),
      figure(
        `${MANY} ${what}: connections at most`,
        { name: 'sampled', values: [most] },
        { must: 20, unit: '' },
      ),
      ratio(
        `${TOO_MANY_TO_START} waiters: polls a second, against ${FEW} (simulated clock, the program's own pacing)`,
        { name: `${TOO_MANY_TO_START} waiters`, values: [simulated(TOO_MANY_TO_START)] },
        { name: `${FEW} waiters`, values: [simulated(FEW)] },
        { aim: 1.5, unit: '/s' },
      ),
    ];
  },
};
