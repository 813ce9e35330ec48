/**
 * npm run bench: measures everything, prints it, and writes bench/RESULTS.md and bench/storm.svg.
 * npm run bench -- start-up handover: only these rows, and only prints.
 */
import { constants } from 'node:os';
import { isMiss } from './findings.mjs';
import { endAll } from './processes.mjs';
import { describeMachine, printTable, writeResults } from './results.mjs';
import { ROWS } from './rows.mjs';
import { openServer } from './server.mjs';

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !ROWS.some((row) => row.name === name));
if (unknown.length > 0) {
  console.error(
    `There is no row ${unknown.join(', ')}; there are: ${ROWS.map(({ name }) => name).join(', ')}`,
  );
  process.exit(64);
}
const rows = ROWS.filter(({ name }) => asked.length === 0 || asked.includes(name));

// Before the load of the measurements.
const machine = describeMachine();
const server = await openServer();
// After a SIGKILL of this process, the server and its folder are removed, and commands end with their stdin.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => {
    void endAll()
      .then(() => server.stop())
      .finally(() => process.exit(128 + constants.signals[signal]));
  });
}

/** @type {import('./findings.mjs').Finding[]} */
const findings = [];
/**
 * What was skipped, and why.
 * @type {string[]}
 */
const remarks = [];
let failures = 0;
try {
  for (const { name, measure } of rows) {
    console.log(`${name} ...`);
    try {
      const say = (/** @type {string} */ text) => {
        console.log(`  ${text}`);
        remarks.push(`${name}: ${text}`);
      };
      const found = await measure({ server, say, progress: (text) => console.log(`  ... ${text}`) });
      findings.push(...found);
      printTable(found);
    } catch (error) {
      failures++;
      const reason = error instanceof Error ? error.message : String(error);
      remarks.push(`${name}: FAILED: ${reason.split('\n')[0]}`);
      console.error(`  FAILED: ${reason}`);
    }
    await endAll();
  }
} finally {
  await endAll();
  await server.stop();
}

const misses = findings.filter(isMiss);
console.log(`${findings.length} figures, ${misses.length} missed, ${failures} rows failed`);
if (asked.length === 0) {
  writeResults({ machine, postgres: server.version, findings, remarks });
  console.log('bench/RESULTS.md is written');
}
process.exitCode = misses.length + failures === 0 ? 0 : 1;
