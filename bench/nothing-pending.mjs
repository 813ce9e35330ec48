import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { migrateLock } from './contenders.mjs';
import { figure, ratio } from './findings.mjs';
import { Running } from './processes.mjs';
import { written } from './server-load.mjs';

const STARTS = 100;
const KNEX = join(dirname(createRequire(import.meta.url).resolve('knex/package.json')), 'bin', 'cli.js');
const KNEXFILE = fileURLToPath(new URL('./knexfile.mjs', import.meta.url));
const COMMAND = [process.execPath, KNEX, 'migrate:latest', '--knexfile', KNEXFILE];
const CHECK = `exec '${process.execPath}' '${fileURLToPath(new URL('./pending.mjs', import.meta.url))}'`;
const OPTIONS = ['--quiet', '--ttl', '60s', '--wait-timeout', '5m'];

/** Starts of a release whose migrations were applied before: until the last may go on, and what they cost the server. */
/** @type {import('./rows.mjs').Row} */
export const nothingPending = {
  name: 'nothing-pending',
  async measure({ server }) {
    const url = await server.newDatabase();
    await new Running(migrateLock(url, OPTIONS)(COMMAND)).success();
    /** @param {string[]} options */
    const startAll = async (options) => {
      const contender = migrateLock(url, [...OPTIONS, ...options]);
      const startedAtMs = performance.now();
      const { statements } = await written(server.admin, () =>
        Promise.all(Array.from({ length: STARTS }, () => new Running(contender(COMMAND)).success())),
      );
      return { seconds: (performance.now() - startedAtMs) / 1000, statements };
    };
    const without = await startAll([]);
    const checked = await startAll(['--check', CHECK]);
    const what = `${STARTS} starts with nothing pending (knex)`;
    return [
      ratio(
        `${what}: until the last may go on`,
        { name: 'with --check', values: [checked.seconds] },
        { name: 'without', values: [without.seconds] },
        { unit: 's' },
      ),
      figure(
        `${what}: statements on the server with \`--check\``,
        { name: 'migrate-lock', values: [checked.statements] },
        { unit: '', remark: `without ${without.statements}` },
      ),
    ];
  },
};
