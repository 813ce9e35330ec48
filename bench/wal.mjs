import { setTimeout as sleep } from 'node:timers/promises';
import { figure } from './findings.mjs';
import { holdLock } from './held-lock.mjs';
import { Instances } from './instances.mjs';
import { written } from './server-load.mjs';

const WAITERS = 100;
const WINDOW_MS = 10_000;
const ROUNDS = 3;
/** 100 waiters arrive in a second. */
const EVERY_MS = 10;

/** Measures what waiting costs the server's disk and its replicas. */
/** @type {import('./rows.mjs').Row} */
export const wal = {
  name: 'wal',
  async measure({ server: { admin, newDatabase } }) {
    const url = await newDatabase();
    const holder = await holdLock(url);
    /** @type {number[]} */
    const all = [];
    /** @type {Awaited<ReturnType<typeof written>>[]} */
    const waits = [];
    for (let round = 0; round < ROUNDS; round++) {
      const instances = new Instances(url, 2);
      const coming = await written(admin, () => instances.come(WAITERS, EVERY_MS));
      const waiting = await written(admin, () => sleep(WINDOW_MS));
      all.push(coming.kilobytes + waiting.kilobytes);
      waits.push(waiting);
      await instances.go(EVERY_MS);
    }
    await holder.end();
    const last = waits.at(-1);
    const what = `WAL written while ${WAITERS} wait 10 s on a held lock`;
    return [
      figure(`${what}, their arrival included`, { name: 'rounds', values: all }, { must: 100, unit: 'kB' }),
      figure(
        `${what}, once all are there`,
        { name: 'rounds', values: waits.map(({ kilobytes }) => kilobytes) },
        {
          unit: 'kB',
          remark: `the last round: ${last?.records} records, while ${last?.statements} statements were sent`,
        },
      ),
    ];
  },
};
