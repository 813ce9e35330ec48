import { migrateLock, withlock } from './contenders.mjs';
import { figure, ratio } from './findings.mjs';
import { Running } from './processes.mjs';
import { openServer } from './server.mjs';

const STARTS = 120;
const ROUNDS = 3;
const OURS_MAY_HAVE = 20;
const THEIRS_MAY_HAVE = 200;

/** More runs start at once than the server has connections, and all have to get their turn. */
/** @type {import('./rows.mjs').Row} */
export const fewConnections = {
  name: 'few-connections',
  async measure({ say }) {
    const few = await openServer({ max_connections: OURS_MAY_HAVE });
    const many = await openServer({ max_connections: THEIRS_MAY_HAVE }).catch(async (error) => {
      await few.stop();
      throw error;
    });
    try {
      const ours = migrateLock(await few.newDatabase(), ['--wait-timeout', '4m']);
      const theirs = withlock(await many.newDatabase());
      /** @type {{ tookMs: number, failed: number }[][]} */
      const rounds = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push([await storm(ours), await storm(theirs)]);
      /** @param {0 | 1} index */
      const seconds = (index) => rounds.map((round) => (round[index]?.tookMs ?? NaN) / 1000);
      const failed = rounds.map(([our]) => our?.failed ?? NaN);
      const theirFailures = rounds.reduce((sum, [, their]) => sum + (their?.failed ?? 0), 0);
      if (theirFailures > 0) say(`${theirFailures} starts of withlock failed`);
      const what = `${STARTS} starts, max_connections = ${OURS_MAY_HAVE}`;
      return [
        figure(`${what}: how many failed`, { name: 'rounds', values: failed }, { must: 0, unit: '' }),
        ratio(
          `${what}: total time, against withlock with ${THEIRS_MAY_HAVE}`,
          { name: 'migrate-lock', values: seconds(0) },
          { name: 'withlock', values: seconds(1) },
          { aim: 1, unit: 's' },
        ),
      ];
    } finally {
      await Promise.all([few.stop(), many.stop()]);
    }
  },
};

/** @param {import('./contenders.mjs').Contender} contender */
async function storm(contender) {
  const startedAtMs = performance.now();
  const ends = await Promise.all(
    Array.from({ length: STARTS }, () => new Running(contender(['true'])).ended),
  );
  return { tookMs: performance.now() - startedAtMs, failed: ends.filter(({ code }) => code !== 0).length };
}
