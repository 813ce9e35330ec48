import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { parsePrometheusText } from '../../support/prometheus-text.js';
import { assertNothingLeft, runCli, startCli, type CliResult } from '../../support/run-cli.js';

let db: TestDatabase;
let folder: string;
let file: string;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'migrate-lock-metrics-'));
  file = join(folder, 'migrate-lock.prom');
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await assertNothingLeft();
  await db.sql`DROP SCHEMA IF EXISTS migrate_lock CASCADE`;
});
afterAll(() => db.drop());

const run = (args: string[], env: Record<string, string> = {}): Promise<CliResult> =>
  runCli(['run', ...args], {
    cwd: folder,
    env: { DATABASE_URL: db.url, ...env },
  });

const metrics = () => parsePrometheusText(readFileSync(file, 'utf8'));
const value = (name: string) => metrics().get(`migrate_lock_${name}`)?.samples[0]?.value;
const result = () =>
  metrics()
    .get('migrate_lock_result')
    ?.samples.filter((sample) => sample.value === 1)
    .map(({ labels }) => labels.result);

test('the metrics match the events', async () => {
  const { code, events } = await run([
    ...['--metrics-file', 'migrate-lock.prom', '--', 'sh', '-c', 'exit 3'],
  ]);
  expect(code).toBe(3);
  const acquired = events.find(({ event }) => event === 'lock.acquired');
  const released = events.find(({ event }) => event === 'lock.released');
  expect([value('wait_seconds'), value('hold_seconds'), value('polls_total'), value('exit_code')]).toEqual([
    acquired?.event === 'lock.acquired' && acquired.waitedMs / 1_000,
    released?.event === 'lock.released' && released.heldMs / 1_000,
    acquired?.event === 'lock.acquired' && acquired.polls,
    3,
  ]);
  expect(value('finished_timestamp_seconds')).toBe(Date.parse(events.at(-1)?.time ?? '') / 1_000);
  expect(result()).toEqual(['completed']);
  expect(metrics().get('migrate_lock_exit_code')?.samples[0]?.labels).toEqual({
    database: events.at(-1)?.database,
    schema: 'migrate_lock',
  });
  expect(readdirSync(folder)).toEqual(['migrate-lock.prom']);
});

test('of a run that timed out, with the environment variable', async () => {
  const holder = startCli(['run', '--', 'sleep', '1000'], { env: { DATABASE_URL: db.url } });
  await holder.waitForEvent('child.started');
  const { code } = await run(['--wait-timeout', '300ms', '--', 'true'], { MIGRATE_LOCK_METRICS_FILE: file });
  holder.kill('SIGTERM');
  await holder.done;
  expect(code).toBe(75);
  expect(result()).toEqual(['conflict']);
  expect([value('exit_code'), value('queue_length'), value('hold_seconds')]).toEqual([75, 1, 0]);
  expect(value('wait_seconds')).toBeGreaterThan(0);
});

test('a file that cannot be written causes a warning, and changes nothing else', async () => {
  const { code, events, stderr } = await run([
    ...['--metrics-file', join(folder, 'none', 'm.prom'), '--', 'sh', '-c', 'exit 4'],
  ]);
  expect(code).toBe(4);
  expect(events.map(({ event }) => event).slice(-2)).toEqual(['lock.released', 'run.finished']);
  expect(stderr).toMatch(/^migrate-lock: the metrics could not be written: ENOENT/m);
});

test('an empty path is a usage error', async () => {
  const { code, stderr } = await run(['--metrics-file', '', '--', 'true']);
  expect(code).toBe(64);
  expect(stderr).toContain('--metrics-file is empty.');
});
