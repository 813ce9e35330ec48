import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startServer, type EmbeddedServer } from '../harness/embedded-server.mjs';
import { play, type Report } from './play.js';
import { drawSchedule, type RunPlan, type Schedule } from './schedule.js';

// npm run test:faults (run.mjs) sets these: other seeds, more of them, and a word on each that fails as it does.
const LANES = Number(process.env.FAULTS_LANES ?? '6');
const FIRST_SEED = Number(process.env.FAULTS_SEED ?? '1');
const RUNS = Number(process.env.FAULTS_RUNS ?? '30');
const TELLS = process.env.FAULTS_TELL !== undefined;
const PROGRAM = process.env.FAULTS_PROGRAM;
const ONE_TAKES_AT_MOST_MS = 150_000;

// Schedules restart their server, so each lane has one of its own, whatever TEST_DATABASE_URL says.
let servers: EmbeddedServer[];

beforeAll(async () => {
  const settings = { track_commit_timestamp: 'on', max_connections: 60, autovacuum: 'off' };
  servers = await Promise.all(Array.from({ length: LANES }, () => startServer({ settings })));
});
afterAll(() => Promise.all(servers.map((server) => server.stop())));

test(
  `${RUNS} random schedules from seed ${FIRST_SEED} on: never two at once, nothing late, nothing left`,
  async () => {
    const schedules = Array.from({ length: RUNS }, (_, index) => drawSchedule(FIRST_SEED + index));
    const reports = await playAll(schedules);
    const failed = reports.filter(({ violations }) => violations.length > 0);
    // The seeds first: the stories are long.
    expect(failed.map(({ schedule, violations }) => ({ seed: schedule.seed, violations }))).toEqual([]);
    expect(reports).toHaveLength(RUNS);
    expect(reports.reduce((sum, { children }) => sum + children, 0)).toBeGreaterThan(RUNS);
  },
  Math.ceil(RUNS / LANES) * ONE_TAKES_AT_MOST_MS,
);

describe('the harness finds out', () => {
  const calm: RunPlan = {
    startAtMs: 0,
    ttlMs: 3_000,
    killGraceMs: 200,
    child: { runMs: 100 },
    childThroughRelay: false,
    stdout: 'file',
    skewMs: 0,
  };
  const orphan: Schedule = {
    seed: 0,
    runs: [
      { ...calm, child: { runMs: 100, statement: 'sleep' } },
      { ...calm, startAtMs: 300 },
    ],
    faults: [{ run: 0, when: { at: 'child', word: 'stated', afterMs: 0 }, deed: { kind: 'machine dies' } }],
  };

  test('a takeover that leaves the orphans of the dead at work', async () => {
    const [server] = servers;
    if (server === undefined) throw new Error('no server');
    const { violations } = await play(orphan, server, { options: ['--orphans', 'ignore'] });
    expect(violations.some((violation) => violation.includes('saw overlap:session'))).toBe(true);
    expect(violations.some((violation) => violation.includes('wrote after token'))).toBe(true);
    expect(await play(orphan, server)).toMatchObject({ violations: [] });
  }, 120_000);
});

/** A schedule at a time in each lane. */
async function playAll(schedules: Schedule[]): Promise<Report[]> {
  const reports: Report[] = [];
  await Promise.all(
    servers.map(async (server) => {
      for (let schedule = schedules.shift(); schedule !== undefined; schedule = schedules.shift()) {
        const report = await play(schedule, server, PROGRAM === undefined ? {} : { program: PROGRAM });
        reports.push(report);
        if (report.violations.length > 0) process.stderr.write(`${describeReport(report)}\n`);
        if (TELLS && reports.length % 20 === 0) tellProgress(reports);
      }
    }),
  );
  if (TELLS) tellProgress(reports);
  return reports;
}

function tellProgress(reports: readonly Report[]): void {
  const children = reports.reduce((sum, report) => sum + report.children, 0);
  const failed = reports.filter(({ violations }) => violations.length > 0);
  const seeds = failed.map(({ schedule }) => schedule.seed).join(', ');
  process.stderr.write(
    `${reports.length} schedules, ${children} children, failed seeds: ${seeds || 'none'}\n`,
  );
}

function describeReport({ schedule, violations, story }: Report): string {
  return [
    `\nseed ${schedule.seed}:`,
    ...violations.map((violation) => `  VIOLATION ${violation}`),
    ...schedule.runs.map((run, index) => `  run ${index}: ${JSON.stringify(run)}`),
    ...schedule.faults.map((fault) => `  fault: ${JSON.stringify(fault)}`),
    ...story.map((line) => `  ${line}`),
  ].join('\n');
}
