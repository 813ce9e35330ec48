import { isTime, PRINT_TIME, timesIn, UNTIL_LET_GO } from './clock-command.mjs';
import { migrateLock } from './contenders.mjs';
import { figure } from './findings.mjs';
import { Running } from './processes.mjs';

const ROUNDS = 7;

/**
 * Only the holder is killed, and its command lives: the guard ends the command and releases, and a waiter continues.
 */
/** @type {import('./rows.mjs').Row} */
export const killedHolder = {
  name: 'killed-holder',
  async measure({ server }) {
    const url = await server.newDatabase();
    /** @type {number[]} */
    const seconds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const holder = new Running(migrateLock(url)(UNTIL_LET_GO));
      await holder.line((line) => line === 'ready');
      const waiter = new Running(migrateLock(url)(PRINT_TIME));
      await waiter.event('lock.waiting');
      const killedAtMs = Date.now();
      holder.kill('SIGKILL');
      await waiter.line(isTime);
      await waiter.success();
      await holder.ended;
      const [startMs = NaN] = timesIn(waiter.lines);
      seconds.push((startMs - killedAtMs) / 1000);
    }
    return [
      figure(
        "the holder alone is killed (kill -9): until the waiter's child starts",
        { name: 'migrate-lock', values: seconds },
        { must: 2, unit: 's' },
      ),
    ];
  },
};
