import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { CALM, GUARDS_PART } from './guards-part.js';
import { play, type PlayOptions, type Report } from './play.js';
import { drawSchedule, type Schedule } from './schedule.js';

// npm run test:faults (run.mjs) sets these: other seeds, more of them, and a line for each failure.
const LANES = Number(process.env.FAULTS_LANES ?? '6');
const FIRST_SEED = Number(process.env.FAULTS_SEED ?? '1');
const RUNS = Number(process.env.FAULTS_RUNS ?? '30');
const TELLS = process.env.FAULTS_TELL !== undefined;
const { FAULTS_PROGRAM } = process.env;
const TESTED: PlayOptions = FAULTS_PROGRAM === undefined ? {} : { program: FAULTS_PROGRAM };
const IDLE_GUARD = fileURLToPath(new URL('../../support/fixtures/faults/idle-guard.cjs', import.meta.url));
const ONE_TAKES_AT_MOST_MS = 150_000;

const guardsPart = Object.values(GUARDS_PART);
const names = new Map(Object.entries(GUARDS_PART).map(([name, schedule]) => [schedule, name]));
const guardsPartTakesAtMostMs = Math.ceil(guardsPart.length / LANES) * ONE_TAKES_AT_MOST_MS;

// Schedules restart their server, so each lane starts its own and ignores TEST_DATABASE_URL.
let servers: EmbeddedServer[];

beforeAll(async () => {
  const settings = { track_commit_timestamp: 'on', max_connections: 60, autovacuum: 'off' };
  servers = await Promise.all(Array.from({ length: LANES }, () => startServer({ settings })));
});
afterAll(() => Promise.all(servers.map((server) => server.stop())));

test(
  `${RUNS} random schedules from seed ${FIRST_SEED}: never two commands at once, nothing late, nothing left`,
  async () => {
    const schedules = Array.from({ length: RUNS }, (_, index) => drawSchedule(FIRST_SEED + index));
    const reports = await playAll(schedules, TESTED, tellFailure);
    const failed = reports.filter(({ violations }) => violations.length > 0);
    // The seeds first, because the traces are long.
    expect(failed.map(({ schedule, violations }) => ({ seed: schedule.seed, violations }))).toEqual([]);
    expect(reports).toHaveLength(RUNS);
    expect(reports.reduce((sum, { children }) => sum + children, 0)).toBeGreaterThan(RUNS);
  },
  Math.ceil(RUNS / LANES) * ONE_TAKES_AT_MOST_MS,
);

test(
  'the guard ends the command for every fault that hits the holder',
  async () => {
    const reports = await playAll(guardsPart, TESTED, tellFailure);
    expect(reports).toHaveLength(guardsPart.length);
    for (const { schedule, violations, story, children } of reports) {
      const name = names.get(schedule);
      expect({ name, violations }).toEqual({ name, violations: [] });
      // A fault that did not happen proves nothing. Each of the two runs had its turn, and a fresh run.
      expect(story.filter((line) => line.endsWith(': over'))).toHaveLength(1);
      expect({ name, children }).toEqual({ name, children: 3 });
    }
  },
  guardsPartTakesAtMostMs,
);

describe('the harness detects', () => {
  const orphan: Schedule = {
    seed: 0,
    runs: [
      { ...CALM, child: { runMs: 100, statement: 'sleep' } },
      // Late enough that the other run has the lock, and long enough to write on a busy machine.
      { ...CALM, startAtMs: 1_500, child: { runMs: 1_000 } },
    ],
    faults: [{ run: 0, when: { at: 'child', word: 'stated', afterMs: 0 }, deed: { kind: 'machine dies' } }],
  };

  test('a takeover that leaves orphans of the previous holder running', async () => {
    const [server] = servers;
    if (server === undefined) throw new Error('no server');
    const { violations } = await play(orphan, server, { options: ['--orphans', 'ignore'] });
    expect(violations.some((violation) => violation.includes('saw overlap:session'))).toBe(true);
    expect(violations.some((violation) => violation.includes('wrote after token'))).toBe(true);
    expect(await play(orphan, server)).toMatchObject({ violations: [] });
  }, 120_000);

  test(
    'a guard that does nothing, for every fault that hits the holder',
    async () => {
      const reports = await playAll(guardsPart, { preload: IDLE_GUARD });
      expect(reports).toHaveLength(guardsPart.length);
      for (const { schedule, violations } of reports) {
        const found = violations.some((violation) => violation.includes('lived at once'));
        expect({ name: names.get(schedule), found, violations }).toMatchObject({ found: true });
      }
    },
    guardsPartTakesAtMostMs,
  );
});

/** One schedule at a time in each lane. */
async function playAll(
  schedules: readonly Schedule[],
  options: PlayOptions,
  onFailure: (report: Report) => void = () => undefined,
): Promise<Report[]> {
  const reports: Report[] = [];
  const left = [...schedules];
  await Promise.all(
    servers.map(async (server) => {
      for (let schedule = left.shift(); schedule !== undefined; schedule = left.shift()) {
        const report = await play(schedule, server, options);
        reports.push(report);
        if (report.violations.length > 0) onFailure(report);
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

function tellFailure({ schedule, violations, story }: Report): void {
  const lines = [
    `\nseed ${schedule.seed}:`,
    ...violations.map((violation) => `  VIOLATION ${violation}`),
    ...schedule.runs.map((run, index) => `  run ${index}: ${JSON.stringify(run)}`),
    ...schedule.faults.map((fault) => `  fault: ${JSON.stringify(fault)}`),
    ...story.map((line) => `  ${line}`),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}
