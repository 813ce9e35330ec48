import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAuditLine } from '../../support/audit-line.js';
import { startRelay, type Relay } from '../../support/relay.js';
import { NODE } from '../../support/run-cli.js';
import type { RunPlan } from './schedule.js';

export const CHILD = fileURLToPath(new URL('../../support/fixtures/faults/child.mjs', import.meta.url));
const RECOVERY = fileURLToPath(new URL('../../support/fixtures/faults/recovery.mjs', import.meta.url));
const CLOCK_SKEW = fileURLToPath(new URL('../../support/fixtures/faults/clock-skew.cjs', import.meta.url));

const RECOVER = 'exec "$FAULTS_NODE" "$FAULTS_RECOVERY"';

/** One `migrate-lock run` of a schedule, with its own relay. */
export interface FaultyRun {
  pid: number;
  relay: Relay;
  /** Every process of the run has this HOME, the guard too. */
  home: string;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  hasEnded: () => boolean;
  beats: () => string[];
  stdout: () => string;
  stderr: () => string;
  close: () => Promise<void>;
}

export interface RunSetup {
  folder: string;
  server: { host: string; port: number };
  databaseUrl: string;
  /** The program under test, and its environment. */
  program: string;
  preload: string | undefined;
  options: readonly string[];
  recovers: boolean;
}

export async function startRun(
  name: string,
  plan: RunPlan,
  { folder, server, databaseUrl, program, preload, options, recovers }: RunSetup,
): Promise<FaultyRun> {
  const home = join(folder, name);
  mkdirSync(home);
  const relay = await startRelay(server);
  const url = relay.through(databaseUrl);
  const beatsFile = join(home, 'beats');
  const { descriptor, close: closeStdout } = openStdout(plan.stdout, home);
  const stderr = openSync(join(home, 'stderr'), 'a');
  // What is preloaded has no effect on the executable.
  const node = plan.skewMs === 0 && preload === undefined ? NODE : process.execPath;
  const child = spawn(
    node,
    [
      ...(plan.skewMs === 0 ? [] : ['--require', CLOCK_SKEW]),
      ...(preload === undefined ? [] : ['--require', preload]),
      ...[program, 'run', '--ttl', `${plan.ttlMs}ms`, '--kill-grace', `${plan.killGraceMs}ms`],
      ...[
        '--wait-timeout',
        '60s',
        ...(recovers ? ['--recover', RECOVER] : []),
        ...options,
        '--',
        process.execPath,
        CHILD,
      ],
    ],
    {
      env: {
        PATH: process.env.PATH,
        HOME: home,
        // The folder of its socket: files of a dead run are removed with the schedule's folder.
        TMPDIR: home,
        DATABASE_URL: url,
        FAULTS_URL: plan.childThroughRelay ? url : databaseUrl,
        FAULTS_CHILD: JSON.stringify(plan.child),
        FAULTS_BEATS: beatsFile,
        FAULTS_NODE: process.execPath,
        FAULTS_RECOVERY: RECOVERY,
        FAULTS_SKEW_MS: String(plan.skewMs),
      },
      detached: true,
      stdio: ['ignore', descriptor, stderr],
    },
  );
  closeSync(descriptor);
  closeSync(stderr);
  const ended = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  if (child.pid === undefined) throw new Error('the program could not be started');
  return {
    pid: child.pid,
    relay,
    home,
    ended,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    beats: () => wholeLines(beatsFile),
    stdout: () => wholeLines(join(home, 'stdout')).join('\n'),
    stderr: () => wholeLines(join(home, 'stderr')).join('\n'),
    close: async () => {
      closeStdout();
      await relay.close();
    },
  };
}

/** The events of a run, each checked against the schema; none when its stdout was not a file. */
export function eventsOf(run: FaultyRun): ReturnType<typeof parseAuditLine>[] {
  return wholeLines(join(run.home, 'stdout')).map(parseAuditLine);
}

function openStdout(kind: RunPlan['stdout'], home: string): { descriptor: number; close: () => void } {
  const nothing = () => undefined;
  if (kind === 'full') return { descriptor: openSync('/dev/full', 'w'), close: nothing };
  const path = join(home, 'stdout');
  if (kind === 'file') return { descriptor: openSync(path, 'a'), close: nothing };
  const pipe = join(home, 'pipe');
  if (spawnSync('mkfifo', [pipe]).status !== 0) throw new Error('mkfifo failed');
  const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const descriptor = openSync(pipe, constants.O_WRONLY);
  if (kind === 'closed') {
    closeSync(reader);
    return { descriptor, close: nothing };
  }
  try {
    for (;;) writeSync(reader, ' '.repeat(4096));
  } catch {
    // The pipe is full, and nothing will read it.
  }
  return { descriptor, close: () => closeSync(reader) };
}

function wholeLines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
}
