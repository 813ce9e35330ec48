import { printingTimes, timesIn } from './clock-command.mjs';
import { hasOption, migrateLock } from './contenders.mjs';
import { figure } from './findings.mjs';
import { holdLock } from './held-lock.mjs';
import { Running } from './processes.mjs';

const STARTS = 200;

/**
 * All wait, one runs its command of a second, and the others skip theirs. Measures the time until the last of them
 * ends.
 */
/** @type {import('./rows.mjs').Row} */
export const once = {
  name: 'once',
  async measure({ server, say }) {
    if (!hasOption('--once')) {
      say('no --once yet: left out');
      return [];
    }
    const url = await server.newDatabase();
    const holder = await holdLock(url);
    const contender = migrateLock(url, ['--once', 'release-1', '--ttl', '4m', '--wait-timeout', '4m']);
    const instances = Array.from({ length: STARTS }, () => new Running(contender(printingTimes('sleep 1'))));
    await Promise.all(instances.map((instance) => instance.event('lock.waiting')));
    await holder.end();
    const ends = await Promise.all(instances.map((instance) => instance.success()));
    const ran = instances.map(({ lines }) => timesIn(lines)).filter(({ length }) => length > 0);
    if (ran.length !== 1) throw new Error(`${ran.length} of ${STARTS} ran their command`);
    const endedMs = ran[0]?.[1] ?? NaN;
    const lastMs = Math.max(...ends.map(({ atMs }) => atMs));
    return [
      figure(
        `${STARTS} starts with \`--once\` and a child of 1 s: from the child's end to the last exit`,
        { name: 'migrate-lock', values: [(lastMs - endedMs) / 1000] },
        { must: 3, aim: 1, unit: 's' },
      ),
    ];
  },
};
