import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPipe } from './pipe.mjs';

/** Variables that would change the behaviour of the measured programs. */
const STRIPPED = /^(PG|MIGRATE_LOCK_|DATABASE_URL$|NODE_|npm_|FORCE_COLOR$|NO_COLOR$)/;
const LINE_LIMIT_MS = 120_000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** @typedef {{ code: number | null, signal: NodeJS.Signals | null, atMs: number }} End `atMs` on the wall clock */

/**
 * Runs a program to its end.
 * @param {import('./contenders.mjs').Program} program
 * @param {{ sockets?: boolean }} [options] where its output goes: to pipes by default
 * @returns {Promise<number>} how many milliseconds it took
 * @throws when it fails
 */
export async function time(program, { sockets = false } = {}) {
  const pipes = sockets ? [] : [openPipe(), openPipe()];
  const startedMs = performance.now();
  const child = launch(program, pipes);
  child.stdin?.end();
  for (const stream of [child.stdout, child.stderr, ...pipes.map(({ output }) => output)]) stream?.resume();
  const [code, signal] = await once(child, 'exit');
  const tookMs = performance.now() - startedMs;
  if (code !== 0) throw new Error(`${program.file} ${program.args.join(' ')} ended with ${code ?? signal}`);
  return tookMs;
}

/** A running program, all of whose lines are read; its stdin is its command's too. */
export class Running {
  /**
   * The lines of it and its command so far, on stdout and stderr.
   * @type {string[]}
   */
  lines = [];
  /** @type {Promise<End>} */
  ended;
  startedAtMs = Date.now();
  #child;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {import('./contenders.mjs').Program} program */
  constructor(program) {
    const pipes = [openPipe(), openPipe()];
    this.#child = launch(program, pipes);
    for (const { output } of pipes) {
      createInterface({ input: output }).on('line', (line) => {
        this.lines.push(line);
        for (const listener of this.#listeners) listener();
      });
    }
    const exited = once(this.#child, 'exit').then(() => Date.now());
    const closed = once(this.#child, 'close');
    const read = Promise.all(pipes.map(({ output }) => once(output, 'close')));
    this.ended = Promise.all([exited, closed, read]).then(([atMs, [code, signal]]) => ({
      code,
      signal,
      atMs,
    }));
    // Rejects the promises of the callers that wait for it.
    this.ended.catch(() => undefined);
  }

  get pid() {
    return this.#child.pid;
  }

  /** Makes a command continue that reads a line from its stdin. */
  letGo() {
    this.#child.stdin?.end('\n');
  }

  /** @param {NodeJS.Signals} signal for this process only */
  kill(signal) {
    this.#child.kill(signal);
  }

  /**
   * @param {(line: string) => boolean} test
   * @param {number} [limitMs]
   * @returns {Promise<string>} the first line that passes
   */
  line(test, limitMs = LINE_LIMIT_MS) {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      /** @param {string} why */
      const fail = (why) => {
        settle();
        reject(new Error(`the line did not come ${why}; the last ones:\n${this.lines.slice(-5).join('\n')}`));
      };
      const look = () => {
        const found = this.lines.find(test);
        if (found === undefined) return;
        settle();
        resolve(found);
      };
      const timer = setTimeout(() => fail(`in ${limitMs} ms`), limitMs);
      this.#listeners.add(look);
      look();
      void this.ended.then(
        () => fail('before the end'),
        (error) => fail(String(error)),
      );
    });
  }

  /**
   * @param {string} name of one of migrate-lock's events
   * @returns {Promise<AuditEvent>}
   */
  async event(name) {
    return JSON.parse(await this.line((line) => line.startsWith('{') && line.includes(`"event":"${name}"`)));
  }

  /** @returns {AuditEvent[]} */
  events() {
    return this.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }

  /** Waits for the end, which must be a success. */
  async success() {
    const end = await this.ended;
    if (end.code === 0) return end;
    throw new Error(`ended with ${end.code ?? end.signal}:\n${this.lines.slice(-5).join('\n')}`);
  }
}

/** @typedef {{ event: string, time: string } & Record<string, unknown>} AuditEvent */

/**
 * @param {import('./contenders.mjs').Program} program
 * @param {ReturnType<typeof openPipe>[]} pipes for its stdout and stderr; none: sockets
 */
function launch({ file, args, env = {} }, [stdout, stderr]) {
  const child = spawn(file, args, {
    env: environmentOf(env),
    stdio: ['pipe', stdout?.fd ?? 'pipe', stderr?.fd ?? 'pipe'],
  });
  stdout?.handOver();
  stderr?.handOver();
  child.stdin?.on('error', () => undefined);
  followToEnd(child);
  return child;
}

/** @param {Record<string, string>} added */
export function environmentOf(added) {
  const inherited = Object.entries(process.env).filter(([name]) => !STRIPPED.test(name));
  return { ...Object.fromEntries(inherited), ...added };
}

/** @param {import('node:child_process').ChildProcess} child is ended with all others */
export function followToEnd(child) {
  running.add(child);
  child.once('close', () => running.delete(child));
  child.once('error', () => running.delete(child));
}

/** Ends the remaining processes: first with SIGTERM, so that each ends its own child, then with SIGKILL. */
export async function endAll() {
  const ends = [...running].map((child) => once(child, 'close'));
  for (const child of running) {
    child.stdin?.end();
    child.kill('SIGTERM');
  }
  await Promise.race([Promise.all(ends), sleep(10_000, undefined, { ref: false })]);
  for (const child of running) child.kill('SIGKILL');
}
