import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { migrateLock } from './contenders.mjs';
import { figure } from './findings.mjs';
import { Running } from './processes.mjs';
import { drawStorm } from './storm-picture.mjs';

const STARTS = 40;
const CHILD_MS = 200;
const PICTURE = fileURLToPath(new URL('./storm.svg', import.meta.url));

/** Many starts at the same moment, as a deployment does it: the picture. */
/** @type {import('./rows.mjs').Row} */
export const storm = {
  name: 'storm',
  async measure({ server }) {
    const url = await server.newDatabase();
    const contender = migrateLock(url, ['--wait-timeout', '4m']);
    const command = ['sleep', String(CHILD_MS / 1000)];
    const instances = Array.from({ length: STARTS }, () => new Running(contender(command)));
    const ends = await Promise.all(instances.map((instance) => instance.success()));
    const runs = instances.map((instance, index) => {
      /** @param {string} name */
      const at = (name) => Date.parse(instance.events().find(({ event }) => event === name)?.time ?? '');
      const [waitsFromMs, runsFromMs, runsToMs] = [
        at('lock.waiting'),
        at('child.started'),
        at('child.exited'),
      ];
      return {
        startedMs: instance.startedAtMs,
        // A run that got the lock at once did not wait.
        waitsFromMs: Number.isNaN(waitsFromMs) ? at('lock.acquired') : waitsFromMs,
        runsFromMs,
        runsToMs,
        endedMs: ends[index]?.atMs ?? NaN,
      };
    });
    runs.sort((a, b) => a.runsFromMs - b.runsFromMs);
    writeFileSync(PICTURE, drawStorm(runs, `${STARTS} × migrate-lock run -- ${command.join(' ')}`));
    const totalMs = Math.max(...ends.map(({ atMs }) => atMs)) - (runs[0]?.startedMs ?? NaN);
    return [
      figure(
        `${STARTS} starts at once, child \`${command.join(' ')}\`: until the last exit (the picture)`,
        { name: 'migrate-lock', values: [totalMs / 1000] },
        { unit: 's', remark: `of it ${(STARTS * CHILD_MS) / 1000} s of sleep` },
      ),
    ];
  },
};
