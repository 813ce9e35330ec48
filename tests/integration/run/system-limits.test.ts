import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, type CliResult } from '../../support/run-cli.js';

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

test('a run without enough descriptors reports that, not an internal error', async () => {
  const ends: CliResult[] = [];
  // With fewer, Node.js does not start; how many it needs differs from version to version.
  for (let limit = 17; limit <= 40; limit++) {
    const through = ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh'];
    const args = ['run', '--wait-timeout', '1s', '--', 'sh', '-c', 'exit 3'];
    ends.push(await runCli(args, { env: { DATABASE_URL: db.url }, through, auditOnly: false }));
  }
  const told = ends.map(({ stderr }) => stderr).filter((text) => text.startsWith('migrate-lock:'));
  for (const text of told) expect(text).not.toMatch(/TypeError|Cannot read|defect|internal error/);
  const noGuard = told.filter((text) => text.includes('there is no guard'));
  expect(noGuard.length).toBeGreaterThan(0);
  for (const text of noGuard) {
    expect(text).toContain(
      'there is no guard (the limit on the number of open files is reached (ulimit -n))',
    );
    expect(text).toContain('the command is not ended, not even when the lease expires');
  }
  // 126 would mean that the command is at fault.
  expect(ends.map(({ code }) => code)).not.toContain(126);
  expect(ends.at(-1)?.code).toBe(3);
});
