import { existsSync } from 'node:fs';
import { UNTIL_LET_GO } from './clock-command.mjs';
import { EXECUTABLE, executable, migrateLock, withlock } from './contenders.mjs';
import { ratio } from './findings.mjs';
import { Running } from './processes.mjs';
import { interleaved } from './start-up.mjs';
import { costOf } from './waiter.mjs';

const MEMORY_ROUNDS = 5;

/** What one file instead of Node.js and a script changes. */
/** @type {import('./rows.mjs').Row} */
export const executableStartUp = {
  name: 'executable',
  async measure({ server, say }) {
    if (!existsSync(EXECUTABLE)) {
      say('it was not built (npm run build:binary): left out');
      return [];
    }
    const url = await server.newDatabase();
    const contenders = { executable: executable(url), withlock: withlock(url), package: migrateLock(url) };
    const { times } = await interleaved(contenders);
    /** @type {Record<string, number[]>} */
    const peaks = { executable: [], withlock: [], package: [] };
    for (let round = 0; round < MEMORY_ROUNDS; round++) {
      for (const [name, contender] of Object.entries(contenders)) peaks[name]?.push(await peakMb(contender));
    }
    /** @param {string} name */
    const time = (name) => ({ name, values: times.get(name) ?? [] });
    /** @param {string} name */
    const peak = (name) => ({ name, values: peaks[name] ?? [] });
    const start = 'start-up of the executable: lock, run `true`, release, guard included, against';
    const memory = 'peak memory of the executable while its command runs, against';
    return [
      ratio(`${start} \`withlock x -- true\``, time('executable'), time('withlock'), {
        must: 0.8,
        aim: 0.65,
        unit: 'ms',
      }),
      ratio(`${start} the package`, time('executable'), time('package'), { unit: 'ms' }),
      ratio(`${memory} withlock`, peak('executable'), peak('withlock'), { unit: 'MiB' }),
      ratio(`${memory} the package`, peak('executable'), peak('package'), { unit: 'MiB' }),
    ];
  },
};

/** @param {import('./contenders.mjs').Contender} contender */
async function peakMb(contender) {
  const holder = new Running(contender(UNTIL_LET_GO));
  await holder.line((line) => line === 'ready');
  const { peakMb } = costOf(holder.pid);
  holder.letGo();
  await holder.success();
  return peakMb;
}
