import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { migrateLock, withlock } from './contenders.mjs';
import { ratio } from './findings.mjs';
import { Running } from './processes.mjs';
import { drawStorm } from './storm-picture.mjs';

const STARTS = 100;
const ROUNDS = 3;
const KNEX = join(dirname(createRequire(import.meta.url).resolve('knex/package.json')), 'bin', 'cli.js');
const KNEXFILE = fileURLToPath(new URL('./knexfile.mjs', import.meta.url));
const COMMAND = [process.execPath, KNEX, 'migrate:latest', '--knexfile', KNEXFILE];
/** On two cores, the last of 100 waits for a minute. */
const WAIT = ['--wait-timeout', '10m'];
const PICTURE = fileURLToPath(new URL('./storm.svg', import.meta.url));

/** A release with one pending migration is deployed 100 times in the same second. Measures the time until the last start may continue. */
/** @type {import('./rows.mjs').Row} */
export const storm = {
  name: 'storm',
  async measure({ server, progress }) {
    /**
     * @param {string} name
     * @param {(url: string) => import('./contenders.mjs').Contender} contender
     */
    const series = (name, contender) => ({ name, contender, values: /** @type {number[]} */ ([]) });
    const once = series('migrate-lock --once', (url) => migrateLock(url, [...WAIT, '--once', 'release-1']));
    const each = series('migrate-lock', (url) => migrateLock(url, WAIT));
    const theirs = series('withlock', withlock);
    for (let round = 1; round <= ROUNDS; round++) {
      for (const { name, contender, values } of [once, each, theirs]) {
        const url = await server.newDatabase();
        const { instances, startedMs, ends } = await deploy(contender(url));
        await checkMigrated(url);
        values.push((Math.max(...ends) - startedMs) / 1000);
        progress(`round ${round} of ${ROUNDS}: ${name} ${values.at(-1)?.toFixed(1)} s`);
        if (name === each.name) draw(instances, startedMs, ends);
      }
    }
    const what = `deploy storm: ${STARTS} starts of one release, one pending knex migration (0.5 s), until the last may go on`;
    return [
      ratio(`${what}, --once, against withlock`, once, theirs, { must: 0.25, aim: 0.12, unit: 's' }),
      ratio(`${what}, against withlock (the picture)`, each, theirs, { must: 1.15, aim: 0.95, unit: 's' }),
    ];
  },
};

/**
 * Starts them in the same moment: shells wait for a line, and then become the program.
 * @param {import('./contenders.mjs').Contender} contender
 */
async function deploy(contender) {
  const { file, args, env } = contender(COMMAND);
  const gated = { file: 'sh', args: ['-c', 'read -r line; exec "$@"', 'sh', file, ...args], env: env ?? {} };
  const instances = Array.from({ length: STARTS }, () => new Running(gated));
  const startedMs = Date.now();
  for (const instance of instances) instance.letGo();
  const ends = await Promise.all(instances.map(async (instance) => (await instance.success()).atMs));
  return { instances, startedMs, ends };
}

/** @param {string} url throws unless the migration was run */
async function checkMigrated(url) {
  const sql = postgres(url, { max: 1 });
  try {
    await sql`SELECT FROM accounts`;
  } finally {
    await sql.end();
  }
}

/**
 * @param {readonly Running[]} instances
 * @param {number} startedMs
 * @param {readonly number[]} ends
 */
function draw(instances, startedMs, ends) {
  const runs = instances.map((instance, index) => {
    const events = instance.events();
    /** @param {string} name */
    const at = (name) => Date.parse(events.find(({ event }) => event === name)?.time ?? '');
    const waitsFromMs = at('lock.waiting');
    return {
      startedMs,
      // A run that got the lock at once did not wait.
      waitsFromMs: Number.isNaN(waitsFromMs) ? at('lock.acquired') : waitsFromMs,
      runsFromMs: at('child.started'),
      runsToMs: at('child.exited'),
      endedMs: ends[index] ?? NaN,
    };
  });
  runs.sort((a, b) => a.runsFromMs - b.runsFromMs);
  writeFileSync(PICTURE, drawStorm(runs, `${STARTS} × migrate-lock run -- knex migrate:latest`));
}
