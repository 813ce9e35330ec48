import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nanoid } from 'nanoid';
import type { EventName, MigrateLockEvent } from '../../src/events/events.js';
import { parseAuditLine } from './audit-line.js';
import { endProcess, isAlive, processesWith, signalProcess, type MarkedProcess } from './processes.js';
import { waitFor } from './wait-for.js';

/** The built program, as package.json's `bin` names it. */
export const CLI = fileURLToPath(new URL('../../dist/migrate-lock.cjs', import.meta.url));

/** With `MIGRATE_LOCK_BIN=path npm test`, that executable is the command line. */
export const TESTED_EXECUTABLE = process.env.MIGRATE_LOCK_BIN;

/** The words that start the command line, before its arguments. */
const PROGRAM = TESTED_EXECUTABLE === undefined ? [process.execPath, CLI] : [resolve(TESTED_EXECUTABLE)];

/**
 * `NODE CLI ARGS...` is the command line in the words of a test, such as a line of a shell. For an executable, global-setup.mjs has
 * made a shell script that starts it, and Node.js for every other script.
 */
export const NODE =
  TESTED_EXECUTABLE === undefined
    ? process.execPath
    : fileURLToPath(new URL('../../dist/bin/tested', import.meta.url));

/** The mark in the environment of everything that this test file starts. */
const MARK = 'TEST_FILE_MARK';
const mark = nanoid();
const folders = new Set<string>();
/** What changes the program's behaviour, and NODE_EXTRA_CA_CERTS, with which each start of Node.js takes two or three times as long. */
const STRIPPED =
  /^(PG|MIGRATE_LOCK_|DATABASE_URL$|TEST_DATABASE_URL$|FORCE_COLOR$|NO_COLOR$|NODE_OPTIONS$|NODE_EXTRA_CA_CERTS$|npm_)/;

export type EventNamed<N extends EventName> = Extract<MigrateLockEvent, { event: N }>;

export interface CliOptions {
  /** Added to the inherited environment, without the variables that change the program's behaviour. */
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** The program's stdin; empty by default. */
  input?: string;
  /**
   * False when other programs write to stdout too (`--child-stdout stdout`): then no line is parsed, and `events` is
   * empty.
   */
  auditOnly?: boolean;
  /** Arguments of Node; the last of them may be another program (`node fixture`). */
  program?: string[];
  /** An executable instead of Node and the program. */
  executable?: string;
  /** A command that becomes (exec) the program, as another user or in another namespace. */
  through?: string[];
}

export interface CliResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  events: MigrateLockEvent[];
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  pid: number;
  /** The events so far. Throws for a complete line that is not a valid event. */
  events: () => MigrateLockEvent[];
  /** Waits for an event, also a past one; rejects when the program ends without it. */
  waitForEvent: <N extends EventName>(
    name: N,
    predicate?: (event: EventNamed<N>) => boolean,
    limitMs?: number,
  ) => Promise<EventNamed<N>>;
  stdout: () => string;
  stderr: () => string;
  kill: (signal: NodeJS.Signals) => boolean;
  /** Resolves when the program has ended and every line of stdout is a valid event. */
  done: Promise<CliResult>;
}

/**
 * Starts the built program as a real process in its own session, without a terminal. Both
 * outputs go to files, which never stall it.
 */
export function startCli(args: string[], options: CliOptions = {}): RunningCli {
  const folder = mkdtempSync(join(tmpdir(), 'migrate-lock-cli-'));
  folders.add(folder);
  const paths = { stdout: join(folder, 'stdout'), stderr: join(folder, 'stderr') };
  const outputs = [openSync(paths.stdout, 'a'), openSync(paths.stderr, 'a')] as const;
  const words = [...(options.through ?? []), ...programOf(options), ...args];
  const child = spawn(words[0] ?? '', words.slice(1), {
    cwd: options.cwd,
    env: environment(options.env),
    detached: true,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', ...outputs],
  });
  for (const descriptor of outputs) closeSync(descriptor);
  child.stdin?.on('error', () => undefined).end(options.input);

  // The content of the files, after their folder was removed.
  let kept: { stdout: string; stderr: string } | null = null;
  const text = (stream: 'stdout' | 'stderr') => kept?.[stream] ?? readFileSync(paths[stream], 'utf8');
  const events = () => (options.auditOnly === false ? [] : wholeLines(text('stdout')).map(parseAuditLine));

  const finish = async (): Promise<CliResult> => {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    kept = { stdout: text('stdout'), stderr: text('stderr') };
    rmSync(folder, { recursive: true });
    folders.delete(folder);
    if (options.auditOnly !== false && !/(^|\n)$/.test(kept.stdout)) {
      throw new Error(`the last audit line has no end: ${kept.stdout.slice(-200)}`);
    }
    return { code, signal, events: events(), ...kept };
  };
  const done = finish();
  // A test that does not await the end must not fail because of it.
  done.catch(() => undefined);

  const { pid } = child;
  if (pid === undefined) throw new Error(`could not start ${words[0]}`);
  return {
    pid,
    events,
    stdout: () => text('stdout'),
    stderr: () => text('stderr'),
    kill: (signal) => signalProcess(pid, signal),
    done,
    waitForEvent: async <N extends EventName>(
      name: N,
      predicate: (event: EventNamed<N>) => boolean = () => true,
      limitMs = 20_000,
    ) => {
      const limit = performance.now() + limitMs;
      for (;;) {
        const over = kept !== null || performance.now() > limit;
        const found = events().find((event) => event.event === name && predicate(event as EventNamed<N>));
        if (found !== undefined) return found as EventNamed<N>;
        if (over)
          throw new Error(
            `no event ${name} ${kept ? 'until the program ended' : `in ${limitMs} ms`}; stderr:\n${text('stderr')}`,
          );
        await sleep(20);
      }
    },
  };
}

/** Starts the program and waits for its end. */
export function runCli(args: string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, options).done;
}

/**
 * The processes that this test file started through `startCli`, descendants included, that still live after `graceMs`.
 */
export async function leftovers(graceMs = 2_000): Promise<MarkedProcess[]> {
  const living = () => processesWith(MARK, mark);
  await waitFor('no process left', () => living().length === 0, { limitMs: graceMs }).catch(() => undefined);
  return living();
}

/** For `afterAll`: ends the remaining processes, and fails with their names. */
export async function assertNothingLeft(): Promise<void> {
  const left = await leftovers();
  for (const { pid } of left) if (isAlive(pid)) await endProcess(pid);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  if (left.length > 0) {
    throw new Error(`processes were left: ${left.map(({ pid, command }) => `${pid} ${command}`).join('; ')}`);
  }
}

function programOf({ executable, program }: CliOptions): readonly string[] {
  if (executable !== undefined) return [executable];
  return program === undefined ? PROGRAM : [NODE, ...program];
}

function environment(added: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !STRIPPED.test(name));
  return { ...Object.fromEntries(inherited), [MARK]: mark, ...added };
}

function wholeLines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}
