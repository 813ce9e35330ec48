/** Jest's reporter in a cell: writes each test file's result as soon as the file has ended, so that a run can be resumed. */
import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import postgres from 'postgres';
import { addResult, currentCommit, digestOf, programDigest, ROOT } from './results.mjs';

export default class CellReporter {
  #program = programDigest();
  #commit = currentCommit();
  #postgresql = 'unknown';
  /** @type {{ results: string, log: string, attempt: number }} */
  #options;

  /**
   * @param {unknown} _
   * @param {{ results: string, log: string, attempt: number }} options
   */
  constructor(_, options) {
    this.#options = options;
  }

  /** After globalSetup: the shared server runs, and says itself which version it is. */
  async onRunStart() {
    const sql = postgres(process.env['TEST_DATABASE_URL'] ?? '', { max: 1, onnotice: () => undefined });
    const [row] = await sql`SHOW server_version`;
    await sql.end();
    this.#postgresql = row?.['server_version'];
  }

  /**
   * @param {unknown} _
   * @param {import('@jest/test-result').TestResult} result
   */
  onTestResult(_, result) {
    const { results, log, attempt } = this.#options;
    const file = relative(ROOT, result.testFilePath);
    const failures = result.testResults.filter(({ status }) => status === 'failed');
    // A file that could not even start has no failed test.
    const failed = Math.max(failures.length, result.failureMessage ? 1 : 0);
    const durationMs = result.perfStats.runtime;
    const seconds = Math.round(durationMs / 1000);
    console.error(
      `${failed > 0 ? 'FAILED' : 'passed'} ${file} (${result.numPassingTests} tests, ${seconds} s)`,
    );
    if (result.failureMessage) appendFileSync(log, `${file}\n${result.failureMessage}\n`);
    addResult(results, {
      file,
      test: digestOf([file]),
      program: this.#program,
      commit: this.#commit,
      node: process.version.slice(1),
      postgresql: this.#postgresql,
      attempt,
      passed: result.numPassingTests,
      skipped: result.numPendingTests,
      failed,
      failures: failures.map(({ fullName }) => fullName),
      durationMs,
    });
  }
}
