import { setTimeout as sleep } from 'node:timers/promises';
import { hasOption, migrateLock } from './contenders.mjs';
import { figure } from './findings.mjs';
import { Instances } from './instances.mjs';
import { Running } from './processes.mjs';
import { countConnections } from './server-load.mjs';
import { quantile } from './statistics.mjs';

const WATCHERS = 1_000;
const PROCESSES = 4;
/** They arrive more slowly than they read, so that their arrival does not count much. */
const EVERY_MS = 40;
/** By then each has read while all were there: a pause is 19 s at most. */
const SETTLE_MS = 25_000;
const SECONDS = 30;

/** Measures the server's load by containers that wait for a run key, and how soon the last of them goes on. */
/** @type {import('./rows.mjs').Row} */
export const watchers = {
  name: 'watchers',
  async measure({ server: { admin, newDatabase }, say, progress }) {
    if (!hasOption('--once')) {
      say('no --once yet: left out');
      return [];
    }
    const url = await newDatabase();
    // The lock schema exists, and the key is not done yet.
    await new Running(migrateLock(url)(['true'])).success();
    const instances = new Instances(url, PROCESSES, 'watching-instances.mjs');
    const arriving = countConnections(admin);
    await instances.come(WATCHERS, EVERY_MS);
    const mostArriving = await arriving.stop();
    progress(`${WATCHERS} watch`);
    await sleep(SETTLE_MS);
    const connections = countConnections(admin);
    const rates = [];
    for (let second = 0; second < SECONDS; second++) rates.push(await looksIn(admin, 1_000));
    const most = await connections.stop();

    await new Running(migrateLock(url, ['--once', 'release-1'])(['true'])).success();
    const doneMs = performance.now();
    await instances.go(0);
    const lastS = (performance.now() - doneMs) / 1_000;
    say(`${mostArriving} connections at most while ${WATCHERS} came, one every ${EVERY_MS} ms`);
    say(`${Math.round(quantile(rates, 1))} looks in the busiest of ${SECONDS} seconds`);
    const what = `${WATCHERS} that wait for a run key (in ${PROCESSES} processes)`;
    return [
      figure(`${what}: looks a second`, { name: 'seconds', values: rates }, { must: 100, unit: '/s' }),
      figure(`${what}: connections at most`, { name: 'sampled', values: [most] }, { must: 20, unit: '' }),
      figure(
        `${what}: from the end of the run to the last that goes on`,
        { name: 'migrate-lock', values: [lastS] },
        { must: 25, unit: 's' },
      ),
    ];
  },
};

/**
 * @param {import('postgres').Sql} admin
 * @param {number} windowMs
 */
async function looksIn(admin, windowMs) {
  const count = async () => {
    const [row] = await admin`
      SELECT coalesce(sum(calls), 0)::int AS calls FROM pg_stat_statements WHERE query LIKE '%watch(p_run_key%'`;
    return Number(row?.['calls']);
  };
  const startedMs = performance.now();
  const before = await count();
  await sleep(windowMs);
  return ((await count()) - before) / ((performance.now() - startedMs) / 1_000);
}
