import { newDatabase, tables } from './database.mjs';
import { lockedStorm } from './locked-storm.mjs';
import { heading, table } from './text.mjs';

const INSTANCES = 8;

/**
 * The user's own command, in the user's own folder.
 * @param {import('./database.mjs').Server} server
 * @param {string[]} command
 * @returns {Promise<string[]>} faults
 */
export async function commandStorm(server, command) {
  heading(`${INSTANCES} instances at the same moment`);
  const databaseUrl = await newDatabase(server, 'demo');
  // npm runs its scripts at the root of the package, and puts the caller's folder here.
  const cwd = process.env['INIT_CWD'] ?? process.cwd();
  const faults = await lockedStorm(INSTANCES, command, { cwd, databaseUrl, waitTimeout: '10m' });
  const held = await tables(databaseUrl);
  console.log(held.length === 0 ? '\nThe database holds no tables.' : '\nWhat the database holds now:\n');
  if (held.length > 0) table(['table', 'rows'], held);
  return faults;
}
