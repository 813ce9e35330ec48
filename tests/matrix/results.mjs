/** The results of the cells: a file of JSON lines for each, with a line for each test file that ran to its end. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const FOLDER = join(ROOT, '.matrix');

/**
 * @typedef {object} FileResult
 * @property {string} file
 * @property {string} test the digest of the test file
 * @property {string} program the digest of the built program
 * @property {string} commit
 * @property {string} node the version that ran the test
 * @property {string} postgresql the version that the shared server said it has
 * @property {number} attempt 2: it failed beside other files, and was repeated alone
 * @property {number} passed
 * @property {number} skipped
 * @property {number} failed
 * @property {string[]} failures the names of the failed tests
 * @property {number} durationMs
 */

/** All integration tests. */
export const testFiles = () =>
  readdirSync(join(ROOT, 'tests', 'integration'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `tests/integration/${name}`)
    .sort();

/** @param {string} cell */
export const resultsFile = (cell) => join(FOLDER, 'results', `${cell}.jsonl`);

/**
 * @param {string} path
 * @param {FileResult} result
 */
export function addResult(path, result) {
  mkdirSync(join(path, '..'), { recursive: true });
  appendFileSync(path, `${JSON.stringify(result)}\n`);
}

/**
 * The newest result of each test file that exists.
 * @param {string} cell
 * @returns {Map<string, FileResult>}
 */
export function resultsOf(cell) {
  const path = resultsFile(cell);
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  const existing = new Set(testFiles());
  /** @type {FileResult[]} */
  const results = lines.map((line) => JSON.parse(line));
  return new Map(results.filter(({ file }) => existing.has(file)).map((result) => [result.file, result]));
}

/**
 * Whether the test need not run again: it passed, and neither it nor the program has changed since.
 * @param {FileResult | undefined} result
 * @param {string} program
 */
export function isCurrent(result, program) {
  return result?.failed === 0 && result.program === program && result.test === digestOf([result.file]);
}

export function programDigest() {
  const built = readdirSync(join(ROOT, 'dist')).filter((name) => /\.c?js$/.test(name));
  return digestOf(built.sort().map((name) => `dist/${name}`));
}

/** @param {string[]} files */
export function digestOf(files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(ROOT, file)));
  return hash.digest('hex').slice(0, 16);
}

/** The commit of the work tree; a plus sign when files differ from it. */
export function currentCommit() {
  /** @param {string[]} words */
  const git = (...words) => spawnSync('git', words, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
  const changed = git('status', '--porcelain', '--', 'bin', 'src', 'sql', 'tests', 'scripts');
  return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : '+'}`;
}
