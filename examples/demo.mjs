/**
 * npm run demo: several instances start at the same moment, and one runs at a time.
 * npm run demo -- <command...>: the same with your own command, which gets the database in DATABASE_URL.
 */
import { constants } from 'node:os';
import { startServer } from '../tests/support/embedded-server.mjs';
import { commandStorm } from './demo/command-storm.mjs';
import { drizzleStorm } from './demo/drizzle-storm.mjs';
import { exitCodeOf } from './demo/drizzle-verdict.mjs';
import { knexStorm } from './demo/knex-storm.mjs';
import { endAll } from './demo/processes.mjs';
import { seconds } from './demo/text.mjs';

const started = performance.now();
console.log('Starting a PostgreSQL of its own, in a temporary folder ...');
const server = await startServer();

// Ctrl-C leaves nothing; after a SIGKILL, the server and its folder are removed too.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => {
    console.log(`\n${signal}: cleaning up ...`);
    void endAll()
      .then(() => server.stop())
      .finally(() => process.exit(128 + constants.signals[signal]));
  });
}

/** @type {string[]} */
let faults;
try {
  const command = process.argv.slice(2);
  faults =
    command.length > 0
      ? await commandStorm(server, command)
      : [...(await knexStorm(server)), ...(await drizzleStorm(server))];
} finally {
  await endAll();
  await server.stop();
}

console.log(
  faults.length === 0
    ? '\nAll as it should be.'
    : `\nWRONG:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
);
console.log(`Done in ${seconds(performance.now() - started)}; the server and its folder are gone.`);
process.exitCode = exitCodeOf(faults);
