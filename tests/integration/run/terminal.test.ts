import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fixture } from '../child/start-one.js';
import { SupervisorLab } from '../child/supervisor-process.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { CLI, NODE } from '../../support/run-cli.js';

const possible =
  process.platform === 'linux' && spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
const CTRL_C = '\x03';

let db: TestDatabase;
let lab: SupervisorLab;

beforeAll(async () => {
  db = await createDatabase();
});
beforeEach(() => {
  lab = new SupervisorLab();
});
afterEach(() => lab.dispose());
afterAll(() => db.drop());

/** The built program in a terminal, below a shell and with `command`; its events go to a file. */
function start(command: string) {
  const events = path.join(lab.folder, 'events');
  const terminal = lab.runInTerminal(`trap : INT; "$NODE" "$CLI" run -- ${command} >'${events}'; exit $?`, {
    NODE,
    CLI,
    DATABASE_URL: db.url,
  });
  const told = () => readFileSync(events, 'utf8').trim().split('\n').map(parseAuditLine);
  return { terminal, ended: once(terminal, 'exit'), told };
}

// script(1) of util-linux makes the terminal, and exits with the exit code of its program.
(possible ? describe : describe.skip)('in a terminal (skipped where script(1) is missing)', () => {
  test('Ctrl-C once reaches the command once, and its exit code is returned', async () => {
    const { terminal, ended, told } = start(`"$NODE" ${fixture('signal-counter.mjs')}`);
    await lab.untilOutput('ready');
    const [{ pid } = { pid: 0 }] = told();
    // Stopped, because two equal pending signals would be delivered as one.
    process.kill(pid, 'SIGSTOP');
    terminal.stdin.write(CTRL_C);
    await lab.untilOutput('got SIGINT');
    // SIGTERM does not come from the terminal, so it is forwarded; when it has arrived, so have all earlier signals.
    process.kill(pid, 'SIGTERM');
    process.kill(pid, 'SIGCONT');
    expect(await ended).toEqual([0, null]);
    expect(lab.output.split('got SIGINT')).toHaveLength(2);
    expect(told().map(({ event }) => event)).toContain('lock.released');
    expect(told().at(-1)).toMatchObject({ event: 'run.finished', outcome: 'completed', exitCode: 0 });
  });

  test('Ctrl-C once ends a command that dies of it: 130, and the lease is released', async () => {
    const { terminal, ended, told } = start(`sh -c 'echo ready; exec sleep 1000'`);
    await lab.untilOutput('ready');
    terminal.stdin.write(CTRL_C);
    expect(await ended).toEqual([130, null]);
    expect(told().find(({ event }) => event === 'child.exited')).toMatchObject({ signal: 'SIGINT' });
    expect(told().map(({ event }) => event)).toContain('lock.released');
    expect(told().at(-1)).toMatchObject({ event: 'run.finished', outcome: 'interrupted', exitCode: 130 });
    expect(await db.sql`SELECT FROM migrate_lock.migration_lock WHERE released_at IS NULL`).toHaveLength(0);
  });

  test('Ctrl-C once ends a wait, and leaves no waiter', async () => {
    const holder = start(`sh -c 'echo ready; exec sleep 1000'`);
    await lab.untilOutput('ready');
    const another = new SupervisorLab();
    try {
      const waiter = another.runInTerminal(`exec "$NODE" "$CLI" run -- true >'${another.folder}/events'`, {
        NODE,
        CLI,
        DATABASE_URL: db.url,
      });
      const ended = once(waiter, 'exit');
      await another.untilOutput('sleep 1000');
      waiter.stdin.write(CTRL_C);
      expect(await ended).toEqual([130, null]);
      expect(await db.sql`SELECT FROM migrate_lock.migration_lock_waiter`).toHaveLength(0);
    } finally {
      await another.dispose();
    }
    holder.terminal.stdin.write(CTRL_C);
    expect(await holder.ended).toEqual([130, null]);
  });
});
