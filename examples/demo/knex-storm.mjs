import { fileURLToPath } from 'node:url';
import { migrationRuns, newDatabase, tables } from './database.mjs';
import { lockedStorm } from './locked-storm.mjs';
import { heading, table } from './text.mjs';

const INSTANCES = 8;
const MIGRATIONS = 3;
const CWD = fileURLToPath(new URL('../knex', import.meta.url));

/**
 * @param {import('./database.mjs').Server} server
 * @returns {Promise<string[]>} faults
 */
export async function knexStorm(server) {
  heading(`knex: ${INSTANCES} instances at the same moment, three migrations pending (examples/knex)`);
  const databaseUrl = await newDatabase(server, 'knex');
  const faults = await lockedStorm(INSTANCES, ['knex', 'migrate:latest'], {
    cwd: CWD,
    databaseUrl,
    waitTimeout: '2m',
  });

  console.log('\nWhat the database holds now:\n');
  const held = await tables(databaseUrl);
  table(['table', 'rows'], held);
  console.log('\nHow often each migration really ran:\n');
  const runs = await migrationRuns(databaseUrl);
  table(
    ['migration', 'runs', 'application_name of its session'],
    runs.map(({ migration, runs, by }) => [migration, runs, by]),
  );
  if (runs.length !== MIGRATIONS) faults.push(`${runs.length} of ${MIGRATIONS} migrations ran`);
  const recorded = held.find(([name]) => name === 'knex_migrations')?.[1];
  if (recorded !== MIGRATIONS) faults.push(`knex recorded ${recorded} of ${MIGRATIONS} migrations`);
  return [
    ...faults,
    ...runs.filter(({ runs }) => runs !== 1).map(({ migration, runs }) => `${migration} ran ${runs} times`),
  ];
}
