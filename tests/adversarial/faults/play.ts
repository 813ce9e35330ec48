import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase } from '../../support/database.js';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';
import { CLI } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { createEvidence, lateWrites, notRecovered, overlaps, parseBeat, taggedSessions } from './evidence.js';
import { FRESH, Patience } from './fresh-run.js';
import { inflict } from './inflict.js';
import { endAll, processesOf } from './processes-of.js';
import type { Schedule } from './schedule.js';
import { eventsOf, startRun, type FaultyRun } from './start-run.js';

export interface Report {
  schedule: Schedule;
  /** The violations; empty on success. */
  violations: string[];
  /** What happened when, for people. */
  story: string[];
  /** The number of children that opened their interval. */
  children: number;
}

export interface PlayOptions {
  program?: string;
  /** A module that is preloaded into the program. */
  preload?: string;
  options?: readonly string[];
}

const ALL_END_WITHIN_MS = 60_000;
const PROCESSES_GO_WITHIN_MS = 10_000;

/** Runs a schedule on its own database and looks for violations. The server must be the schedule's alone. */
export async function play(
  schedule: Schedule,
  server: EmbeddedServer,
  { program = CLI, preload, options = [] }: PlayOptions = {},
): Promise<Report> {
  const story: string[] = [];
  const violations: string[] = [];
  const tell = (what: string): void => {
    story.push(`${Math.round(performance.now() - startedAtMs)} ms: ${what}`);
  };
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-faults-'));
  const db = await createDatabase(server.url);
  const startedAtMs = performance.now();
  const runs: FaultyRun[] = [];
  const setup = {
    folder,
    server,
    databaseUrl: db.url,
    program,
    preload,
    options,
    recovers: schedule.recovers === true,
  };
  try {
    await createEvidence(db.sql);
    const deeds = schedule.runs.map(async (plan, index) => {
      await sleep(plan.startAtMs);
      const run = await startRun(`run-${index}`, plan, setup);
      runs.push(run);
      tell(`run ${index} started`);
      const faults = schedule.faults.filter((fault) => fault.run === index);
      await Promise.all(
        faults.map((fault) => inflict(fault, run, server, (what) => tell(`run ${index}: ${what}`))),
      );
      const end = await ended(run);
      tell(`run ${index} ended: ${end}`);
      if (['still running', '1', '70', '78'].includes(end)) violations.push(`run ${index} ended: ${end}`);
    });
    await Promise.all(deeds);
    violations.push(...(await processesLeft(folder)));

    const patience = await Patience.from(db.sql);
    const fresh = await startRun('fresh', FRESH, setup);
    patience.watch(fresh.relay);
    runs.push(fresh);
    const end = await ended(fresh);
    tell(`the fresh run ended: ${end}`);
    if (end !== '0') violations.push(`the fresh run ended: ${end}`);
    const judged = await patience.judge(fresh, Math.max(...schedule.runs.map(({ ttlMs }) => ttlMs)));
    tell(judged.story);
    violations.push(...judged.violations);

    const left = await waitFor('the sessions', async () => (await taggedSessions(db.sql)).length === 0, {
      limitMs: 500,
    }).catch(() => false as const);
    if (!left)
      violations.push(...(await taggedSessions(db.sql)).map((session) => `session left: ${session}`));
    // A statement that should have been ended gets the time to cause its damage.
    if (!left) await sleep(6_000);
    violations.push(...(await lateWrites(db.sql)));
    if (setup.recovers) violations.push(...(await notRecovered(db.sql)));
    const beats = runs.flatMap((run) => run.beats()).map(parseBeat);
    violations.push(...overlaps(beats));
    for (const run of runs) violations.push(...brokenEvents(run));
    const [ran] = await db.sql<{ n: number }[]>`SELECT count(*)::int AS n FROM ran`;
    return { schedule, violations, story, children: ran?.n ?? 0 };
  } catch (error) {
    violations.push(
      `the harness failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    return { schedule, violations, story, children: 0 };
  } finally {
    if (violations.length > 0)
      for (const run of runs) story.push(`--- ${run.home}\n${run.stdout()}\n${run.stderr()}`);
    endAll(folder);
    await Promise.all(runs.map((run) => run.close()));
    await db.drop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function ended(run: FaultyRun): Promise<string> {
  const limit = new AbortController();
  const late = sleep(ALL_END_WITHIN_MS, null, { signal: limit.signal }).catch(() => null);
  const end = await Promise.race([run.ended, late]);
  limit.abort();
  if (end === null) return 'still running';
  return end.signal ?? String(end.code);
}

/** Children, grandchildren, guards and release programs must be gone, some time after their holder. */
async function processesLeft(folder: string): Promise<string[]> {
  const living = () => processesOf(folder);
  await waitFor('no process', () => living().length === 0, {
    limitMs: PROCESSES_GO_WITHIN_MS,
    intervalMs: 250,
  }).catch(() => undefined);
  return living().map(({ pid, command }) => `process left: ${pid} ${command}`);
}

function brokenEvents(run: FaultyRun): string[] {
  try {
    return eventsOf(run)
      .filter(
        (event) => event.event === 'lock.lost' || (event.event === 'error' && event.code === 'INTERNAL'),
      )
      .map((event) => `event ${JSON.stringify(event)}`);
  } catch (error) {
    return [String(error)];
  }
}
