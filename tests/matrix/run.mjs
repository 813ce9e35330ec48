// Runs the integration tests in each cell of the matrix, and writes docs/compatibility.md from all results so far:
// npm run test:matrix -- [CELL...] [--quick] [--workers N] [--table]
// CELL: a part of a cell's name, such as postgresql-13 or node-26. --table: run nothing.
// What has passed is not run again until it or the program changes, so a run that was interrupted can be resumed.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { CELLS, NODE, POSTGRESQL, QUICK } from './cells.mjs';
import { DOCUMENT, failedTests, HEAD, tableRows, writeDocument } from './document.mjs';
import { installNode, installPostgresql } from './install.mjs';
import { FOLDER, isCurrent, programDigest, resultsFile, resultsOf, ROOT, testFiles } from './results.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    workers: { type: 'string', default: '2' },
    table: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((part) => !CELLS.some(({ name }) => name.includes(part)));
if (unknown.length > 0) {
  throw new Error(
    `no cell has ${unknown.join(', ')} in its name: ${CELLS.map(({ name }) => name).join(', ')}`,
  );
}

const chosen = CELLS.filter(
  ({ name }) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const program = values.table ? '' : programDigest();
for (const cell of values.table ? [] : chosen) {
  try {
    runCell(cell);
  } catch (error) {
    // Such as a version that the platform does not have: the other cells still run.
    console.error(`${cell.name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  writeDocument();
}
if (values.table) writeDocument();
console.table([...tableRows()].map((row) => Object.fromEntries(row.map((value, at) => [HEAD[at], value]))));
for (const failure of failedTests()) console.error(failure);
console.error(`the results are in ${FOLDER}, the table in ${DOCUMENT}`);
if (failedTests().length > 0) process.exitCode = 1;

/** @param {import('./cells.mjs').Cell} cell */
function runCell(cell) {
  const remaining = () => {
    const results = resultsOf(cell.name);
    const files = values.quick ? QUICK : testFiles();
    return files.filter((file) => !isCurrent(results.get(file), program));
  };
  const files = remaining();
  console.error(`\n--- ${cell.name}: ${files.length} test files to run`);
  if (files.length === 0) return;
  const node = installNode(chosenVersion(NODE, cell.node));
  const native = installPostgresql(chosenVersion(POSTGRESQL, cell.postgresql));
  runTests(cell.name, { node, native, files, workers: values.workers, attempt: 1 });
  const again = remaining();
  if (again.length > 0) runTests(cell.name, { node, native, files: again, workers: '1', attempt: 2 });
}

/**
 * @param {string} cell
 * @param {{ node: string, native: string, files: string[], workers: string, attempt: number }} how
 */
function runTests(cell, { node, native, files, workers, attempt }) {
  const results = resultsFile(cell);
  mkdirSync(join(results, '..'), { recursive: true });
  const config = join(FOLDER, `${cell}.config.mjs`);
  const options = { results, log: `${results}.log`, attempt };
  const reporter = join(ROOT, 'tests', 'matrix', 'reporter.mjs');
  writeFileSync(
    config,
    `import base from '../jest.config.js';\n` +
      `export default { ...base, rootDir: '..', testPathIgnorePatterns: ['/node_modules/'], ` +
      `reporters: [[${JSON.stringify(reporter)}, ${JSON.stringify(options)}]] };\n`,
  );
  const { PATH = '', ...environment } = process.env;
  delete environment['TEST_DATABASE_URL'];
  const jest = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
  const { error } = spawnSync(
    join(node, 'node'),
    [jest, '--config', config, '--maxWorkers', workers, '--runTestsByPath', ...files],
    {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...environment,
        PATH: `${node}${delimiter}${PATH}`,
        NODE_OPTIONS: '--experimental-vm-modules --no-warnings',
        TEST_POSTGRESQL: native,
      },
    },
  );
  if (error !== undefined) throw error;
}

/**
 * @param {Record<number, string>} versions
 * @param {number} major
 */
function chosenVersion(versions, major) {
  const version = versions[major];
  if (version === undefined) throw new Error(`no version ${major} is listed`);
  return version;
}
