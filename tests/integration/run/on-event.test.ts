import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { assertNothingLeft, runCli, type CliResult } from '../../support/run-cli.js';

// --on-event: a command that gets events.

let db: TestDatabase;

beforeAll(async () => {
  db = await createDatabase();
});
afterEach(() => assertNothingLeft());
afterAll(() => db.drop());

const run = (...args: string[]): Promise<CliResult> =>
  runCli(['run', ...args], { env: { DATABASE_URL: db.url } });
/** Writes the event's name and exit code to stderr, through its own stdout. */
const SHOW = `'${process.execPath}' -e 'process.stdin.on("data", (line) => { const { event, exitCode } = JSON.parse(line); console.log("told", event, exitCode); })'`;
const told = ({ stderr }: CliResult) => [...stderr.matchAll(/^told (.*)$/gm)].map(([, words]) => words);

describe('--on-event', () => {
  test('gets by default the end of a run that did not succeed, as JSON on its stdin', async () => {
    const failed = await run('--on-event', SHOW, '--', 'sh', '-c', 'exit 3');
    expect(failed).toMatchObject({ code: 3 });
    expect(told(failed)).toEqual(['run.finished 3']);
    expect(told(await run('--on-event', SHOW, '--', 'true'))).toEqual([]);
  });

  test('gets the events of --on-events, and no other', async () => {
    const names = 'child.started,run.finished';
    const result = await run('--on-event', SHOW, '--on-events', names, '--', 'true');
    expect(told(result).sort()).toEqual(['child.started undefined', 'run.finished 0']);
  });

  test('can send an event to a web hook', async () => {
    const bodies: string[] = [];
    const server = createServer((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => bodies.push(text));
      request.on('end', () => response.end());
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const send = `'${process.execPath}' -e 'fetch("http://127.0.0.1:${port}", { method: "POST", body: require("fs").readFileSync(0) })'`;
    const { events } = await run('--on-event', send, '--', 'false');
    server.close();
    expect(JSON.parse(bodies.join(''))).toEqual(events.at(-1));
  });

  test.each([
    ['exits with 9', 'exit 9', 'for run.finished it ended with exit code 9'],
    ['is not found', 'no-such-command', 'for run.finished it ended with exit code 127'],
    ['is killed', 'kill -9 $$', 'for run.finished it ended with SIGKILL'],
  ])('changes no exit code when it %s: one warning', async (_, command, problem) => {
    const { code, stderr } = await run('--on-event', command, '--', 'sh', '-c', 'exit 3');
    expect(code).toBe(3);
    expect(stderr.split('\n').filter((line) => line.includes('--on-event'))).toEqual([
      `migrate-lock: the command of --on-event failed: ${problem}`,
    ]);
  });

  test('gets no character that controls a terminal', async () => {
    const args = ['--on-event', 'cat', '--on-events', 'child.started', '--', 'true', '\u009b2J\u202e'];
    const { stderr, events } = await run(...args);
    const line = stderr.split('\n').find((text) => text.startsWith('{')) ?? '';
    expect(JSON.parse(line)).toEqual(events.find(({ event }) => event === 'child.started'));
    expect(stderr).not.toMatch(/[\u009b\u202e]/);
  });

  test('may leave its stdin unread', async () => {
    const { code, stderr } = await run('--on-event', 'exec <&-; exit 0', '--', 'sh', '-c', 'exit 3');
    expect(code).toBe(3);
    expect(stderr).not.toContain('--on-event');
  });

  test('delays neither the deadline nor the release when it hangs; the exit waits 5 s, and ends it', async () => {
    const startedAtMs = performance.now();
    const args = ['--ttl', '1s', '--kill-grace', '0', '--on-event', 'sleep 600 & wait'];
    const { code, events, stderr } = await run(...args, '--', 'sleep', '60');
    const tookMs = performance.now() - startedAtMs;
    expect(code).toBe(124);
    expect(stderr).toContain('the command of --on-event failed: it did not end within 5s, and was ended');
    const time = (name: string) => Date.parse(String(events.find(({ event }) => event === name)?.time));
    expect(time('run.finished') - time('child.deadline')).toBeLessThan(5_000);
    expect(tookMs).toBeGreaterThan(5_000);
  });

  test('without a shell, the run goes on', async () => {
    const env = { DATABASE_URL: db.url, PATH: '/nowhere' };
    const result = await runCli(['run', '--on-event', 'true', '--', '/bin/false'], { env });
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain('the command of --on-event failed: it could not be started');
  });

  test('an unknown event, and events without a command, are refused', async () => {
    expect(await run('--on-event', 'true', '--on-events', 'run.finished,oops', '--', 'true')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('--on-events names an event that does not exist: "oops"'),
    });
    expect(await run('--on-events', 'run.finished', '--', 'true')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('there is no command for them'),
    });
  });
});
