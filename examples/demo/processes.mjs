import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Variables that would change the behaviour of the demo's programs. */
const STRIPPED = /^(PG|MIGRATE_LOCK_|NODE_OPTIONS$)/;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
let ending = false;

/**
 * @typedef {{ number: number, code: number | null, signal: string | null, events: AuditEvent[], stderr: string }} Finished
 * @typedef {{ event: string, time: string, instanceId: string } & Record<string, unknown>} AuditEvent
 */

/**
 * The arguments of Node that run a command through the built migrate-lock.
 * @param {string[]} command
 * @param {{ waitTimeout: string }} options
 */
export function withLock(command, { waitTimeout }) {
  return [
    join(ROOT, 'dist', 'migrate-lock.cjs'),
    'run',
    '--quiet',
    '--wait-timeout',
    waitTimeout,
    '--',
    ...command,
  ];
}

/**
 * Starts the same program several times at the same moment, and waits for all of them.
 * @param {number} count
 * @param {string[]} args of Node
 * @param {{ cwd: string, databaseUrl: string, env?: Record<string, string>, onEvent?: (number: number, event: AuditEvent) => void }} options
 * @returns {Promise<Finished[]>}
 */
export function storm(count, args, options) {
  return Promise.all(Array.from({ length: count }, (_, index) => run(index + 1, args, options)));
}

/**
 * @param {number} number
 * @param {string[]} args
 * @param {Parameters<typeof storm>[2]} options
 * @returns {Promise<Finished>}
 */
async function run(number, args, { cwd, databaseUrl, env = {}, onEvent }) {
  const inherited = Object.entries(process.env).filter(([name]) => !STRIPPED.test(name));
  const path = [join(ROOT, 'node_modules', '.bin'), dirname(process.execPath), process.env['PATH']].join(
    delimiter,
  );
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...Object.fromEntries(inherited), PATH: path, DATABASE_URL: databaseUrl, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += String(text)));
  /** @type {AuditEvent[]} */
  const events = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line);
    events.push(event);
    onEvent?.(number, event);
  });
  const [code, signal] = await once(child, 'close');
  running.delete(child);
  // An interrupted run has no result.
  if (ending) await new Promise(() => undefined);
  return { number, code, signal, events, stderr };
}

/**
 * Ends the remaining processes: first with SIGTERM, so that each releases its lock and ends its own child, then with
 * SIGKILL.
 */
export async function endAll() {
  ending = true;
  const ends = [...running].map((child) => once(child, 'close'));
  for (const child of running) child.kill('SIGTERM');
  await Promise.race([Promise.all(ends), sleep(8_000, undefined, { ref: false })]);
  for (const child of running) child.kill('SIGKILL');
}
